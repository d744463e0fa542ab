-- Reads a tenant as it was after a revision.
SELECT
    h.tenant_id,
    t.name,
    t.class,
    h.running,
    h.generation,
    h.observed_generation,
    h.to_state,
    (
        SELECT s.at FROM history AS s
        WHERE s.tenant_id = h.tenant_id AND s.revision <= h.revision
            AND s.from_state IS NOT s.to_state
        ORDER BY s.revision DESC LIMIT 1
    ) AS state_since,
    why.reason,
    why.message,
    h.revision,
    t.created_at,
    h.at,
    CASE WHEN h.to_state = 'deleted' THEN h.at END AS deleted_at,
    h.hash,
    h.desired,
    desired.body,
    h.observed,
    observed.body,
    h.metadata,
    metadata.body,
    h.details,
    details.body
FROM history AS h
JOIN tenants AS t ON t.tenant_id = h.tenant_id
JOIN history AS why ON why.tenant_id = h.tenant_id AND why.revision = (
    SELECT y.revision FROM history AS y
    WHERE y.tenant_id = h.tenant_id AND y.revision <= h.revision
        AND y.kind IN ('created', 'desired', 'state', 'condition')
    ORDER BY y.revision DESC LIMIT 1
)
LEFT JOIN documents AS desired ON desired.tenant_id = h.tenant_id AND desired.hash = h.desired
LEFT JOIN documents AS observed ON observed.tenant_id = h.tenant_id AND observed.hash = h.observed
LEFT JOIN documents AS metadata ON metadata.tenant_id = h.tenant_id AND metadata.hash = h.metadata
LEFT JOIN documents AS details ON details.tenant_id = h.tenant_id AND details.hash = h.details
WHERE h.tenant_id = ?1 AND h.revision = ?2;
