-- Writes a condition.
INSERT INTO conditions (tenant_id, condition)
VALUES (?1, ?2)
ON CONFLICT (tenant_id, condition) DO NOTHING;
