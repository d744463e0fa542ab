-- A tenant's tables: a small product for teams that work in projects and invoice them.
-- The application turns on PRAGMA foreign_keys, which SQLite leaves to each connection.

-- What this program knows about the tenant, and whether it runs.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Every value of `desired`: its JSON Pointer, and the value as JSON. The application reads it too.
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- A row is a seat; deleting it frees the seat.
CREATE TABLE accounts (
  id           INTEGER PRIMARY KEY,
  email        TEXT NOT NULL UNIQUE COLLATE NOCASE CHECK (email LIKE '%_@_%' AND length(email) <= 254),
  display_name TEXT NOT NULL CHECK (length(display_name) BETWEEN 1 AND 100),
  role         TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'member', 'guest')),
  created_at   TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE projects (
  id         INTEGER PRIMARY KEY,
  lead_id    INTEGER REFERENCES accounts (id) ON DELETE SET NULL,
  name       TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX projects_by_lead ON projects (lead_id);

CREATE TABLE files (
  id         INTEGER PRIMARY KEY,
  project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
  path       TEXT NOT NULL CHECK (length(path) BETWEEN 1 AND 500),
  content    BLOB NOT NULL,
  bytes      INTEGER NOT NULL GENERATED ALWAYS AS (length(CAST(content AS BLOB))) STORED,
  UNIQUE (project_id, path)
);
-- Lets the storage quota add up sizes without reading a single content.
CREATE INDEX files_by_bytes ON files (bytes);

CREATE TABLE invoices (
  id        INTEGER PRIMARY KEY,
  number    TEXT NOT NULL UNIQUE CHECK (length(number) <= 40),
  state     TEXT NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'issued', 'paid', 'void')),
  currency  TEXT NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
  issued_at TEXT,
  CHECK (state = 'draft' OR issued_at IS NOT NULL)
);
CREATE INDEX invoices_unpaid ON invoices (issued_at) WHERE state = 'issued';

CREATE TABLE invoice_lines (
  invoice_id   INTEGER NOT NULL REFERENCES invoices (id) ON DELETE CASCADE,
  position     INTEGER NOT NULL CHECK (position > 0),
  project_id   INTEGER REFERENCES projects (id) ON DELETE SET NULL,
  description  TEXT NOT NULL CHECK (length(description) <= 500),
  amount_cents INTEGER NOT NULL,
  PRIMARY KEY (invoice_id, position)
) WITHOUT ROWID;
CREATE INDEX invoice_lines_by_project ON invoice_lines (project_id);
