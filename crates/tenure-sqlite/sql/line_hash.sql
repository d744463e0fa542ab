-- Reads the hash of one line of history.
SELECT h.hash
FROM history AS h
WHERE h.tenant_id = ?1 AND h.revision = ?2;
