-- Wakes a tenant's work: due no later than planned; if it is leased, due again when that ends.
--
-- A check makes routine only what was not planned; others leave routine only what they don't hasten.
UPDATE work SET
    state = ?2,
    dirty = CASE WHEN ?4 AND lease_until > ?3 THEN 1 ELSE dirty END,
    due_at = CASE
        WHEN NOT ?4 OR lease_until > ?3 THEN due_at
        ELSE min(coalesce(due_at, ?5), coalesce(?5, due_at))
    END,
    routine = CASE
        WHEN NOT ?4 THEN routine
        WHEN ?7 THEN routine OR due_at IS NULL
        ELSE routine AND ?5 > ?3 AND due_at <= ?5 AND coalesce(lease_until <= ?3, 1)
    END,
    attempts = CASE WHEN ?6 THEN 0 ELSE attempts END,
    last_error = CASE WHEN ?6 THEN NULL ELSE last_error END
WHERE tenant_id = ?1;
