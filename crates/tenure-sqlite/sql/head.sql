-- Reads what a change is compared with: the tenant's revision and the lease on its work.
SELECT
    t.revision,
    w.fence,
    w.lease_until
FROM tenants AS t
LEFT JOIN work AS w ON w.tenant_id = t.tenant_id
WHERE t.tenant_id = ?1;
