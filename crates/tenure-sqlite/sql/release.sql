-- Ends a live lease and plans the next attempt; at once if someone changed the tenant meanwhile.
UPDATE work SET
    holder = NULL,
    lease_until = NULL,
    due_at = CASE WHEN dirty THEN ?3 WHEN ?4 THEN due_at ELSE ?5 END,
    routine = CASE WHEN dirty THEN 0 WHEN ?4 THEN routine ELSE ?8 END,
    dirty = 0,
    attempts = CASE ?6 WHEN 'clean' THEN 0 WHEN 'returned' THEN max(attempts - 1, 0) ELSE attempts END,
    last_error = CASE ?6 WHEN 'clean' THEN NULL WHEN 'returned' THEN last_error ELSE ?7 END,
    checked_at = CASE ?6 WHEN 'clean' THEN ?3 ELSE checked_at END
WHERE tenant_id = ?1 AND fence = ?2 AND holder IS NOT NULL AND lease_until > ?3;
