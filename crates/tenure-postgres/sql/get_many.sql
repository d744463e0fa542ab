-- Reads the tenants of some ids, in the order of the ids given.
SELECT
    t.tenant_id,
    t.name,
    t.class,
    t.running,
    t.generation,
    t.observed_generation,
    t.state,
    t.state_since,
    t.reason,
    t.message,
    t.revision,
    t.created_at,
    t.updated_at,
    t.deleted_at,
    t.hash,
    t.desired,
    (
        SELECT d.body FROM documents AS d
        WHERE d.tenant_id = t.tenant_id AND d.hash = t.desired
    ) AS desired_body,
    t.observed,
    (
        SELECT d.body FROM documents AS d
        WHERE d.tenant_id = t.tenant_id AND d.hash = t.observed
    ) AS observed_body,
    t.metadata,
    (
        SELECT d.body FROM documents AS d
        WHERE d.tenant_id = t.tenant_id AND d.hash = t.metadata
    ) AS metadata_body,
    t.details,
    (
        SELECT d.body FROM documents AS d
        WHERE d.tenant_id = t.tenant_id AND d.hash = t.details
    ) AS details_body,
    w.due_at,
    w.routine,
    w.attempts,
    w.last_error,
    w.checked_at,
    w.holder,
    w.lease_until,
    w.fence
FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (tenant_id, place)
JOIN tenants AS t ON t.tenant_id = wanted.tenant_id
LEFT JOIN work AS w ON w.tenant_id = t.tenant_id
ORDER BY wanted.place;
