-- Reads lines of one tenant, oldest first.
SELECT
    h.tenant_id,
    h.revision,
    h.at,
    h.actor,
    h.kind,
    h.from_state,
    h.to_state,
    h.reason,
    h.message,
    h.running,
    h.generation,
    h.observed_generation,
    h.desired,
    h.observed,
    h.metadata,
    h.details,
    h.request_id,
    h.hash
FROM history AS h
WHERE h.tenant_id = $1 AND h.revision > $2
ORDER BY h.revision
LIMIT $3;
