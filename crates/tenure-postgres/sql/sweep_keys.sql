-- Takes away expired idempotency keys, oldest first; leaves to others what they are taking.
WITH expired AS MATERIALIZED (
    SELECT i.ctid AS place
    FROM idempotency AS i
    WHERE i.expires_at <= statement_timestamp()
    ORDER BY i.expires_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM idempotency AS i
    WHERE i.ctid = ANY (ARRAY (SELECT e.place FROM expired AS e))
    RETURNING i.key
)
SELECT count(*) FROM gone;
