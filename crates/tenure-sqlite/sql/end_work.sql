-- Ends the lease that a change was made under, and plans what is next.
UPDATE work SET
    state = ?2,
    holder = NULL,
    lease_until = NULL,
    due_at = CASE WHEN dirty THEN ?3 WHEN ?4 THEN due_at ELSE ?5 END,
    routine = CASE WHEN dirty THEN 0 WHEN ?4 THEN routine ELSE ?7 END,
    dirty = 0,
    attempts = CASE WHEN ?6 THEN 0 ELSE attempts END,
    last_error = CASE WHEN ?6 THEN NULL ELSE coalesce(?8, last_error) END,
    checked_at = CASE WHEN ?6 THEN ?3 ELSE checked_at END
WHERE tenant_id = ?1;
