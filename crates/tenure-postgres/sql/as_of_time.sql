-- Finds the newest revision of a tenant that is not later than a time.
SELECT h.revision
FROM history AS h
WHERE h.tenant_id = $1 AND h.at <= $2
ORDER BY h.revision DESC
LIMIT 1;
