-- Notes when a token was last used, if that is later than what is noted.
UPDATE tokens SET
    last_used_at = ?2
WHERE name = ?1 AND (last_used_at IS NULL OR last_used_at < ?2);
