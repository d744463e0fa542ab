-- Finds when the next work is due.
SELECT w.due_at
FROM work AS w
WHERE w.due_at IS NOT NULL
ORDER BY w.due_at, w.tenant_id
LIMIT 1;
