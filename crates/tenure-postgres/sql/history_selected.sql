-- Reads the lines of one tenant that are of some kinds, or changed its state, oldest first.
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
    AND (NOT $4 OR h.from_state IS DISTINCT FROM h.to_state)
    AND h.kind = ANY ($5)
ORDER BY h.revision
LIMIT $3;
