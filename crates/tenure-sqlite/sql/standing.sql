-- Counts tenants by state and condition, and work that is leased or due by class.
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
    NULL
FROM conditions AS c
JOIN tenants AS t ON t.tenant_id = c.tenant_id
WHERE t.state <> 'deleted'
GROUP BY c.condition
UNION ALL
SELECT
    CASE
        WHEN w.lease_until > ?1 THEN 'leased'
        WHEN w.routine THEN 'check'
        ELSE 'due'
    END,
    w.class,
    count(*),
    min(w.due_at)
FROM work AS w
WHERE w.due_at <= ?1 OR w.lease_until > ?1
GROUP BY 1, 2;
