-- Writes a line of history.
INSERT INTO history (
    tenant_id,
    revision,
    at,
    actor,
    kind,
    from_state,
    to_state,
    reason,
    message,
    running,
    generation,
    observed_generation,
    desired,
    observed,
    metadata,
    details,
    request_id,
    hash
) VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18
);
