-- Writes an idempotency key, over one that has expired.
INSERT INTO idempotency (scope, key, fingerprint, tenant_id, revision, wrote, expires_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (scope, key) DO UPDATE SET
    fingerprint = excluded.fingerprint,
    tenant_id = excluded.tenant_id,
    revision = excluded.revision,
    wrote = excluded.wrote,
    expires_at = excluded.expires_at;
