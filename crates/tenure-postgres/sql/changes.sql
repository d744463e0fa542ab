-- Reads the feed after a position, in the order of commits, and which feed this is. Stops below the
-- oldest open transaction, so that nothing can appear later before what was read.
WITH here AS MATERIALIZED (
    SELECT
        m.feed_epoch,
        (SELECT c.system_identifier FROM pg_control_system() AS c) AS system_identifier,
        substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) AS timeline,
        (SELECT a.datid::bigint FROM pg_stat_get_activity(pg_backend_pid()) AS a) AS database,
        m.feed_floor_xact,
        m.feed_floor_seq,
        EXISTS (
            SELECT 1 FROM feed AS k
            WHERE k.xact >= pg_snapshot_xmin(pg_current_snapshot())
                AND k.xact < pg_snapshot_xmax(pg_current_snapshot())
        ) AS kept_back
    FROM store_meta AS m
)
SELECT
    here.feed_epoch,
    here.system_identifier,
    here.timeline,
    here.database,
    here.feed_floor_xact::text,
    here.feed_floor_seq,
    here.kept_back,
    entry.xact::text,
    entry.seq,
    entry.tenant_id, entry.revision, entry.at, entry.actor, entry.kind, entry.from_state,
    entry.to_state, entry.reason, entry.message, entry.running, entry.generation,
    entry.observed_generation, entry.desired, entry.observed, entry.metadata, entry.details,
    entry.request_id, entry.hash
FROM here
LEFT JOIN LATERAL (
    SELECT
        f.xact,
        f.seq,
        h.tenant_id, h.revision, h.at, h.actor, h.kind, h.from_state, h.to_state, h.reason,
        h.message, h.running, h.generation, h.observed_generation, h.desired, h.observed,
        h.metadata, h.details, h.request_id, h.hash
    FROM (
        SELECT
            p.xact,
            p.seq,
            p.tenant_id,
            p.revision
        FROM feed AS p
        WHERE (p.xact, p.seq) > ($1::text::xid8, $2::bigint)
            AND p.xact < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY p.xact, p.seq
        LIMIT $3
    ) AS f
    JOIN history AS h ON h.tenant_id = f.tenant_id AND h.revision = f.revision
) AS entry ON true
ORDER BY entry.xact, entry.seq;
