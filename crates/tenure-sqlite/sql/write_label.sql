-- Writes a label, over its old value if there is one.
INSERT INTO labels (tenant_id, key, value)
VALUES (?1, ?2, ?3)
ON CONFLICT (tenant_id, key) DO UPDATE SET value = excluded.value;
