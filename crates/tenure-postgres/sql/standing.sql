-- Counts tenants by state and condition, work that is leased or due by class, and changes that the
-- feed keeps back.
SELECT
    'state' AS what,
    t.state AS word,
    count(*) AS tenants,
    min(t.state_since) AS oldest
FROM tenants AS t
GROUP BY t.state
UNION ALL
SELECT
    'condition',
    c.condition,
    count(*),
    NULL::timestamptz
FROM conditions AS c
JOIN tenants AS t ON t.tenant_id = c.tenant_id
WHERE t.state <> 'deleted'
GROUP BY c.condition
UNION ALL
SELECT
    CASE
        WHEN w.lease_until > statement_timestamp() THEN 'leased'
        WHEN w.routine THEN 'check'
        ELSE 'due'
    END,
    w.class,
    count(*),
    min(w.due_at)
FROM work AS w
WHERE w.due_at <= statement_timestamp() OR w.lease_until > statement_timestamp()
GROUP BY 1, 2
UNION ALL
SELECT
    'kept_back',
    'feed',
    count(*),
    min(f.at)
FROM feed AS f
WHERE f.xact >= pg_snapshot_xmin(pg_current_snapshot());
