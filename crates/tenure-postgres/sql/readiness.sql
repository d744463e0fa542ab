-- Reads what the schema says about who may use it, and whether the database takes writes.
SELECT
    m.schema_level,
    m.min_reader,
    m.min_writer,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS read_only
FROM store_meta AS m;
