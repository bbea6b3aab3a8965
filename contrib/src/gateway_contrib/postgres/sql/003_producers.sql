-- What processes hand over that deliver nothing themselves, and wait for: they have no right on any
-- table, and do all that they do by the functions below. An envelope gets its id here, as it is
-- handed over, and keeps it. What is not an envelope is a question to the owner, which it answers.

ALTER TABLE handed
    ADD COLUMN kind text NOT NULL DEFAULT 'submit', -- or what is asked: `cancel`, `leave`, `ask`
    ADD COLUMN own bigint UNIQUE,               -- the number of the id that it got
    ADD COLUMN own_id text,
    ADD COLUMN member uuid,                     -- the process that waits, where one does
    ADD COLUMN awaited boolean NOT NULL DEFAULT false, -- its caller waits for the end
    ADD COLUMN scope bytea,                     -- as `keys` has it
    ADD COLUMN cancelled boolean NOT NULL DEFAULT false, -- before the owner took it
    ADD COLUMN left_at timestamptz,             -- since when nobody waits for it any more
    ADD COLUMN replayed boolean NOT NULL DEFAULT false, -- the one that it joined had ended
    ADD COLUMN answer text;                     -- JSON: of a question; of an envelope why it is none
CREATE INDEX handed_seq ON handed (seq) WHERE seq IS NOT NULL;
CREATE INDEX handed_questions ON handed (answered_at)
    WHERE kind <> 'submit' AND answered_at IS NOT NULL;
CREATE INDEX handed_scope ON handed (scope) WHERE scope IS NOT NULL AND waiting;
CREATE SEQUENCE handed_ids;

-- The order among all that an account's owners took on, where the number of the id does not say it.

ALTER TABLE envelopes ADD COLUMN sequence bigint;
ALTER TABLE history ADD COLUMN sequence bigint;
DROP INDEX envelopes_deadline;
CREATE INDEX envelopes_deadline ON envelopes (deadline, coalesce(sequence, seq));
CREATE INDEX history_sequence ON history (sequence) WHERE sequence IS NOT NULL;

-- A number that no owner draws: those have less than 8192 in their last 14 bits.

CREATE FUNCTION draw(OUT own bigint, OUT own_id text) LANGUAGE plpgsql
SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
    place bigint := 8192 + nextval('{schema}.handed_ids') % 8192;
BEGIN
    own := (ms << 14) | place;
    own_id := lpad(to_hex(ms), 12, '0') || lpad(to_hex(place), 6, '0')
        || left(replace(gen_random_uuid()::text, '-', ''), 12);
END $$;

-- Hands over several at once, each by a token of its own: one that is there already stays as it is.

CREATE FUNCTION hand_all(
    me uuid, tokens uuid[], kinds text[], instances text[], rooms text[], envelopes text[],
    scopes bytea[], waits boolean[]
) RETURNS TABLE (token uuid, id text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    drawn record;
    named text;
    found_id text;
BEGIN
    FOR named IN SELECT DISTINCT unnest(instances) LOOP
        IF NOT {schema}.may_use(named) THEN
            RAISE EXCEPTION 'role % may not send as instance %', {schema}.caller(), named
                USING ERRCODE = 'insufficient_privilege',
                    HINT = format('SELECT {schema}.allow(%L, %L)', {schema}.caller(), named);
        END IF;
    END LOOP;
    FOR i IN 1 .. cardinality(tokens) LOOP
        LOOP
            SELECT h.own_id INTO found_id FROM {schema}.handed h WHERE h.id = tokens[i];
            EXIT WHEN FOUND;
            SELECT * INTO drawn FROM {schema}.draw();
            INSERT INTO {schema}.handed (id, kind, own, own_id, instance, room, envelope, handed_by,
                    member, awaited, scope)
                VALUES (tokens[i], kinds[i], drawn.own, drawn.own_id, instances[i], rooms[i],
                    envelopes[i], {schema}.caller(), me, waits[i], scopes[i])
                ON CONFLICT DO NOTHING RETURNING own_id INTO found_id;
            EXIT WHEN FOUND;
        END LOOP;
        token := tokens[i];
        id := found_id;
        RETURN NEXT;
    END LOOP;
END $$;

-- The bytes of its files, which the owner makes its own as it takes the envelope. They are committed
-- with its row. NULL: they are there.

CREATE TABLE handed_files (
    own bigint NOT NULL,
    digest text NOT NULL,
    size bigint NOT NULL,
    upload uuid NOT NULL,             -- in `pieces`
    PRIMARY KEY (own, digest)
);
CREATE INDEX handed_files_digest ON handed_files (digest);
CREATE INDEX handed_files_upload ON handed_files (upload);

CREATE FUNCTION hand_file(token uuid, of_digest text, of_size bigint) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    made uuid := gen_random_uuid();
BEGIN
    INSERT INTO {schema}.handed_files
        SELECT h.own, of_digest, of_size, made FROM {schema}.handed h
        WHERE h.id = token AND h.answered_at IS NULL AND {schema}.may_use(h.instance)
        ON CONFLICT DO NOTHING;
    RETURN CASE WHEN FOUND THEN made END;
END $$;

CREATE FUNCTION hand_piece(of_upload uuid, number integer, content bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    INSERT INTO {schema}.pieces SELECT of_upload, hand_piece.number, hand_piece.content
        WHERE EXISTS (SELECT 1 FROM {schema}.handed_files f WHERE f.upload = of_upload);
END $$;

-- What became of these, by the numbers of their ids: of what was handed over, and of all else.

CREATE FUNCTION news(numbers bigint[]) RETURNS TABLE (
    own_id text, instance text, room text, kind text, handed_at double precision,
    answered_at double precision, envelope_id text, replayed boolean, cancelled boolean,
    refused text, answer text, receipt text, receipt_of bigint, stored boolean
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT h.own_id, h.instance, h.room, h.kind, extract(epoch FROM h.handed_at)::float8,
        extract(epoch FROM h.answered_at)::float8, h.envelope_id, h.replayed, h.cancelled,
        h.refused, h.answer, p.receipt, p.seq, e.seq IS NOT NULL
    FROM unnest(numbers) AS n(own)
    JOIN {schema}.handed h ON h.own = n.own
    LEFT JOIN {schema}.history p ON p.seq = h.seq
    LEFT JOIN {schema}.envelopes e ON e.seq = h.seq
    WHERE {schema}.may_use(h.instance)
    UNION ALL
    SELECT p.id, coalesce(a.instance, p.account), p.room, 'submit', p.accepted_at, p.accepted_at,
        p.id, false, false, NULL, NULL, p.receipt, p.seq, false
    FROM unnest(numbers) AS n(own)
    JOIN {schema}.history p ON p.seq = n.own
    LEFT JOIN {schema}.accounts a ON a.account = p.account
    WHERE NOT EXISTS (SELECT 1 FROM {schema}.handed h WHERE h.own = n.own)
        AND {schema}.may_use(coalesce(a.instance, p.account))
    UNION ALL
    SELECT e.id, coalesce(a.instance, e.account), e.room, 'submit', e.accepted_at, e.accepted_at,
        e.id, false, false, NULL, NULL, NULL, NULL, true
    FROM unnest(numbers) AS n(own)
    JOIN {schema}.envelopes e ON e.seq = n.own
    LEFT JOIN {schema}.accounts a ON a.account = e.account
    WHERE NOT EXISTS (SELECT 1 FROM {schema}.handed h WHERE h.own = n.own)
        AND {schema}.may_use(coalesce(a.instance, e.account))
$$;

-- The number of the envelope that has a key: an accepted one, else the first that waits to be it.

CREATE FUNCTION keyed(
    of_account text, of_instance text, of_scope bytea, since double precision
) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT coalesce(
        (SELECT k.seq FROM {schema}.keys k WHERE k.account = of_account AND k.scope = of_scope
            AND (k.ended_at IS NULL OR k.ended_at >= since)),
        (SELECT h.own FROM {schema}.handed h
            WHERE h.scope = of_scope AND h.instance = of_instance AND h.waiting
                AND h.answered_at IS NULL
            ORDER BY h.number LIMIT 1)
    ) WHERE {schema}.may_use(of_instance)
$$;

-- Whether it is cancelled now, since nobody had taken it; or was so before.

CREATE FUNCTION withdraw(number bigint, OUT now boolean, OUT before boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    it {schema}.handed;
BEGIN
    now := false;
    before := false;
    SELECT * INTO it FROM {schema}.handed h WHERE h.own = withdraw.number FOR UPDATE;
    IF NOT FOUND OR NOT {schema}.may_use(it.instance) THEN
        RETURN;
    END IF;
    before := it.cancelled;
    IF it.answered_at IS NULL THEN
        now := true;
        UPDATE {schema}.handed SET answered_at = clock_timestamp(), left_at = clock_timestamp(),
            waiting = false, envelope = '', cancelled = true WHERE handed.number = it.number;
    END IF;
END $$;

-- Nobody waits for it any more: it is cancelled; where the owner has taken it, that is asked to do so,
-- unless somebody else has handed over the same by its key.

CREATE FUNCTION leave(number bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    it {schema}.handed;
    drawn record;
BEGIN
    PERFORM {schema}.withdraw(number);
    UPDATE {schema}.handed h SET left_at = clock_timestamp()
        WHERE h.own = leave.number AND h.left_at IS NULL AND h.seq IS NOT NULL
            AND {schema}.may_use(h.instance)
        RETURNING h.* INTO it;
    IF FOUND AND NOT EXISTS
        (SELECT 1 FROM {schema}.handed h WHERE h.seq = it.seq AND h.left_at IS NULL)
    THEN
        SELECT * INTO drawn FROM {schema}.draw();
        INSERT INTO {schema}.handed (kind, own, own_id, instance, room, envelope, handed_by)
            VALUES ('leave', drawn.own, drawn.own_id, it.instance, it.room, it.envelope_id,
                {schema}.caller())
            ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- What ended after a number, of all accounts: only for whoever may send as all of them.

CREATE FUNCTION ended_after(after bigint, most integer, OUT token text, OUT forgotten bigint,
    OUT newest bigint, OUT numbers bigint[], OUT receipts text[], OUT receipts_of bigint[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    IF NOT {schema}.may_use('*') THEN
        RAISE EXCEPTION 'role % may not read the endings of all instances', {schema}.caller()
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('SELECT {schema}.allow(%L, ''*'')', {schema}.caller());
    END IF;
    SELECT s.token, s.forgotten, s.newest INTO token, forgotten, newest FROM {schema}.source s;
    SELECT array_agg(h.number ORDER BY h.number), array_agg(h.receipt ORDER BY h.number),
            array_agg(h.seq ORDER BY h.number)
        INTO numbers, receipts, receipts_of
        FROM (SELECT h.number, h.receipt, h.seq FROM {schema}.history h WHERE h.number > after
            ORDER BY h.number LIMIT most) h;
END $$;

CREATE FUNCTION release(OUT version integer, OUT oldest integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT f.version, f.oldest FROM {schema}.format f
$$;

-- Whoever may send as an instance may call all that runs as the schema's owner, and looks who calls.

CREATE OR REPLACE FUNCTION allow(to_role text, to_instance text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    named regprocedure;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA {schema} TO %I', to_role);
    FOR named IN SELECT p.oid FROM pg_proc p
        WHERE p.pronamespace = '{schema}'::regnamespace AND p.prosecdef
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', named, to_role);
    END LOOP;
    INSERT INTO {schema}.grants VALUES (to_role, to_instance) ON CONFLICT DO NOTHING;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;
SELECT allow(g.role, g.instance) FROM grants g WHERE EXISTS
    (SELECT 1 FROM pg_roles r WHERE r.rolname = g.role);
