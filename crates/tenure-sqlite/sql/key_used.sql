-- Asks whether an idempotency key is used and not expired.
SELECT 1
FROM idempotency AS i
WHERE i.scope = ?1 AND i.key = ?2 AND i.expires_at > ?3;
