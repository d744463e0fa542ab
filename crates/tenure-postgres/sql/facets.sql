-- Reads the copies that are kept beside a tenant's record.
SELECT
    ARRAY (SELECT l.key FROM labels AS l WHERE l.tenant_id = $1 ORDER BY l.key) AS keys,
    ARRAY (SELECT l.value FROM labels AS l WHERE l.tenant_id = $1 ORDER BY l.key) AS values,
    ARRAY (SELECT c.condition FROM conditions AS c WHERE c.tenant_id = $1) AS conditions,
    (SELECT w.state FROM work AS w WHERE w.tenant_id = $1) AS state,
    (SELECT count(*) FROM feed AS f WHERE f.tenant_id = $1) AS entries,
    (SELECT max(f.revision) FROM feed AS f WHERE f.tenant_id = $1) AS newest;
