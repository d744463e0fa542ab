-- Writes a change's place in the feed.
INSERT INTO feed (tenant_id, revision, at)
VALUES (?1, ?2, ?3);
