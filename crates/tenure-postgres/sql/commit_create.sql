-- Makes a tenant with all that goes with it; a taken id, name or key refuses the statement whole.
WITH new AS (
    INSERT INTO tenants (
        tenant_id, revision, created_at, updated_at, state_since, deleted_at, generation,
        observed_generation, running, hash, desired, observed, metadata, details, name, class,
        state, reason, message
    )
    VALUES ($1, 1, $2, $2, $2, NULL, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    RETURNING tenant_id, revision
), line AS (
    INSERT INTO history (
        tenant_id, revision, at, actor, kind, from_state, to_state, reason, message, running,
        generation, observed_generation, desired, observed, metadata, details, request_id, hash
    )
    SELECT
        new.tenant_id, new.revision, $2, $16, 'created', NULL, $13, $17, $18, $5,
        $3, $4, $7, $8, $9, $10, $19, $6
    FROM new
), entry AS (
    INSERT INTO feed (tenant_id, revision)
    SELECT new.tenant_id, new.revision FROM new
), bodies AS (
    INSERT INTO documents (tenant_id, hash, body)
    SELECT new.tenant_id, d.hash, d.body
    FROM new, unnest($20::bytea[], $21::text[]) AS d (hash, body)
    ON CONFLICT ON CONSTRAINT documents_pkey DO NOTHING
), labelled AS (
    INSERT INTO labels (tenant_id, key, value)
    SELECT new.tenant_id, l.key, l.value
    FROM new, unnest($22::text[], $23::text[]) AS l (key, value)
), conditioned AS (
    INSERT INTO conditions (tenant_id, condition)
    SELECT new.tenant_id, c.condition FROM new, unnest($24::text[]) AS c (condition)
), planned AS (
    INSERT INTO work (tenant_id, class, state, due_at, routine)
    SELECT
        new.tenant_id, $12, $13, clock_timestamp() + $25::bigint * interval '1 microsecond',
        $30::boolean
    FROM new
), remembered AS (
    INSERT INTO idempotency (scope, key, fingerprint, tenant_id, revision, wrote, expires_at)
    SELECT
        $26, $27, $28, new.tenant_id, new.revision, true,
        clock_timestamp() + $29::bigint * interval '1 microsecond'
    FROM new WHERE $27::text IS NOT NULL
    ON CONFLICT ON CONSTRAINT idempotency_pkey DO UPDATE SET
        fingerprint = EXCLUDED.fingerprint, tenant_id = EXCLUDED.tenant_id,
        revision = EXCLUDED.revision, wrote = true, expires_at = EXCLUDED.expires_at
)
SELECT new.revision FROM new;
