-- Plans the work of a tenant that is new.
INSERT INTO work (tenant_id, class, state, due_at, routine)
VALUES (?1, ?2, ?3, ?4, ?5);
