-- Tells why a change was not written: what stands in its place, and whether it is this very change.
SELECT
    t.revision,
    h.hash AS line,
    w.fence,
    coalesce(w.lease_until > clock_timestamp(), false) AS live
FROM tenants AS t
LEFT JOIN history AS h ON h.tenant_id = t.tenant_id AND h.revision = $2
LEFT JOIN work AS w ON w.tenant_id = t.tenant_id
WHERE t.tenant_id = $1;
