-- Notes when tokens were last used, where that is later than what is noted.
UPDATE tokens AS t SET
    last_used_at = uses.used_at
FROM unnest($1::text[], $2::timestamptz[]) AS uses (name, used_at)
WHERE
    t.name = ANY ($1::text[])
    AND t.name = uses.name
    AND (t.last_used_at IS NULL OR t.last_used_at < uses.used_at);
