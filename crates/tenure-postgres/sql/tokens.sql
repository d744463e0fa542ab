-- Lists tokens by their names, from beyond one on.
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
WHERE t.name > $1
ORDER BY t.name
LIMIT $2;
