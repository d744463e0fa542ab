-- Counts all tenants by state.
SELECT
    w.state,
    count(*) AS tenants
FROM work AS w
GROUP BY w.state;
