-- Counts tenants by state.
SELECT w.state, count(*)
FROM work AS w
GROUP BY w.state;
