-- Takes away the oldest entries of the feed, up to the first that is too young, and notes how far.
--
-- Entries that no running transaction can have written come from a restored dump: they go too.
WITH oldest AS MATERIALIZED (
    SELECT
        f.ctid AS place,
        f.xact,
        f.seq,
        bool_and(f.at < statement_timestamp() - $1::bigint * interval '1 microsecond')
            OVER (ORDER BY f.xact, f.seq) AS old
    FROM feed AS f
    WHERE f.xact < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY f.xact, f.seq
    LIMIT $2
), foreign_entries AS MATERIALIZED (
    SELECT f.ctid AS place
    FROM feed AS f
    WHERE f.xact >= pg_snapshot_xmax(pg_current_snapshot())
    ORDER BY f.xact, f.seq
    LIMIT $2
), meta AS (
    UPDATE store_meta AS m SET
        feed_floor_xact = last.xact,
        feed_floor_seq = last.seq
    FROM (
        SELECT o.xact, o.seq FROM oldest AS o WHERE o.old ORDER BY o.xact DESC, o.seq DESC LIMIT 1
    ) AS last
    WHERE (last.xact, last.seq) > (m.feed_floor_xact, m.feed_floor_seq)
), gone AS (
    DELETE FROM feed AS f
    WHERE f.ctid = ANY (ARRAY (
        SELECT o.place FROM oldest AS o WHERE o.old
        UNION ALL
        SELECT e.place FROM foreign_entries AS e
    ))
    RETURNING f.seq
)
SELECT count(*) FROM gone;
