-- Claims due work of some classes: of each, the first by rank, up to its limits. Routine work ranks
-- as if it were due later. What another worker is about to claim is passed over.
WITH due AS MATERIALIZED (
    SELECT
        w.tenant_id,
        room.class,
        room.length,
        room.at_most,
        w.due_at + lane.patience AS rank,
        w.taken_over
    FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
        AS room (class, length, at_most, checks)
    CROSS JOIN LATERAL (VALUES
        (false, room.at_most, interval '0'),
        (true, room.checks, $6::bigint * interval '1 microsecond')
    ) AS lane (routine, at_most, patience)
    CROSS JOIN LATERAL (
        SELECT
            w.tenant_id,
            w.due_at,
            w.holder IS NOT NULL AS taken_over
        FROM work AS w
        WHERE w.class = room.class AND w.routine = lane.routine
            AND w.due_at <= statement_timestamp()
        ORDER BY w.due_at, w.tenant_id
        LIMIT lane.at_most
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS w
), placed AS (
    SELECT
        due.tenant_id,
        due.length,
        due.at_most,
        due.rank,
        due.taken_over,
        row_number() OVER (PARTITION BY due.class ORDER BY due.rank, due.tenant_id) AS place
    FROM due
), chosen AS MATERIALIZED (
    SELECT
        p.tenant_id,
        p.length,
        p.rank,
        p.taken_over
    FROM placed AS p
    WHERE p.place <= p.at_most
    ORDER BY p.rank, p.tenant_id
    LIMIT $7
), claimed AS (
    UPDATE work AS w SET
        holder = $1,
        lease_until = clock.now + chosen.length * interval '1 microsecond',
        due_at = clock.now + chosen.length * interval '1 microsecond',
        fence = w.fence + 1,
        attempts = w.attempts + 1,
        dirty = false
    FROM chosen, (SELECT clock_timestamp()) AS clock (now)
    -- As an array as well: nobody can tell the planner how few are chosen.
    WHERE w.tenant_id = chosen.tenant_id
        AND w.tenant_id = ANY (ARRAY (SELECT few.tenant_id FROM chosen AS few))
    RETURNING w.tenant_id, w.class, w.routine, w.fence, w.attempts, w.lease_until, chosen.rank,
        chosen.taken_over
)
SELECT
    c.tenant_id,
    c.class,
    c.routine,
    c.fence,
    c.attempts,
    c.lease_until,
    c.taken_over
FROM claimed AS c
ORDER BY c.rank, c.tenant_id;
