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
    desired.body,
    t.observed,
    observed.body,
    t.metadata,
    metadata.body,
    t.details,
    details.body,
    w.due_at,
    w.routine,
    w.attempts,
    w.last_error,
    w.checked_at,
    w.holder,
    w.lease_until,
    w.fence,
    i.tenant_id,
    i.revision,
    i.wrote,
    i.fingerprint
FROM (SELECT 1) AS always
LEFT JOIN tenants AS t ON t.tenant_id = coalesce(
    ?1, (SELECT n.tenant_id FROM tenants AS n WHERE n.name = ?2 AND n.deleted_at IS NULL)
)
LEFT JOIN work AS w ON w.tenant_id = t.tenant_id
LEFT JOIN documents AS desired ON desired.tenant_id = t.tenant_id AND desired.hash = t.desired
LEFT JOIN documents AS observed ON observed.tenant_id = t.tenant_id AND observed.hash = t.observed
LEFT JOIN documents AS metadata ON metadata.tenant_id = t.tenant_id AND metadata.hash = t.metadata
LEFT JOIN documents AS details ON details.tenant_id = t.tenant_id AND details.hash = t.details
LEFT JOIN idempotency AS i ON i.scope = ?3 AND i.key = ?4 AND i.expires_at > ?5;
