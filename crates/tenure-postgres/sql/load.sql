-- Loads a tenant by id or living name, and what an idempotency key stands for, from one snapshot.
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
    w.fence,
    i.tenant_id AS prior_tenant,
    i.revision AS prior_revision,
    i.wrote AS prior_wrote,
    i.fingerprint AS prior_fingerprint
FROM (SELECT 1) AS always
LEFT JOIN tenants AS t ON t.tenant_id = coalesce(
    $1, (SELECT n.tenant_id FROM tenants AS n WHERE n.name = $2 AND n.deleted_at IS NULL)
)
LEFT JOIN work AS w ON w.tenant_id = t.tenant_id
LEFT JOIN idempotency AS i
    ON i.scope = $3 AND i.key = $4 AND i.expires_at > clock_timestamp();
