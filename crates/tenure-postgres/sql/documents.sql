-- Reads documents of a tenant by hash.
SELECT
    d.hash,
    d.body
FROM documents AS d
WHERE d.tenant_id = $1 AND d.hash = ANY ($2);
