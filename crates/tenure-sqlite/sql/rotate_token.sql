-- Gives a token another hash, if it has the one that was seen. Every expression sees the old row.
-- The one before is good until a time; if none is given it is dropped, and that before it stays.
UPDATE tokens SET
    previous_hash = CASE WHEN hash = ?2 OR ?3 IS NULL THEN previous_hash ELSE hash END,
    previous_until = CASE WHEN hash = ?2 OR ?3 IS NULL THEN previous_until ELSE ?3 END,
    hash = ?2
WHERE name = ?1 AND revoked_at IS NULL AND hash IN (?2, ?4)
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
