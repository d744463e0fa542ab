-- Ends all leases: whoever held one is gone. Fences stay, so a late report is still refused.
UPDATE work SET
    due_at = min(due_at, ?1),
    dirty = 0,
    holder = NULL,
    lease_until = NULL
WHERE holder IS NOT NULL;
