-- A change of state, then its history, each in a commit of its own.
UPDATE wide_tenants
SET status = 'ready', message = '', version = version + 1, updated_at = now()
WHERE id = (SELECT b.id FROM wide_ids AS b WHERE b.n = :n::int) AND version >= 1;
INSERT INTO wide_history (tenant_id, from_status, to_status, reason, triggered_by, snapshot)
VALUES (
    (SELECT b.id FROM wide_ids AS b WHERE b.n = :n::int),
    'updating', 'ready', 'Updated', 'bench', ':document'
);
