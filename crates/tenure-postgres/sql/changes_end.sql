-- Finds the feed's end: all that follows is at or beyond the oldest open transaction.
SELECT
    m.feed_epoch,
    (SELECT c.system_identifier FROM pg_control_system() AS c) AS system_identifier,
    substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) AS timeline,
    (SELECT a.datid::bigint FROM pg_stat_get_activity(pg_backend_pid()) AS a) AS database,
    pg_snapshot_xmin(pg_current_snapshot())::text AS xact
FROM store_meta AS m;
