-- Plans the work of a tenant that is new.
INSERT INTO work (tenant_id, state, due_at)
VALUES (?1, ?2, ?3);
