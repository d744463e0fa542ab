-- Takes a condition away.
DELETE FROM conditions
WHERE tenant_id = ?1 AND condition = ?2;
