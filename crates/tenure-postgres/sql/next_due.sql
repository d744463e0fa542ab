-- Tells in how many microseconds the next work of some classes is due.
SELECT (extract(epoch FROM min(w.due_at) - clock_timestamp()) * 1000000)::bigint AS micros
FROM unnest($1::text[]) AS wanted (class)
CROSS JOIN (VALUES (false), (true)) AS lane (routine)
CROSS JOIN LATERAL (
    SELECT w.due_at
    FROM work AS w
    WHERE w.class = wanted.class AND w.routine = lane.routine AND w.due_at IS NOT NULL
    ORDER BY w.due_at
    LIMIT 1
) AS w;
