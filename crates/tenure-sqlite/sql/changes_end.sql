-- Reads which feed this is, its oldest entry that is kept, and the last that it ever had.
SELECT
    m.feed_epoch,
    (SELECT min(f.seq) FROM feed AS f) AS oldest,
    coalesce((SELECT s.seq FROM sqlite_sequence AS s WHERE s.name = 'feed'), 0) AS newest
FROM store_meta AS m
WHERE m.singleton = 1;
