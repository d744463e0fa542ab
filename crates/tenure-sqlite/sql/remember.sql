-- Writes an idempotency key, over one that has expired.
INSERT INTO idempotency (scope, key, fingerprint, tenant_id, revision, expires_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (scope, key) DO UPDATE SET
    fingerprint = excluded.fingerprint,
    tenant_id = excluded.tenant_id,
    revision = excluded.revision,
    expires_at = excluded.expires_at;
