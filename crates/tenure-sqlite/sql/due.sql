-- Finds due work, longest due first.
SELECT w.tenant_id
FROM work AS w
WHERE w.due_at <= ?1
ORDER BY w.due_at, w.tenant_id
LIMIT ?2;
