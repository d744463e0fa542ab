-- Adds a token, unless its name or its hash was ever used.
INSERT INTO tokens (
    name, role, classes, scope, hash, previous_hash, previous_until, created_at, created_by,
    expires_at, last_used_at, revoked_at, revoked_by
)
SELECT
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13
WHERE
    NOT EXISTS (SELECT 1 FROM tokens AS t WHERE t.hash = ?5)
    AND NOT EXISTS (SELECT 1 FROM tokens AS t WHERE t.previous_hash = ?5)
ON CONFLICT DO NOTHING
RETURNING name;
