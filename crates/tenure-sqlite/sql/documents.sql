-- Reads one document of a tenant.
SELECT d.body
FROM documents AS d
WHERE d.tenant_id = ?1 AND d.hash = ?2;
