-- Reads what the schema says about who may use it, whether the database takes writes, and whether
-- it waits for them to be on disk before it says so.
SELECT
    m.schema_level,
    m.min_reader,
    m.min_writer,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS read_only,
    current_setting('synchronous_commit') <> 'off' AS durable
FROM store_meta AS m;
