-- Reads the condition rows of a tenant.
SELECT c.condition
FROM conditions AS c
WHERE c.tenant_id = ?1
ORDER BY c.condition;
