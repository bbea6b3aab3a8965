-- What one role does holds up no other role's messages.

-- A grant names an instance. To ask about the instance '' is to ask about all of them.

DELETE FROM grants WHERE instance = '';
ALTER TABLE grants ADD CONSTRAINT grants_name_an_instance CHECK (instance <> '');

-- Whether it is cancelled now, since nobody had taken it; or was so before. A row is locked only by
-- whoever may send as its instance.

CREATE OR REPLACE FUNCTION withdraw(number bigint, OUT now boolean, OUT before boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    it {schema}.handed;
BEGIN
    now := false;
    before := false;
    SELECT * INTO it FROM {schema}.handed h WHERE h.own = withdraw.number;
    IF NOT FOUND OR NOT {schema}.may_use(it.instance) THEN
        RETURN;
    END IF;
    IF it.answered_at IS NULL THEN
        SELECT * INTO it FROM {schema}.handed h WHERE h.own = withdraw.number FOR UPDATE;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    before := it.cancelled;
    IF it.answered_at IS NULL THEN
        now := true;
        UPDATE {schema}.handed SET answered_at = clock_timestamp(), left_at = clock_timestamp(),
            waiting = false, envelope = '', cancelled = true WHERE handed.number = it.number;
    END IF;
END $$;

-- However often a message is cancelled, it is asked for once, and not after its end.

UPDATE requests r SET done_at = extract(epoch FROM clock_timestamp()), envelope = NULL
    WHERE r.kind = 'withdraw' AND r.done_at IS NULL AND EXISTS (SELECT 1 FROM requests o
        WHERE o.kind = 'withdraw' AND o.done_at IS NULL AND o.envelope = r.envelope
            AND o.number > r.number);
CREATE UNIQUE INDEX requests_withdrawing ON requests (envelope)
    WHERE kind = 'withdraw' AND done_at IS NULL;

CREATE OR REPLACE FUNCTION cancel(handed_id uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    it {schema}.handed;
BEGIN
    SELECT * INTO it FROM {schema}.handed h WHERE h.id = cancel.handed_id;
    IF NOT FOUND OR NOT {schema}.may_use(it.instance) THEN
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
    ELSIF NOT EXISTS (SELECT 1 FROM {schema}.history p WHERE p.seq = it.seq) THEN
        INSERT INTO {schema}.requests (kind, instance, asked_at, envelope) VALUES ('withdraw',
                it.instance, extract(epoch FROM clock_timestamp()), cancel.handed_id::text)
            ON CONFLICT DO NOTHING;
    END IF;
    RETURN true;
END $$;
