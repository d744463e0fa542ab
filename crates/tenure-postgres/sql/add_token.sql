-- Adds a token, unless its name or its hash was ever used.
INSERT INTO tokens (
    name, role, classes, scope, hash, previous_hash, previous_until, created_at, created_by,
    expires_at, last_used_at, revoked_at, revoked_by
)
SELECT
    $1::text, $2::text, $3::text, $4::text, $5::bytea, $6::bytea, $7::timestamptz,
    $8::timestamptz, $9::text, $10::timestamptz, $11::timestamptz, $12::timestamptz, $13::text
WHERE
    NOT EXISTS (SELECT 1 FROM tokens AS t WHERE t.hash = $5)
    AND NOT EXISTS (SELECT 1 FROM tokens AS t WHERE t.previous_hash = $5)
ON CONFLICT DO NOTHING
RETURNING name;
