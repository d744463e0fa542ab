-- Reads what the schema says about who may use it.
SELECT
    m.schema_level,
    m.min_reader,
    m.min_writer
FROM store_meta AS m
WHERE m.singleton = 1;
