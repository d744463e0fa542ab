-- Moves a tenant to its next revision with all that goes with it, if it is at the expected one and
-- the lease live. Locks tenants, then work: claims lock only work, so there is no cycle.
WITH cur AS MATERIALIZED (
    SELECT t.tenant_id FROM tenants AS t
    WHERE t.tenant_id = $1 AND $29::bigint IS NOT NULL FOR NO KEY UPDATE
), held AS MATERIALIZED (
    SELECT w.lease_until FROM cur JOIN work AS w ON w.tenant_id = cur.tenant_id
    WHERE w.fence = $29 FOR NO KEY UPDATE OF w
), upd AS (
    UPDATE tenants AS t SET
        revision = $2 + 1, state = $3, state_since = $4, reason = $5, message = $6, running = $7,
        generation = $8, observed_generation = $9, desired = $10, observed = $11, metadata = $12,
        details = $13, hash = $14, updated_at = $15, deleted_at = $16
    WHERE t.tenant_id = $1 AND t.revision = $2 AND ($29 IS NULL OR EXISTS (
        SELECT 1 FROM held WHERE held.lease_until > clock_timestamp()))
    RETURNING t.tenant_id, t.revision
), line AS (
    INSERT INTO history (
        tenant_id, revision, at, actor, kind, from_state, to_state, reason, message, running,
        generation, observed_generation, desired, observed, metadata, details, request_id, hash
    )
    SELECT upd.tenant_id, upd.revision, $15, $17, $18, $19, $3, $20, $21, $7,
        $8, $9, $10, $11, $12, $13, $22, $14
    FROM upd
), entry AS (
    INSERT INTO feed (tenant_id, revision) SELECT upd.tenant_id, upd.revision FROM upd
), bodies AS (
    INSERT INTO documents (tenant_id, hash, body)
    SELECT upd.tenant_id, d.hash, d.body
    FROM upd, unnest($23::bytea[], $24::text[]) AS d (hash, body)
    ON CONFLICT ON CONSTRAINT documents_pkey DO NOTHING
), labels_gone AS (
    DELETE FROM labels AS l
    WHERE l.tenant_id = $1 AND l.key = ANY ($25::text[]) AND EXISTS (SELECT 1 FROM upd)
), labels_set AS (
    INSERT INTO labels (tenant_id, key, value)
    SELECT upd.tenant_id, l.key, l.value
    FROM upd, unnest($26::text[], $27::text[]) AS l (key, value)
    ON CONFLICT ON CONSTRAINT labels_pkey DO UPDATE SET value = EXCLUDED.value
), conditions_gone AS (
    DELETE FROM conditions AS c
    WHERE c.tenant_id = $1 AND c.condition = ANY ($28::text[]) AND EXISTS (SELECT 1 FROM upd)
), conditions_set AS (
    INSERT INTO conditions (tenant_id, condition)
    SELECT upd.tenant_id, c.condition FROM upd, unnest($30::text[]) AS c (condition)
    ON CONFLICT ON CONSTRAINT conditions_pkey DO NOTHING
), planned AS (
    UPDATE work AS w SET
        state = $3, due_at = CASE
            WHEN $31::boolean AND w.dirty THEN clock_timestamp()
            WHEN $31 AND $33::boolean THEN w.due_at
            WHEN $31 THEN clock_timestamp() + $32::bigint * interval '1 microsecond'
            WHEN $29 IS NOT NULL OR w.lease_until > clock_timestamp() THEN w.due_at
            ELSE least(w.due_at, clock_timestamp() + $32 * interval '1 microsecond')
        END,
        routine = CASE
            WHEN $31 THEN NOT w.dirty AND CASE WHEN $33 THEN w.routine ELSE $39::boolean END
            WHEN $29 IS NOT NULL OR $32 IS NULL THEN w.routine
            WHEN $39 THEN w.routine OR w.due_at IS NULL
            ELSE w.routine AND $32 > 0 AND coalesce(w.lease_until <= clock_timestamp(), true)
                AND w.due_at <= clock_timestamp() + $32 * interval '1 microsecond'
        END,
        dirty = NOT $31 AND (w.dirty OR ($29 IS NULL AND $32 IS NOT NULL
            AND coalesce(w.lease_until > clock_timestamp(), false))),
        holder = CASE WHEN NOT $31 THEN w.holder END,
        lease_until = CASE WHEN NOT $31 THEN w.lease_until END,
        attempts = CASE WHEN $34::boolean THEN 0 ELSE w.attempts END,
        last_error = CASE WHEN NOT $34 THEN coalesce($40::text, w.last_error) END,
        checked_at = CASE WHEN $31 AND $34 THEN clock_timestamp() ELSE w.checked_at END
    FROM upd WHERE w.tenant_id = upd.tenant_id
), remembered AS (
    INSERT INTO idempotency (scope, key, fingerprint, tenant_id, revision, wrote, expires_at)
    SELECT $35, $36, $37, upd.tenant_id, upd.revision, true,
        clock_timestamp() + $38::bigint * interval '1 microsecond'
    FROM upd WHERE $36::text IS NOT NULL
    ON CONFLICT ON CONSTRAINT idempotency_pkey DO UPDATE SET
        fingerprint = EXCLUDED.fingerprint, tenant_id = EXCLUDED.tenant_id,
        revision = EXCLUDED.revision, wrote = true, expires_at = EXCLUDED.expires_at
)
SELECT upd.revision FROM upd;
