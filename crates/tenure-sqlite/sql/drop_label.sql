-- Takes a label away.
DELETE FROM labels
WHERE tenant_id = ?1 AND key = ?2;
