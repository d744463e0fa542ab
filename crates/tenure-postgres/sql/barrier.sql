-- Writes nothing to any table, but its commit waits like a write: a deposed primary can't pass it.
SELECT pg_logical_emit_message(true, 'tenure', '')::text;
