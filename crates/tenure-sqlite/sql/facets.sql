-- Reads the state that lists go by, and what the feed has of a tenant.
SELECT
    w.state,
    (SELECT count(*) FROM feed AS f WHERE f.tenant_id = w.tenant_id) AS entries,
    (SELECT max(f.revision) FROM feed AS f WHERE f.tenant_id = w.tenant_id) AS newest
FROM work AS w
WHERE w.tenant_id = ?1;
