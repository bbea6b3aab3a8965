-- How many unfinished envelopes each member counts: urgent, normal and bulk. A member that owns some
-- accounts adds what the others count to its own, so that all keep to one bound.

ALTER TABLE members ADD COLUMN unfinished bigint[] NOT NULL DEFAULT '{}';

-- What all of them count, for processes that only hand over.

CREATE FUNCTION counted() RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT coalesce(array_agg(each.total ORDER BY each.place), '{}') FROM
        (SELECT u.place, sum(u.counted)::bigint AS total
            FROM {schema}.members m, unnest(m.unfinished) WITH ORDINALITY u(counted, place)
            GROUP BY u.place) each
$$;

REVOKE ALL ON FUNCTION counted() FROM PUBLIC;
SELECT {schema}.allow(g.role, g.instance) FROM {schema}.grants g WHERE EXISTS
    (SELECT 1 FROM pg_roles r WHERE r.rolname = g.role);
