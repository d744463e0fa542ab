-- Revokes a token; one that is revoked stays as it is.
UPDATE tokens SET
    revoked_at = coalesce(revoked_at, $2),
    revoked_by = coalesce(revoked_by, $3)
WHERE name = $1
RETURNING
    name,
    role,
    classes,
    scope,
    hash,
    previous_hash,
    previous_until,
    created_at,
    created_by,
    expires_at,
    last_used_at,
    revoked_at,
    revoked_by;
