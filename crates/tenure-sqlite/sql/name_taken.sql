-- Asks whether a living tenant has a name.
SELECT 1
FROM tenants AS t
WHERE t.name = ?1 AND t.deleted_at IS NULL;
