-- The record: tenants, their history and documents, and what lists, work, feed and keys need.
--
-- Columns stand in an order that needs no padding and keeps those that change together, so that the
-- log of an update holds little more than them. Text that machines compare is COLLATE "C", so that
-- it sorts here as it does everywhere else.

-- What this database is, which binaries may use it, and how far back the feed reaches.
CREATE TABLE store_meta (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    store_id uuid NOT NULL DEFAULT gen_random_uuid(),
    feed_epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    -- The newest feed entry that was swept away: a cursor below it has missed something.
    feed_floor_xact xid8 NOT NULL DEFAULT '0',
    feed_floor_seq bigint NOT NULL DEFAULT 0,
    schema_level integer NOT NULL,
    min_reader integer NOT NULL,
    min_writer integer NOT NULL,
    CONSTRAINT store_meta_levels CHECK (min_reader <= min_writer AND min_writer <= schema_level)
);
INSERT INTO store_meta (schema_level, min_reader, min_writer) VALUES (1, 1, 1);

-- The ways between states, staying included. The rules' own table is the model of this one.
CREATE TABLE state_edges (
    from_state text COLLATE "C" NOT NULL,
    to_state text COLLATE "C" NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO state_edges (from_state, to_state) VALUES
    ('requested', 'requested'), ('requested', 'provisioning'), ('requested', 'deleting'),
    ('provisioning', 'provisioning'), ('provisioning', 'ready'), ('provisioning', 'suspended'),
    ('provisioning', 'suspending'), ('provisioning', 'deleting'),
    ('ready', 'ready'), ('ready', 'updating'), ('ready', 'suspending'), ('ready', 'deleting'),
    ('updating', 'updating'), ('updating', 'ready'), ('updating', 'suspended'),
    ('updating', 'suspending'), ('updating', 'resuming'), ('updating', 'deleting'),
    ('suspending', 'suspending'), ('suspending', 'suspended'), ('suspending', 'resuming'),
    ('suspending', 'deleting'),
    ('suspended', 'suspended'), ('suspended', 'updating'), ('suspended', 'resuming'),
    ('suspended', 'deleting'),
    ('resuming', 'resuming'), ('resuming', 'ready'), ('resuming', 'suspending'),
    ('resuming', 'deleting'),
    ('deleting', 'deleting'), ('deleting', 'deleted');

-- Whether a state may follow another: the table above as an expression, because a foreign key to so
-- few rows would make all commits lock the same ones.
CREATE FUNCTION tenure_may_become(from_state text, to_state text) RETURNS boolean
LANGUAGE sql IMMUTABLE RETURN (from_state || '>' || to_state) COLLATE "C" IN (
    'requested>requested', 'requested>provisioning', 'requested>deleting',
    'provisioning>provisioning', 'provisioning>ready', 'provisioning>suspended',
    'provisioning>suspending', 'provisioning>deleting', 'ready>ready', 'ready>updating',
    'ready>suspending', 'ready>deleting', 'updating>updating', 'updating>ready',
    'updating>suspended', 'updating>suspending', 'updating>resuming', 'updating>deleting',
    'suspending>suspending', 'suspending>suspended', 'suspending>resuming',
    'suspending>deleting', 'suspended>suspended', 'suspended>updating',
    'suspended>resuming', 'suspended>deleting', 'resuming>resuming', 'resuming>ready',
    'resuming>suspending', 'resuming>deleting', 'deleting>deleting', 'deleting>deleted'
);

-- The tenants as they are now. Documents are named by hash. No index is on a column that changes
-- with a transition, so that updates stay within their page.
CREATE TABLE tenants (
    tenant_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    updated_at timestamptz NOT NULL,
    state_since timestamptz NOT NULL,
    revision bigint NOT NULL,
    generation integer NOT NULL,
    observed_generation integer NOT NULL,
    running boolean NOT NULL,
    hash bytea NOT NULL,
    state text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    message text COLLATE "C" NOT NULL,
    observed bytea,
    desired bytea NOT NULL,
    details bytea,
    metadata bytea,
    class text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id)
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX tenants_living_name ON tenants (name) WHERE deleted_at IS NULL;

-- Every change of every tenant, one line each, for ever. The after-image is complete.
CREATE TABLE history (
    tenant_id uuid NOT NULL,
    revision bigint NOT NULL,
    at timestamptz NOT NULL,
    generation integer NOT NULL,
    observed_generation integer NOT NULL,
    request_id uuid NOT NULL,
    running boolean NOT NULL,
    hash bytea NOT NULL,
    desired bytea NOT NULL,
    observed bytea,
    metadata bytea,
    details bytea,
    kind text COLLATE "C" NOT NULL,
    from_state text COLLATE "C",
    to_state text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    message text COLLATE "C" NOT NULL,
    CONSTRAINT history_pkey PRIMARY KEY (tenant_id, revision)
);

-- No tenant without the line of history that says how it came to be so.
ALTER TABLE tenants ADD CONSTRAINT tenants_head
    FOREIGN KEY (tenant_id, revision) REFERENCES history (tenant_id, revision);

-- Canonical JSON by the SHA-256 of its text; a tenant's equal documents are stored once. Text and
-- not jsonb, because the hash names the text.
CREATE TABLE documents (
    tenant_id uuid NOT NULL,
    hash bytea NOT NULL,
    body text COLLATE "C" NOT NULL,
    CONSTRAINT documents_pkey PRIMARY KEY (tenant_id, hash),
    CONSTRAINT documents_hash CHECK (length(hash) = 32),
    CONSTRAINT documents_body CHECK (octet_length(body) BETWEEN 2 AND 1048576)
);

-- The labels of the current record, for lists.
CREATE TABLE labels (
    tenant_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    CONSTRAINT labels_pkey PRIMARY KEY (tenant_id, key),
    CONSTRAINT labels_length CHECK (
        octet_length(key) BETWEEN 1 AND 317 AND octet_length(value) <= 63
    )
);
CREATE INDEX labels_by_value ON labels (key, value, tenant_id);

-- The kinds of condition of the current record, for lists.
CREATE TABLE conditions (
    tenant_id uuid NOT NULL,
    condition text COLLATE "C" NOT NULL,
    CONSTRAINT conditions_pkey PRIMARY KEY (tenant_id, condition),
    CONSTRAINT conditions_kind CHECK (
        condition IN ('failing', 'drifted', 'held', 'overdue', 'unknown')
    )
);
CREATE INDEX conditions_by_kind ON conditions (condition, tenant_id);

-- What is to be done for each tenant, when, and who does it. Times are of the database's clock.
CREATE TABLE work (
    tenant_id uuid NOT NULL,
    fence bigint NOT NULL DEFAULT 0,
    due_at timestamptz,
    lease_until timestamptz,
    checked_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    -- Someone else changed the tenant while it was leased.
    dirty boolean NOT NULL DEFAULT false,
    -- Nobody waits for what is planned.
    routine boolean NOT NULL DEFAULT false,
    -- A copy: this row is rewritten by every transition anyway, so lists by state go by it.
    state text COLLATE "C" NOT NULL,
    holder text COLLATE "C",
    last_error text COLLATE "C",
    -- A copy that never changes: workers claim by class.
    class text COLLATE "C" NOT NULL,
    CONSTRAINT work_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT work_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT work_fence CHECK (fence >= 0),
    CONSTRAINT work_attempts CHECK (attempts >= 0),
    CONSTRAINT work_lease CHECK ((holder IS NULL) = (lease_until IS NULL)),
    CONSTRAINT work_last_error CHECK (octet_length(last_error) <= 2000)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000
);
CREATE INDEX work_due ON work (class, routine, due_at, tenant_id) WHERE due_at IS NOT NULL;
CREATE INDEX work_by_state ON work (state, tenant_id);

-- All changes in the order of their commits. Readers stop below the oldest open transaction.
CREATE TABLE feed (
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id uuid NOT NULL,
    revision bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT feed_pkey PRIMARY KEY (xact, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE UNIQUE INDEX feed_once ON feed (tenant_id, revision);

-- What idempotency keys stand for, until they expire by the database's clock.
CREATE TABLE idempotency (
    tenant_id uuid NOT NULL,
    revision bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    -- Whether the request wrote the revision, or found all as asked.
    wrote boolean NOT NULL,
    fingerprint bytea NOT NULL,
    scope text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    CONSTRAINT idempotency_pkey PRIMARY KEY (scope, key),
    CONSTRAINT idempotency_length CHECK (
        octet_length(scope) BETWEEN 1 AND 255 AND octet_length(key) BETWEEN 1 AND 255
        AND length(fingerprint) = 32
    ),
    CONSTRAINT idempotency_answer FOREIGN KEY (tenant_id, revision)
        REFERENCES history (tenant_id, revision)
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- Who may use the API: tokens by the hash that they have, and the one they had before a rotation.
CREATE TABLE tokens (
    name text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    -- Of provisioners: names with commas.
    classes text COLLATE "C" NOT NULL,
    -- A label selector.
    scope text COLLATE "C" NOT NULL,
    hash bytea NOT NULL,
    previous_hash bytea,
    previous_until timestamptz,
    created_at timestamptz NOT NULL,
    created_by text COLLATE "C" NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text COLLATE "C",
    CONSTRAINT tokens_pkey PRIMARY KEY (name),
    CONSTRAINT tokens_name CHECK (octet_length(name) BETWEEN 1 AND 63),
    CONSTRAINT tokens_role CHECK (
        role IN ('viewer', 'operator', 'admin', 'provisioner', 'auditor')
    ),
    CONSTRAINT tokens_hash CHECK (length(hash) = 32 AND length(previous_hash) = 32),
    CONSTRAINT tokens_previous CHECK ((previous_hash IS NULL) = (previous_until IS NULL)),
    CONSTRAINT tokens_revoked CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
CREATE UNIQUE INDEX tokens_by_hash ON tokens (hash);
CREATE INDEX tokens_by_previous_hash ON tokens (previous_hash) WHERE previous_hash IS NOT NULL;

-- Guards. They hold for every writer, this program's bugs and a shell included. Each raises TN001
-- with its own name as the constraint's.
CREATE FUNCTION tenure_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: % on % is refused', TG_ARGV[0], lower(TG_OP), TG_TABLE_NAME
        USING ERRCODE = 'TN001', CONSTRAINT = TG_ARGV[0], TABLE = TG_TABLE_NAME;
END $$;

CREATE TRIGGER tenants_never_deleted BEFORE DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenure_refuse('tenants_never_deleted');
CREATE TRIGGER tenants_never_truncated BEFORE TRUNCATE ON tenants
    FOR EACH STATEMENT EXECUTE FUNCTION tenure_refuse('tenants_never_truncated');
-- The laws of a row. They stand here and not as CHECKs, because PostgreSQL reads the text of every
-- CHECK and every trigger's condition anew in each statement, and a function's once in a session:
-- as CHECKs they cost a third of a commit's time. A law that is neither true nor false is kept, as
-- with CHECK. They look after the row is written: before it, each would cost a lock of the row.
CREATE FUNCTION tenure_tenants_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken text := CASE
        WHEN TG_OP = 'UPDATE' AND (
            NEW.tenant_id <> OLD.tenant_id OR NEW.name <> OLD.name OR NEW.class <> OLD.class
            OR NEW.created_at <> OLD.created_at
        ) THEN 'tenants_identity_immutable'
        WHEN TG_OP = 'UPDATE' AND NEW.revision IS DISTINCT FROM OLD.revision + 1
            THEN 'tenants_revision_plus_one'
        WHEN TG_OP = 'UPDATE' AND NOT tenure_may_become(OLD.state, NEW.state)
            THEN 'tenants_state_edge'
        WHEN NOT (NEW.name ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$') THEN 'tenants_name'
        WHEN NOT (NEW.class ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$') THEN
            'tenants_class'
        WHEN NOT (NEW.state IN ( 'requested', 'provisioning', 'ready', 'updating',
            'suspending', 'suspended', 'resuming', 'deleting', 'deleted' )) THEN
            'tenants_state'
        WHEN NOT (octet_length(NEW.reason) BETWEEN 1 AND 64) THEN 'tenants_reason'
        WHEN NOT (octet_length(NEW.message) <= 2000) THEN 'tenants_message'
        WHEN NOT (NEW.generation >= 1) THEN 'tenants_generation'
        WHEN NOT (NEW.observed_generation BETWEEN 0 AND NEW.generation) THEN
            'tenants_observed_generation'
        WHEN NOT (length(NEW.hash) = 32 AND length(NEW.desired) = 32 AND
            length(NEW.observed) = 32 AND length(NEW.metadata) = 32 AND
            length(NEW.details) = 32) THEN 'tenants_hashes'
        WHEN NOT (NEW.revision >= 1) THEN 'tenants_revision'
        WHEN NOT (NEW.updated_at >= NEW.created_at AND NEW.state_since BETWEEN
            NEW.created_at AND NEW.updated_at) THEN 'tenants_times'
        WHEN NOT ((NEW.state = 'deleted') = (NEW.deleted_at IS NOT NULL)) THEN
            'tenants_deleted'
    END;
BEGIN
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION '%: % on % is refused', broken, lower(TG_OP), TG_TABLE_NAME
            USING ERRCODE = 'TN001', CONSTRAINT = broken, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_guard AFTER INSERT OR UPDATE ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenure_tenants_guard();

CREATE FUNCTION tenure_history_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken text := CASE
        WHEN NOT ((NEW.revision = 1) = (NEW.kind = 'created')) THEN 'history_first'
        WHEN NOT ((NEW.revision = 1) = (NEW.from_state IS NULL) AND (NEW.revision > 1 OR
            NEW.to_state = 'requested')) THEN 'history_from'
        WHEN NOT (NEW.kind IN ( 'created', 'desired', 'state', 'observed', 'condition',
            'metadata' )) THEN 'history_kind'
        WHEN NOT (octet_length(NEW.actor) BETWEEN 1 AND 255) THEN 'history_actor'
        WHEN NOT (octet_length(NEW.reason) BETWEEN 1 AND 64) THEN 'history_reason'
        WHEN NOT (octet_length(NEW.message) <= 2000) THEN 'history_message'
        WHEN NOT (NEW.generation >= 1) THEN 'history_generation'
        WHEN NOT (NEW.observed_generation BETWEEN 0 AND NEW.generation) THEN
            'history_observed_generation'
        WHEN NOT (length(NEW.hash) = 32 AND length(NEW.desired) = 32 AND
            length(NEW.observed) = 32 AND length(NEW.metadata) = 32 AND
            length(NEW.details) = 32) THEN 'history_hashes'
        WHEN NOT (tenure_may_become(NEW.from_state, NEW.to_state)) THEN 'history_edge'
    END;
BEGIN
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION '%: % on % is refused', broken, lower(TG_OP), TG_TABLE_NAME
            USING ERRCODE = 'TN001', CONSTRAINT = broken, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER history_guard AFTER INSERT ON history
    FOR EACH ROW EXECUTE FUNCTION tenure_history_guard();

CREATE TRIGGER history_append_only BEFORE UPDATE OR DELETE ON history
    FOR EACH ROW EXECUTE FUNCTION tenure_refuse('history_append_only');
CREATE TRIGGER history_never_truncated BEFORE TRUNCATE ON history
    FOR EACH STATEMENT EXECUTE FUNCTION tenure_refuse('history_never_truncated');
-- A key that has not expired keeps its meaning; a command that would use it again fails whole.
CREATE TRIGGER idempotency_key_used BEFORE UPDATE ON idempotency
    FOR EACH ROW WHEN (OLD.expires_at > clock_timestamp())
    EXECUTE FUNCTION tenure_refuse('idempotency_key_used');
