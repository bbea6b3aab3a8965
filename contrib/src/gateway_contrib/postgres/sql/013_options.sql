-- An option that contradicts an argument is not dropped: it stays beside the argument, by a name that
-- no envelope has, so that the owner rejects the envelope and names the option.

CREATE FUNCTION with_arguments(options jsonb, arguments jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT options || arguments || coalesce(jsonb_object_agg('options.' || o.key, o.value), '{}')
    FROM jsonb_each(options) o
    WHERE arguments ? o.key AND o.value NOT IN (arguments -> o.key, 'null')
$$;
REVOKE ALL ON FUNCTION with_arguments(jsonb, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION send(instance text, room text, text text, options jsonb DEFAULT '{}')
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
        options := {schema}.with_arguments(options - 'thread',
            jsonb_build_object('thread_id', options -> 'thread'));
    END IF;
    RETURN {schema}.hand(send.instance, send.room, {schema}.with_arguments(options,
        jsonb_build_object('kind', 'send', 'version', 1, 'instance_id', send.instance,
            'external_room_id', send.room, 'text', send.text))::text);
END $$;

CREATE OR REPLACE FUNCTION change(kind text, instance text, room text, key text, options jsonb)
RETURNS uuid
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
    RETURN {schema}.hand(change.instance, change.room, {schema}.with_arguments(options,
        jsonb_build_object('kind', change.kind, 'version', 1, 'instance_id', change.instance,
            'external_room_id', change.room, 'target', jsonb_build_object(
                'instance_id', change.instance, 'external_room_id', change.room,
                'key', change.key)))::text);
END $$;

CREATE OR REPLACE FUNCTION edit(
    instance text, room text, key text, text text, options jsonb DEFAULT '{}'
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    IF edit.text IS NULL THEN
        RAISE EXCEPTION 'text must not be NULL' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF jsonb_typeof(options) = 'object' THEN -- otherwise `change` refuses it
        options := {schema}.with_arguments(options, jsonb_build_object('text', edit.text));
    END IF;
    RETURN {schema}.change('edit', edit.instance, edit.room, edit.key, options);
END $$;
