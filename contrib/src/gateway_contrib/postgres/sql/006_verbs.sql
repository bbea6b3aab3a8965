-- Changes of messages in the caller's own transaction, as `send` is: they append a row, and no more.
-- A message is named by the idempotency key that it was sent with, or cancelled by the id of `send`.

CREATE FUNCTION change(kind text, instance text, room text, key text, options jsonb) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    IF jsonb_typeof(options) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'options must be a JSON object, such as {"ttl": 60}'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF coalesce(length(change.key), 0) NOT BETWEEN 1 AND 1024 THEN
        RAISE EXCEPTION 'key must have 1 to 1024 characters'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN {schema}.hand(change.instance, change.room, (options || jsonb_build_object(
        'kind', change.kind, 'version', 1, 'instance_id', change.instance,
        'external_room_id', change.room, 'target', jsonb_build_object(
            'instance_id', change.instance, 'external_room_id', change.room,
            'key', change.key)))::text);
END $$;

CREATE FUNCTION edit(instance text, room text, key text, text text, options jsonb DEFAULT '{}')
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    IF edit.text IS NULL THEN
        RAISE EXCEPTION 'text must not be NULL' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN {schema}.change('edit', edit.instance, edit.room, edit.key,
        options || jsonb_build_object('text', edit.text));
END $$;

CREATE FUNCTION delete(instance text, room text, key text, options jsonb DEFAULT '{}')
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    RETURN {schema}.change('delete', delete.instance, delete.room, delete.key, options);
END $$;

-- The row of the message stays as it is: a transaction that stays open would stop the owner there.

CREATE FUNCTION cancel(handed_id uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    named text;
BEGIN
    SELECT h.instance INTO named FROM {schema}.handed h WHERE h.id = cancel.handed_id;
    IF NOT FOUND OR NOT {schema}.may_use(named) THEN
        RETURN false;
    END IF;
    INSERT INTO {schema}.requests (kind, instance, asked_at, envelope)
        VALUES ('withdraw', named, extract(epoch FROM clock_timestamp()), cancel.handed_id::text);
    RETURN true;
END $$;

-- Whoever may send as an instance may call these as well.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;
SELECT {schema}.allow(g.role, g.instance) FROM {schema}.grants g WHERE EXISTS
    (SELECT 1 FROM pg_roles r WHERE r.rolname = g.role);
