-- Tells in how many microseconds the next work is due.
SELECT (extract(epoch FROM min(w.due_at) - clock_timestamp()) * 1000000)::bigint AS micros
FROM work AS w
WHERE w.due_at IS NOT NULL;
