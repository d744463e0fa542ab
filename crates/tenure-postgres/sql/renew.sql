-- Makes a live lease run longer.
UPDATE work AS w SET
    lease_until = clock.until,
    due_at = clock.until
FROM (SELECT clock_timestamp() + $3::bigint * interval '1 microsecond') AS clock (until)
WHERE w.tenant_id = $1 AND w.fence = $2 AND w.lease_until > clock_timestamp()
RETURNING w.lease_until;
