-- Ends a live lease and plans the next attempt; at once if someone changed the tenant meanwhile.
UPDATE work AS w SET
    due_at = CASE
        WHEN w.dirty THEN clock_timestamp()
        WHEN $4::boolean THEN w.due_at
        ELSE clock_timestamp() + $3::bigint * interval '1 microsecond'
    END,
    routine = NOT w.dirty AND CASE WHEN $4 THEN w.routine ELSE $7::boolean END,
    dirty = false,
    holder = NULL,
    lease_until = NULL,
    attempts = CASE $5::text
        WHEN 'clean' THEN 0
        WHEN 'returned' THEN greatest(w.attempts - 1, 0)
        ELSE w.attempts
    END,
    last_error = CASE $5
        WHEN 'clean' THEN NULL
        WHEN 'returned' THEN w.last_error
        ELSE $6::text
    END,
    checked_at = CASE $5 WHEN 'clean' THEN clock_timestamp() ELSE w.checked_at END
WHERE w.tenant_id = $1 AND w.fence = $2 AND w.lease_until > clock_timestamp()
RETURNING w.fence;
