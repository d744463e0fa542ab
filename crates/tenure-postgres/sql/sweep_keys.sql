-- Takes away expired idempotency keys, oldest first; leaves to others what they are taking.
WITH expired AS MATERIALIZED (
    SELECT
        i.scope,
        i.key
    FROM idempotency AS i
    WHERE i.expires_at <= statement_timestamp()
    ORDER BY i.expires_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM idempotency AS i
    USING expired AS e
    WHERE i.scope = e.scope AND i.key = e.key
    RETURNING i.key
)
SELECT count(*) FROM gone;
