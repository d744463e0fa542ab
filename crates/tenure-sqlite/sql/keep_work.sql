-- Notes a change that was made under a lease which goes on.
UPDATE work SET
    state = ?2,
    attempts = CASE WHEN ?3 THEN 0 ELSE attempts END,
    last_error = CASE WHEN ?3 THEN NULL ELSE last_error END
WHERE tenant_id = ?1;
