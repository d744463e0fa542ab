-- Claims due work, longest due first; what another worker is about to claim is passed over.
WITH due AS MATERIALIZED (
    SELECT
        w.tenant_id,
        w.due_at
    FROM work AS w
    WHERE w.due_at <= statement_timestamp()
    ORDER BY w.due_at, w.tenant_id
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE work AS w SET
        holder = $1,
        lease_until = clock.until,
        due_at = clock.until,
        fence = w.fence + 1,
        attempts = w.attempts + 1,
        dirty = false
    FROM due, (SELECT clock_timestamp() + $2::bigint * interval '1 microsecond') AS clock (until)
    WHERE w.tenant_id = due.tenant_id
    RETURNING w.tenant_id, w.fence, w.attempts, w.lease_until, due.due_at
)
SELECT
    c.tenant_id,
    c.fence,
    c.attempts,
    c.lease_until
FROM claimed AS c
ORDER BY c.due_at, c.tenant_id;
