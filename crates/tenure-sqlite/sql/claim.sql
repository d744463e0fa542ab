-- Claims the work of one tenant: a lease that ends by itself, with the next fence.
UPDATE work SET
    holder = ?2,
    lease_until = ?3,
    due_at = ?3,
    fence = fence + 1,
    attempts = attempts + 1,
    dirty = 0
WHERE tenant_id = ?1
RETURNING fence, attempts;
