-- Two thousand tenants as a fleet has them, for tests that look at plans and sizes.
INSERT INTO tenants (
    tenant_id, revision, created_at, updated_at, state_since, deleted_at, generation,
    observed_generation, running, hash, desired, observed, metadata, details, name, class, state,
    reason, message
)
SELECT
    ('019a0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 3,
    '2026-11-22', '2026-11-23', '2026-11-23', NULL, 1, 1, true,
    sha256(('hash' || i)::bytea), sha256(('desired' || i)::bytea), sha256(('observed' || i)::bytea),
    sha256(('metadata' || i)::bytea),
    CASE WHEN i % 100 = 0 THEN sha256(('details' || i)::bytea) END,
    left(md5(i::text), 6) || '-' || i, 'default', CASE WHEN i % 100 = 0 THEN 'updating' ELSE 'ready' END,
    'Provisioned', CASE WHEN i % 3 = 0 THEN 'made by exec in 3 s' ELSE '' END
FROM generate_series(1, 2000) AS i;

INSERT INTO history (
    tenant_id, revision, at, generation, observed_generation, request_id, running, hash, desired,
    observed, metadata, details, kind, from_state, to_state, actor, reason, message
)
SELECT
    t.tenant_id, r, '2026-11-23', 1, 1, gen_random_uuid(), true,
    CASE r WHEN 3 THEN t.hash ELSE sha256((t.name || r)::bytea) END, t.desired,
    CASE r WHEN 3 THEN t.observed END, t.metadata, NULL,
    CASE r WHEN 1 THEN 'created' ELSE 'state' END,
    CASE r WHEN 2 THEN 'requested' WHEN 3 THEN 'provisioning' END,
    CASE r WHEN 1 THEN 'requested' WHEN 2 THEN 'provisioning' ELSE 'ready' END,
    CASE r WHEN 1 THEN 'user:maria@example.com' ELSE 'worker:reconciler-1' END,
    CASE r WHEN 1 THEN 'Requested' WHEN 2 THEN 'ProvisioningStarted' ELSE 'Provisioned' END,
    CASE r WHEN 3 THEN 'made by exec in 3 s' ELSE '' END
FROM tenants AS t, generate_series(1, 3) AS r
ORDER BY t.tenant_id, r;

INSERT INTO documents (tenant_id, hash, body)
SELECT t.tenant_id, d.hash, '{"text":"' || repeat('x', 850) || t.name || '"}'
FROM tenants AS t, unnest(ARRAY[t.desired, t.observed]) AS d (hash);

INSERT INTO labels (tenant_id, key, value)
SELECT t.tenant_id, k, CASE k
    WHEN 'tier' THEN CASE WHEN right(t.name, 1) = '7' THEN 'gold' ELSE 'silver' END
    WHEN 'client' THEN t.name
    ELSE 'value-' || right(t.name, 2)
END
FROM tenants AS t, unnest(ARRAY['tier', 'client', 'cell', 'region']) AS k;

INSERT INTO conditions (tenant_id, condition)
SELECT t.tenant_id, c
FROM tenants AS t, unnest(ARRAY['failing', 'overdue', 'unknown']) AS c
WHERE t.details IS NOT NULL OR (c = 'unknown' AND right(t.name, 1) <> '7');

INSERT INTO work (tenant_id, class, state, due_at, checked_at)
SELECT
    t.tenant_id, t.class, t.state,
    CASE WHEN right(t.name, 1) = '7' THEN now() + (right(t.name, 2) || ' s')::interval END, now()
FROM tenants AS t;

INSERT INTO feed (tenant_id, revision) SELECT h.tenant_id, h.revision FROM history AS h;

INSERT INTO idempotency (scope, key, fingerprint, tenant_id, revision, wrote, expires_at)
SELECT 'user:maria', t.name, t.hash, t.tenant_id, 1, true, now() + (right(t.name, 1) || ' h')::interval
FROM tenants AS t;

INSERT INTO tokens (name, role, classes, scope, hash, previous_hash, previous_until, created_at, created_by)
SELECT
    'token-' || i, 'viewer', '', '', sha256(('token' || i)::bytea),
    CASE WHEN i % 10 = 0 THEN sha256(('before' || i)::bytea) END,
    CASE WHEN i % 10 = 0 THEN '2026-11-23'::timestamptz END, '2026-11-22', 'user:maria'
FROM generate_series(1, 2000) AS i;
