-- A tenant, then its history, each in a commit of its own.
INSERT INTO wide_tenants (id, name, status, desired)
VALUES (lpad(to_hex(:r::bigint), 32, '0')::uuid, 't' || :r::bigint, 'requested', ':document');
INSERT INTO wide_history (tenant_id, to_status, reason, triggered_by, snapshot)
VALUES (lpad(to_hex(:r::bigint), 32, '0')::uuid, 'requested', 'Requested', 'bench', ':document');
