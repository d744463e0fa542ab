-- Takes away expired idempotency keys, oldest first.
DELETE FROM idempotency
WHERE (scope, key) IN (
    SELECT i.scope, i.key FROM idempotency AS i
    WHERE i.expires_at <= ?1
    ORDER BY i.expires_at
    LIMIT ?2
);
