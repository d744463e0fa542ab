-- The record: tenants, their history and documents, and what lists, work, feed and keys need.
--
-- Ids are 16 bytes, hashes 32, times whole microseconds since the epoch, UTC.
PRAGMA application_id = 1413828178; -- 'TENR'

-- What this database is, and which binaries may use it.
CREATE TABLE store_meta (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    store_id BLOB NOT NULL CHECK (length(store_id) = 16),
    feed_epoch BLOB NOT NULL CHECK (length(feed_epoch) = 16),
    schema_level INTEGER NOT NULL,
    min_reader INTEGER NOT NULL,
    min_writer INTEGER NOT NULL
) STRICT;
INSERT INTO store_meta (singleton, store_id, feed_epoch, schema_level, min_reader, min_writer)
VALUES (1, randomblob(16), randomblob(16), 1, 1, 1);

-- The ways between states, staying included. The rules' own table is the model of this one.
CREATE TABLE state_edges (
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    PRIMARY KEY (from_state, to_state)
) STRICT, WITHOUT ROWID;
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

-- The tenants as they are now. Documents are named by hash.
CREATE TABLE tenants (
    tenant_id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    class TEXT NOT NULL,
    state TEXT NOT NULL,
    state_since INTEGER NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    running INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    observed_generation INTEGER NOT NULL,
    desired BLOB NOT NULL,
    observed BLOB,
    metadata BLOB,
    details BLOB,
    hash BLOB NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    CONSTRAINT tenants_id CHECK (length(tenant_id) = 16),
    CONSTRAINT tenants_name CHECK (
        length(name) BETWEEN 1 AND 63 AND name NOT GLOB '*[^-a-z0-9]*'
        AND name NOT GLOB '-*' AND name NOT GLOB '*-'
    ),
    CONSTRAINT tenants_class CHECK (
        length(class) BETWEEN 1 AND 63 AND class NOT GLOB '*[^-a-z0-9]*'
        AND class NOT GLOB '-*' AND class NOT GLOB '*-'
    ),
    CONSTRAINT tenants_state CHECK (state IN (
        'requested', 'provisioning', 'ready', 'updating', 'suspending', 'suspended', 'resuming',
        'deleting', 'deleted'
    )),
    CONSTRAINT tenants_reason CHECK (octet_length(reason) BETWEEN 1 AND 64),
    CONSTRAINT tenants_message CHECK (octet_length(message) <= 2000),
    CONSTRAINT tenants_running CHECK (running IN (0, 1)),
    CONSTRAINT tenants_generation CHECK (generation >= 1),
    CONSTRAINT tenants_observed_generation CHECK (observed_generation BETWEEN 0 AND generation),
    CONSTRAINT tenants_hashes CHECK (
        length(desired) = 32 AND coalesce(length(observed), 32) = 32
        AND coalesce(length(metadata), 32) = 32 AND coalesce(length(details), 32) = 32
        AND length(hash) = 32
    ),
    CONSTRAINT tenants_revision CHECK (revision >= 1),
    CONSTRAINT tenants_times CHECK (
        created_at >= 0 AND updated_at >= created_at AND state_since BETWEEN created_at AND updated_at
    ),
    CONSTRAINT tenants_deleted CHECK ((state = 'deleted') = (deleted_at IS NOT NULL)),
    CONSTRAINT tenants_head FOREIGN KEY (tenant_id, revision)
        REFERENCES history (tenant_id, revision)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX tenants_living_name ON tenants (name) WHERE deleted_at IS NULL;

-- Every change of every tenant, one line each, for ever. The after-image is complete.
CREATE TABLE history (
    tenant_id BLOB NOT NULL,
    revision INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    running INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    observed_generation INTEGER NOT NULL,
    desired BLOB NOT NULL,
    observed BLOB,
    metadata BLOB,
    details BLOB,
    request_id BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (tenant_id, revision),
    CONSTRAINT history_first CHECK ((revision = 1) = (kind = 'created')),
    CONSTRAINT history_from CHECK ((revision = 1) = (from_state IS NULL)),
    CONSTRAINT history_kind CHECK (kind IN (
        'created', 'desired', 'state', 'observed', 'condition', 'metadata'
    )),
    CONSTRAINT history_actor CHECK (octet_length(actor) BETWEEN 1 AND 255),
    CONSTRAINT history_reason CHECK (octet_length(reason) BETWEEN 1 AND 64),
    CONSTRAINT history_message CHECK (octet_length(message) <= 2000),
    CONSTRAINT history_running CHECK (running IN (0, 1)),
    CONSTRAINT history_generation CHECK (generation >= 1),
    CONSTRAINT history_observed_generation CHECK (observed_generation BETWEEN 0 AND generation),
    CONSTRAINT history_hashes CHECK (
        length(desired) = 32 AND coalesce(length(observed), 32) = 32
        AND coalesce(length(metadata), 32) = 32 AND coalesce(length(details), 32) = 32
        AND length(hash) = 32
    ),
    CONSTRAINT history_request CHECK (length(request_id) = 16),
    CONSTRAINT history_time CHECK (at >= 0),
    CONSTRAINT history_edge FOREIGN KEY (from_state, to_state)
        REFERENCES state_edges (from_state, to_state),
    CONSTRAINT history_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenants (tenant_id) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

-- Canonical JSON by the SHA-256 of its text; a tenant's equal documents are stored once.
CREATE TABLE documents (
    tenant_id BLOB NOT NULL,
    hash BLOB NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant_id, hash),
    CONSTRAINT documents_hash CHECK (length(tenant_id) = 16 AND length(hash) = 32),
    CONSTRAINT documents_body CHECK (octet_length(body) BETWEEN 2 AND 1048576)
) STRICT;

-- The labels of the current record, for lists.
CREATE TABLE labels (
    tenant_id BLOB NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (tenant_id, key),
    CONSTRAINT labels_length CHECK (
        length(tenant_id) = 16 AND octet_length(key) BETWEEN 1 AND 317 AND octet_length(value) <= 63
    )
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_value ON labels (key, value, tenant_id);

-- The kinds of condition of the current record, for lists.
CREATE TABLE conditions (
    tenant_id BLOB NOT NULL,
    condition TEXT NOT NULL,
    PRIMARY KEY (tenant_id, condition),
    CONSTRAINT conditions_kind CHECK (
        condition IN ('failing', 'drifted', 'held', 'overdue', 'unknown')
    ),
    CONSTRAINT conditions_id CHECK (length(tenant_id) = 16)
) STRICT, WITHOUT ROWID;
CREATE INDEX conditions_by_kind ON conditions (condition, tenant_id);

-- What is to be done for each tenant, when, and who does it. Times are of the store's clock.
CREATE TABLE work (
    tenant_id BLOB NOT NULL PRIMARY KEY
        REFERENCES tenants (tenant_id),
    -- A copy: this row is rewritten by every transition anyway, so lists by state go by it.
    state TEXT NOT NULL,
    -- A copy that never changes: workers claim by class.
    class TEXT NOT NULL,
    due_at INTEGER,
    -- Nobody waits for what is planned.
    routine INTEGER NOT NULL DEFAULT 0,
    -- Someone else changed the tenant while it was leased.
    dirty INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    holder TEXT,
    lease_until INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    checked_at INTEGER,
    CONSTRAINT work_routine CHECK (routine IN (0, 1)),
    CONSTRAINT work_dirty CHECK (dirty IN (0, 1)),
    CONSTRAINT work_fence CHECK (fence >= 0),
    CONSTRAINT work_attempts CHECK (attempts >= 0),
    CONSTRAINT work_lease CHECK ((holder IS NULL) = (lease_until IS NULL)),
    CONSTRAINT work_last_error CHECK (octet_length(last_error) <= 2000)
) STRICT, WITHOUT ROWID;
CREATE INDEX work_due ON work (class, routine, due_at, tenant_id) WHERE due_at IS NOT NULL;
CREATE INDEX work_by_state ON work (state, tenant_id);

-- All changes in the order of their commits: there is one writer, so numbers follow commits.
CREATE TABLE feed (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BLOB NOT NULL,
    revision INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX feed_once ON feed (tenant_id, revision);

-- What idempotency keys stand for, until they expire by the store's clock.
CREATE TABLE idempotency (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    tenant_id BLOB NOT NULL,
    revision INTEGER NOT NULL,
    -- Whether the request wrote the revision, or found all as asked.
    wrote INTEGER NOT NULL CHECK (wrote IN (0, 1)),
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key),
    CONSTRAINT idempotency_length CHECK (
        octet_length(scope) BETWEEN 1 AND 255 AND octet_length(key) BETWEEN 1 AND 255
        AND length(fingerprint) = 32
    ),
    CONSTRAINT idempotency_answer FOREIGN KEY (tenant_id, revision)
        REFERENCES history (tenant_id, revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- Who may use the API: tokens by the hash that they have, and the one they had before a rotation.
CREATE TABLE tokens (
    name TEXT NOT NULL PRIMARY KEY,
    role TEXT NOT NULL,
    -- Of provisioners: names with commas.
    classes TEXT NOT NULL,
    -- A label selector.
    scope TEXT NOT NULL,
    hash BLOB NOT NULL,
    previous_hash BLOB,
    previous_until INTEGER,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER,
    revoked_by TEXT,
    CONSTRAINT tokens_name CHECK (octet_length(name) BETWEEN 1 AND 63),
    CONSTRAINT tokens_role CHECK (
        role IN ('viewer', 'operator', 'admin', 'provisioner', 'auditor')
    ),
    CONSTRAINT tokens_hash CHECK (length(hash) = 32 AND length(previous_hash) = 32),
    CONSTRAINT tokens_previous CHECK ((previous_hash IS NULL) = (previous_until IS NULL)),
    CONSTRAINT tokens_revoked CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX tokens_by_hash ON tokens (hash);
CREATE INDEX tokens_by_previous_hash ON tokens (previous_hash) WHERE previous_hash IS NOT NULL;

-- How a change is written: its line first. The line moves the head, or a tenant that is new is
-- written after its first line. So neither is ever without the other, whoever writes, and even
-- where foreign keys are off, as they are in SQLite's own shell.
CREATE TRIGGER history_moves_head AFTER INSERT ON history
WHEN NEW.revision > 1 AND NEW.to_state <> 'deleted'
BEGIN
    UPDATE tenants SET
        state = NEW.to_state,
        state_since = CASE WHEN NEW.from_state = NEW.to_state THEN state_since ELSE NEW.at END,
        reason = CASE WHEN NEW.kind IN ('observed', 'metadata') THEN reason ELSE NEW.reason END,
        message = CASE WHEN NEW.kind IN ('observed', 'metadata') THEN message ELSE NEW.message END,
        running = NEW.running,
        generation = NEW.generation,
        observed_generation = NEW.observed_generation,
        desired = NEW.desired,
        observed = NEW.observed,
        metadata = NEW.metadata,
        details = NEW.details,
        hash = NEW.hash,
        revision = NEW.revision,
        updated_at = NEW.at
    WHERE tenant_id = NEW.tenant_id;
END;

-- Apart, so that only a deletion touches the index of the living's names.
CREATE TRIGGER history_ends_head AFTER INSERT ON history
WHEN NEW.revision > 1 AND NEW.to_state = 'deleted'
BEGIN
    UPDATE tenants SET
        state = NEW.to_state,
        state_since = NEW.at,
        reason = CASE WHEN NEW.kind IN ('observed', 'metadata') THEN reason ELSE NEW.reason END,
        message = CASE WHEN NEW.kind IN ('observed', 'metadata') THEN message ELSE NEW.message END,
        running = NEW.running,
        generation = NEW.generation,
        observed_generation = NEW.observed_generation,
        desired = NEW.desired,
        observed = NEW.observed,
        metadata = NEW.metadata,
        details = NEW.details,
        hash = NEW.hash,
        revision = NEW.revision,
        updated_at = NEW.at,
        deleted_at = NEW.at
    WHERE tenant_id = NEW.tenant_id;
END;

-- Guards. They hold for every writer, this program's bugs and a shell included. A message that
-- begins with 'guard:' names the rule that was broken.
CREATE TRIGGER history_revision BEFORE INSERT ON history
WHEN NEW.revision IS NOT coalesce(
    (SELECT t.revision FROM tenants AS t WHERE t.tenant_id = NEW.tenant_id), 0
) + 1
BEGIN SELECT RAISE(ABORT, 'guard:tenants_revision_plus_one'); END;

CREATE TRIGGER history_follows_head BEFORE INSERT ON history
WHEN NEW.revision > 1 AND EXISTS (
    SELECT 1 FROM tenants AS t
    WHERE t.tenant_id = NEW.tenant_id AND (t.state IS NOT NEW.from_state OR t.updated_at > NEW.at)
)
BEGIN SELECT RAISE(ABORT, 'guard:history_follows_head'); END;

CREATE TRIGGER history_edge BEFORE INSERT ON history
WHEN CASE WHEN NEW.revision = 1 THEN NEW.to_state IS NOT 'requested' ELSE NOT EXISTS (
    SELECT 1 FROM state_edges AS e
    WHERE e.from_state = NEW.from_state AND e.to_state = NEW.to_state
) END
BEGIN SELECT RAISE(ABORT, 'guard:history_edge'); END;

CREATE TRIGGER history_generation BEFORE INSERT ON history
WHEN NEW.generation < (SELECT t.generation FROM tenants AS t WHERE t.tenant_id = NEW.tenant_id)
BEGIN SELECT RAISE(ABORT, 'guard:generation_grows'); END;

CREATE TRIGGER history_never_replaced BEFORE INSERT ON history
WHEN EXISTS (
    SELECT 1 FROM history AS h WHERE h.tenant_id = NEW.tenant_id AND h.revision = NEW.revision
)
BEGIN SELECT RAISE(ABORT, 'guard:history_append_only'); END;

CREATE TRIGGER history_never_updated BEFORE UPDATE ON history
BEGIN SELECT RAISE(ABORT, 'guard:history_append_only'); END;

CREATE TRIGGER history_never_deleted BEFORE DELETE ON history
BEGIN SELECT RAISE(ABORT, 'guard:history_append_only'); END;

CREATE TRIGGER tenants_created_with_history BEFORE INSERT ON tenants
WHEN NEW.revision IS NOT 1 OR NOT EXISTS (
    SELECT 1 FROM history AS h
    WHERE h.tenant_id = NEW.tenant_id AND h.revision = 1 AND h.to_state = NEW.state
        AND h.hash = NEW.hash AND h.at = NEW.created_at AND h.at = NEW.updated_at
        AND h.running = NEW.running AND h.generation = NEW.generation
        AND h.observed_generation = NEW.observed_generation AND h.desired = NEW.desired
        AND h.observed IS NEW.observed AND h.metadata IS NEW.metadata AND h.details IS NEW.details
)
BEGIN SELECT RAISE(ABORT, 'guard:tenants_head'); END;

-- Since only a line's own trigger can meet this, nothing else ever updates a tenant: its name, class
-- and times stay what they are.
CREATE TRIGGER tenants_changed_with_history BEFORE UPDATE ON tenants
WHEN NEW.revision IS NOT OLD.revision + 1 OR NOT EXISTS (
    SELECT 1 FROM history AS h
    WHERE h.tenant_id = NEW.tenant_id AND h.revision = NEW.revision AND h.to_state = NEW.state
        AND h.from_state = OLD.state AND h.hash = NEW.hash AND h.at = NEW.updated_at
        AND h.running = NEW.running AND h.generation = NEW.generation
        AND h.observed_generation = NEW.observed_generation AND h.desired = NEW.desired
        AND h.observed IS NEW.observed AND h.metadata IS NEW.metadata AND h.details IS NEW.details
)
BEGIN SELECT RAISE(ABORT, 'guard:tenants_head'); END;

CREATE TRIGGER tenants_never_deleted BEFORE DELETE ON tenants
BEGIN SELECT RAISE(ABORT, 'guard:tenants_never_deleted'); END;

-- REPLACE deletes without asking the trigger above.
CREATE TRIGGER tenants_never_replaced BEFORE INSERT ON tenants
WHEN EXISTS (SELECT 1 FROM tenants AS t WHERE t.tenant_id = NEW.tenant_id)
    OR EXISTS (SELECT 1 FROM tenants AS t WHERE t.name = NEW.name AND t.deleted_at IS NULL)
BEGIN SELECT RAISE(ABORT, 'guard:tenants_never_deleted'); END;
