-- Whether a copy of the message may stand in the room; null if the receipt is sealed, so that nobody
-- can read it in the database.

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
            'disposition', ended.disposition, 'reason', ended.reason, 'ended_at', ended.ended_at,
            'possible_duplicate', CASE WHEN ended.receipt LIKE '{%'
                THEN coalesce((ended.receipt::json ->> 'possible_duplicate')::boolean, false) END);
    ELSIF EXISTS (SELECT 1 FROM {schema}.envelopes e WHERE e.seq = found_row.seq) THEN
        RETURN jsonb_build_object('state', 'accepted', 'id', found_row.envelope_id);
    END IF;
    RETURN jsonb_build_object('state', 'forgotten', 'id', found_row.envelope_id);
END $$;
