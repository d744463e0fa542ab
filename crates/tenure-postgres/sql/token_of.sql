-- Finds the token that has a hash, or had it before its last rotation.
SELECT
    t.name,
    t.role,
    t.classes,
    t.scope,
    t.hash,
    t.previous_hash,
    t.previous_until,
    t.created_at,
    t.created_by,
    t.expires_at,
    t.last_used_at,
    t.revoked_at,
    t.revoked_by
FROM tokens AS t
WHERE t.hash = $1 OR t.previous_hash = $1
ORDER BY t.hash = $1 DESC
LIMIT 1;
