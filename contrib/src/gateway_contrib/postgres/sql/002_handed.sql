-- What applications hand over in their own transactions: `send` and `hand` append a row, and no more.
-- The outbox's owner takes it once it is committed, and answers in the row.

CREATE TABLE handed (
    number bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    instance text NOT NULL,
    room text NOT NULL,
    envelope text NOT NULL,           -- JSON; empty once it is answered
    handed_by text NOT NULL,          -- the role
    handed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    waiting boolean NOT NULL DEFAULT true,
    answered_at timestamptz,
    seq bigint,                       -- of the envelope that it became
    envelope_id text,
    refused text                      -- why it became none
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX handed_waiting ON handed (number) WHERE answered_at IS NULL;
-- Of `waiting`, so that no look at what is new is led to the index above: that begins with what was
-- answered lately, for as long as some transaction may still see it unanswered.
CREATE INDEX handed_new ON handed (transaction, number) WHERE waiting;
CREATE INDEX handed_answered ON handed (answered_at) WHERE answered_at IS NOT NULL;
CREATE TABLE grants (
    role text NOT NULL,
    instance text NOT NULL,           -- `*`: every one
    PRIMARY KEY (role, instance)
);

CREATE FUNCTION caller() RETURNS name LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('role', true), 'none'), session_user)::name
$$;

CREATE FUNCTION may_use(named text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM pg_namespace n WHERE n.nspname = '{schema}'
            AND pg_has_role({schema}.caller(), n.nspowner, 'MEMBER')
    ) OR EXISTS (
        SELECT 1 FROM {schema}.grants g JOIN pg_roles r ON r.rolname = g.role
        WHERE g.instance IN (named, '*') AND pg_has_role({schema}.caller(), r.oid, 'MEMBER')
    )
$$;

CREATE FUNCTION hand(instance text, room text, envelope text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    made uuid;
BEGIN
    IF coalesce(length(hand.instance), 0) NOT BETWEEN 1 AND 1024
        OR coalesce(length(hand.room), 0) NOT BETWEEN 1 AND 1024
    THEN
        RAISE EXCEPTION 'instance and room must have 1 to 1024 characters'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF hand.envelope IS NULL OR octet_length(hand.envelope) > 1000000 THEN
        RAISE EXCEPTION 'an envelope must have at most 1000000 bytes as JSON'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT {schema}.may_use(hand.instance) THEN
        RAISE EXCEPTION 'role % may not send as instance %', {schema}.caller(), hand.instance
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('SELECT {schema}.allow(%L, %L)', {schema}.caller(), hand.instance);
    END IF;
    INSERT INTO {schema}.handed (instance, room, envelope, handed_by)
        VALUES (hand.instance, hand.room, hand.envelope, {schema}.caller()) RETURNING id INTO made;
    RETURN made;
END $$;

CREATE FUNCTION send(instance text, room text, text text, options jsonb DEFAULT '{}')
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    IF jsonb_typeof(options) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'options must be a JSON object, such as {"key": "order-17"}'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF send.text IS NULL THEN
        RAISE EXCEPTION 'text must not be NULL' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF options ? 'thread' THEN
        options := (options - 'thread') || jsonb_build_object('thread_id', options -> 'thread');
    END IF;
    RETURN {schema}.hand(send.instance, send.room, (options || jsonb_build_object(
        'kind', 'send', 'version', 1, 'instance_id', send.instance,
        'external_room_id', send.room, 'text', send.text))::text);
END $$;

CREATE FUNCTION status(handed_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    found_row {schema}.handed;
    ended {schema}.history;
BEGIN
    SELECT * INTO found_row FROM {schema}.handed h WHERE h.id = handed_id;
    IF NOT FOUND OR NOT {schema}.may_use(found_row.instance) THEN
        RETURN NULL;
    ELSIF found_row.answered_at IS NULL THEN
        RETURN jsonb_build_object('state', 'handed');
    ELSIF found_row.refused IS NOT NULL THEN
        RETURN jsonb_build_object(
            'state', 'ended', 'disposition', 'rejected', 'reason', found_row.refused);
    END IF;
    SELECT * INTO ended FROM {schema}.history h WHERE h.seq = found_row.seq;
    IF FOUND THEN
        RETURN jsonb_build_object('state', 'ended', 'id', found_row.envelope_id,
            'disposition', ended.disposition, 'reason', ended.reason, 'ended_at', ended.ended_at);
    ELSIF EXISTS (SELECT 1 FROM {schema}.envelopes e WHERE e.seq = found_row.seq) THEN
        RETURN jsonb_build_object('state', 'accepted', 'id', found_row.envelope_id);
    END IF;
    RETURN jsonb_build_object('state', 'forgotten', 'id', found_row.envelope_id);
END $$;

CREATE FUNCTION allow(to_role text, to_instance text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA {schema} TO %I', to_role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION {schema}.hand(text, text, text),
        {schema}.send(text, text, text, jsonb), {schema}.status(uuid) TO %I', to_role);
    INSERT INTO {schema}.grants VALUES (to_role, to_instance) ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION disallow(of_role text, of_instance text) RETURNS void LANGUAGE sql AS $$
    DELETE FROM {schema}.grants WHERE role = of_role AND instance = of_instance
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;
