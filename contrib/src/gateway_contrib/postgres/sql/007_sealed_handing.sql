-- Handing over what is sealed. Whoever hands it over names the keys that it has, the one that shall
-- seal first; what is handed over is sealed with the first of them that an owner has made known.
-- So every owner can open it: that key stays known until the transaction has ended.

CREATE FUNCTION sealed_with() RETURNS TABLE (id text, secret text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT k.id, k.secret FROM {schema}.keyring k
$$;

CREATE FUNCTION seals(keys text[]) RETURNS text LANGUAGE sql
SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT k.id FROM {schema}.keyring k WHERE k.id = ANY (keys)
        AND EXISTS (SELECT 1 FROM {schema}.format f WHERE f.oldest >= 7) -- the owner can open it
        ORDER BY array_position(keys, k.id) LIMIT 1 FOR KEY SHARE
$$;

-- As `hand_all`, of envelopes that are sealed with one of these keys.

CREATE FUNCTION hand_sealed(
    me uuid, keys text[], key text, tokens uuid[], kinds text[], instances text[], rooms text[],
    envelopes text[], scopes bytea[], waits boolean[]
) RETURNS TABLE (token uuid, id text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    -- In this order: what an attempt of before committed with a key that is gone since is there.
    IF key IS DISTINCT FROM {schema}.seals(keys) AND EXISTS (SELECT 1 FROM unnest(tokens) t(token)
        WHERE NOT EXISTS (SELECT 1 FROM {schema}.handed h WHERE h.id = t.token))
    THEN
        RAISE EXCEPTION 'key % is not the one to seal with', key USING ERRCODE = 'GW003';
    END IF;
    RETURN QUERY SELECT * FROM {schema}.hand_all(
        me, tokens, kinds, instances, rooms, envelopes, scopes, waits);
END $$;

CREATE FUNCTION hand_piece(of_upload uuid, number integer, content bytea, key text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    INSERT INTO {schema}.pieces (upload, number, content, key)
        SELECT of_upload, hand_piece.number, hand_piece.content, hand_piece.key
        WHERE EXISTS (SELECT 1 FROM {schema}.handed_files f WHERE f.upload = of_upload);
END $$;

-- As `hand`, in the caller's transaction: the envelope sealed with each of its keys.

CREATE FUNCTION hand(instance text, room text, token uuid, keys text[], envelopes text[])
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    key text := {schema}.seals(keys);
    known text;
BEGIN
    IF key IS NULL THEN
        SELECT string_agg(k.id, ', ') || CASE WHEN (SELECT f.oldest FROM {schema}.format f) < 7
            THEN ', by an owner of an earlier release' ELSE '' END INTO known
            FROM {schema}.keyring k;
        RAISE EXCEPTION 'none of the keys % is one that the outbox is sealed with (%)',
            array_to_string(keys, ', '), coalesce(known, 'it is sealed with none')
            USING ERRCODE = 'GW003';
    END IF;
    IF coalesce(length(hand.instance), 0) NOT BETWEEN 1 AND 1024
        OR coalesce(length(hand.room), 0) NOT BETWEEN 1 AND 1024
    THEN
        RAISE EXCEPTION 'instance and room must have 1 to 1024 characters'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF octet_length(envelopes[array_position(keys, key)]) > 1333400 THEN
        RAISE EXCEPTION 'an envelope must have at most 1000000 bytes as JSON'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT {schema}.may_use(hand.instance) THEN
        RAISE EXCEPTION 'role % may not send as instance %', {schema}.caller(), hand.instance
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('SELECT {schema}.allow(%L, %L)', {schema}.caller(), hand.instance);
    END IF;
    INSERT INTO {schema}.handed (id, instance, room, envelope, handed_by)
        VALUES (token, hand.instance, hand.room, envelopes[array_position(keys, key)],
            {schema}.caller());
    RETURN token;
END $$;

-- A key may stand there hashed, or as it was before there were keys: the first of these that is there.

CREATE FUNCTION keyed(
    of_account text, of_instance text, of_scopes bytea[], since double precision
) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT coalesce(
        (SELECT k.seq FROM {schema}.keys k WHERE k.account = of_account AND k.scope = ANY (of_scopes)
            AND (k.ended_at IS NULL OR k.ended_at >= since)
            ORDER BY array_position(of_scopes, k.scope) LIMIT 1),
        (SELECT h.own FROM {schema}.handed h
            WHERE h.scope = ANY (of_scopes) AND h.instance = of_instance AND h.waiting
                AND h.answered_at IS NULL
            ORDER BY h.number LIMIT 1)
    ) WHERE {schema}.may_use(of_instance)
$$;

-- Whoever may send as an instance may call these as well.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;
SELECT {schema}.allow(g.role, g.instance) FROM {schema}.grants g WHERE EXISTS
    (SELECT 1 FROM pg_roles r WHERE r.rolname = g.role);
