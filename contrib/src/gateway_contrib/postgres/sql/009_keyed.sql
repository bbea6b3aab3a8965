-- Who may send as one instance hears of no other's keys: the account asked about is looked at as well.

CREATE FUNCTION may_use_account(of_account text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT {schema}.may_use(coalesce(
        (SELECT a.instance FROM {schema}.accounts a WHERE a.account = of_account), of_account))
$$;

CREATE OR REPLACE FUNCTION keyed(
    of_account text, of_instance text, of_scope bytea, since double precision
) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT coalesce(
        (SELECT k.seq FROM {schema}.keys k WHERE k.account = of_account AND k.scope = of_scope
            AND (k.ended_at IS NULL OR k.ended_at >= since)
            AND {schema}.may_use_account(of_account)),
        (SELECT h.own FROM {schema}.handed h
            WHERE h.scope = of_scope AND h.instance = of_instance AND h.waiting
                AND h.answered_at IS NULL
            ORDER BY h.number LIMIT 1)
    ) WHERE {schema}.may_use(of_instance)
$$;

CREATE OR REPLACE FUNCTION keyed(
    of_account text, of_instance text, of_scopes bytea[], since double precision
) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT coalesce(
        (SELECT k.seq FROM {schema}.keys k WHERE k.account = of_account AND k.scope = ANY (of_scopes)
            AND (k.ended_at IS NULL OR k.ended_at >= since)
            AND {schema}.may_use_account(of_account)
            ORDER BY array_position(of_scopes, k.scope) LIMIT 1),
        (SELECT h.own FROM {schema}.handed h
            WHERE h.scope = ANY (of_scopes) AND h.instance = of_instance AND h.waiting
                AND h.answered_at IS NULL
            ORDER BY h.number LIMIT 1)
    ) WHERE {schema}.may_use(of_instance)
$$;

REVOKE ALL ON FUNCTION may_use_account(text) FROM PUBLIC;
