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
            AND s.from_state IS DISTINCT FROM s.to_state
        ORDER BY s.revision DESC
        LIMIT 1
    ) AS state_since,
    why.reason,
    why.message,
    h.revision,
    t.created_at,
    h.at,
    CASE WHEN h.to_state = 'deleted' THEN h.at END AS deleted_at,
    h.hash,
    h.desired,
    (
        SELECT d.body FROM documents AS d
        WHERE d.tenant_id = h.tenant_id AND d.hash = h.desired
    ) AS desired_body,
    h.observed,
    (
        SELECT d.body FROM documents AS d
        WHERE d.tenant_id = h.tenant_id AND d.hash = h.observed
    ) AS observed_body,
    h.metadata,
    (
        SELECT d.body FROM documents AS d
        WHERE d.tenant_id = h.tenant_id AND d.hash = h.metadata
    ) AS metadata_body,
    h.details,
    (
        SELECT d.body FROM documents AS d
        WHERE d.tenant_id = h.tenant_id AND d.hash = h.details
    ) AS details_body
FROM history AS h
JOIN tenants AS t ON t.tenant_id = h.tenant_id
JOIN LATERAL (
    SELECT y.reason, y.message FROM history AS y
    WHERE y.tenant_id = h.tenant_id AND y.revision <= h.revision
        AND y.kind IN ('created', 'desired', 'state', 'condition')
    ORDER BY y.revision DESC
    LIMIT 1
) AS why ON true
WHERE h.tenant_id = $1 AND h.revision = $2;
