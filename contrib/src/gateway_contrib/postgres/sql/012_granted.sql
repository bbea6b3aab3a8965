-- A message that no owner has taken yet is cancelled at once, and `status` says so.

CREATE OR REPLACE FUNCTION cancel(handed_id uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    named text;
BEGIN
    SELECT h.instance INTO named FROM {schema}.handed h WHERE h.id = cancel.handed_id;
    IF NOT FOUND OR NOT {schema}.may_use(named) THEN
        RETURN false;
    END IF;
    -- Whoever has the row locked may be the owner, which has just taken it: nobody waits for that. The
    -- row of a message that was taken stays as it is: a transaction that stays open would stop the
    -- owner there.
    PERFORM 1 FROM {schema}.handed h
        WHERE h.id = cancel.handed_id AND h.answered_at IS NULL FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE {schema}.handed h SET answered_at = clock_timestamp(), left_at = clock_timestamp(),
            waiting = false, envelope = '', cancelled = true WHERE h.id = cancel.handed_id;
    ELSE
        INSERT INTO {schema}.requests (kind, instance, asked_at, envelope) VALUES
            ('withdraw', named, extract(epoch FROM clock_timestamp()), cancel.handed_id::text);
    END IF;
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION status(handed_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    found_row {schema}.handed;
    ended {schema}.history;
BEGIN
    SELECT * INTO found_row FROM {schema}.handed h WHERE h.id = handed_id;
    IF NOT FOUND OR NOT {schema}.may_use(found_row.instance) THEN
        RETURN NULL;
    ELSIF found_row.cancelled THEN
        RETURN jsonb_build_object('state', 'ended', 'disposition', 'cancelled',
            'ended_at', extract(epoch FROM found_row.answered_at)::float8);
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

-- An instance's name may be longer than a row of an index.

ALTER TABLE grants DROP CONSTRAINT grants_pkey;
CREATE UNIQUE INDEX grants_of ON grants (role, md5(instance));

-- A role that may not send as any instance has no right in the schema, so it can be dropped.

CREATE OR REPLACE FUNCTION disallow(of_role text, of_instance text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM {schema}.grants WHERE role = of_role AND instance = of_instance;
    IF NOT EXISTS (SELECT 1 FROM {schema}.grants WHERE role = of_role)
        AND EXISTS (SELECT 1 FROM pg_roles WHERE rolname = of_role)
    THEN
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM %I', of_role);
        EXECUTE format('REVOKE USAGE ON SCHEMA {schema} FROM %I', of_role);
    END IF;
END $$;
