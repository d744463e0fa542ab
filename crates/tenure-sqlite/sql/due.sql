-- Finds due work of one class and lane, longest due first.
SELECT
    w.tenant_id,
    w.due_at,
    w.holder IS NOT NULL AS taken_over
FROM work AS w
WHERE w.class = ?1 AND w.routine = ?2 AND w.due_at <= ?3
ORDER BY w.due_at, w.tenant_id
LIMIT ?4;
