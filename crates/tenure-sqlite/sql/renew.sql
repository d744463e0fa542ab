-- Makes a live lease run longer.
UPDATE work SET
    lease_until = ?4,
    due_at = ?4
WHERE tenant_id = ?1 AND fence = ?2 AND holder IS NOT NULL AND lease_until > ?3
RETURNING lease_until;
