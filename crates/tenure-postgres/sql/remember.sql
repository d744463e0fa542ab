-- Records what an idempotency key stands for, if the tenant has the revision.
INSERT INTO idempotency (scope, key, fingerprint, tenant_id, revision, wrote, expires_at)
SELECT
    $3,
    $4,
    $5,
    h.tenant_id,
    h.revision,
    false,
    clock_timestamp() + $6::bigint * interval '1 microsecond'
FROM history AS h
WHERE h.tenant_id = $1 AND h.revision = $2
ON CONFLICT ON CONSTRAINT idempotency_pkey DO UPDATE SET
    fingerprint = EXCLUDED.fingerprint,
    tenant_id = EXCLUDED.tenant_id,
    revision = EXCLUDED.revision,
    wrote = false,
    expires_at = EXCLUDED.expires_at
RETURNING revision;
