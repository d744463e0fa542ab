-- Takes away the oldest entries of the feed, up to the first that is too young.
WITH oldest AS MATERIALIZED (
    SELECT f.seq, f.at FROM feed AS f ORDER BY f.seq LIMIT ?2
)
DELETE FROM feed
WHERE seq IN (
    SELECT o.seq FROM oldest AS o
    WHERE o.seq < coalesce((SELECT min(y.seq) FROM oldest AS y WHERE y.at >= ?1), 9223372036854775807)
);
