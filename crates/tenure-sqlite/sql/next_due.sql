-- Finds when the next work of one class and lane is due.
SELECT w.due_at
FROM work AS w
WHERE w.class = ?1 AND w.routine = ?2 AND w.due_at IS NOT NULL
ORDER BY w.due_at, w.tenant_id
LIMIT 1;
