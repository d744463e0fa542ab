-- Writes a tenant that is new.
INSERT INTO tenants (
    tenant_id,
    name,
    class,
    state,
    state_since,
    reason,
    message,
    running,
    generation,
    observed_generation,
    desired,
    observed,
    metadata,
    details,
    hash,
    revision,
    created_at,
    updated_at,
    deleted_at
) VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19
);
