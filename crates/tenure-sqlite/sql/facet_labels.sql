-- Reads the label rows of a tenant.
SELECT l.key, l.value
FROM labels AS l
WHERE l.tenant_id = ?1
ORDER BY l.key;
