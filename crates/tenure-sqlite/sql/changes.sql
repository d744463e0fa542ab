-- Reads the feed after a position, in the order of commits.
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
    h.hash,
    f.seq
FROM feed AS f
CROSS JOIN history AS h ON h.tenant_id = f.tenant_id AND h.revision = f.revision
WHERE f.seq > ?1
ORDER BY f.seq
LIMIT ?2;
