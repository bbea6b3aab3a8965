-- The tables of an outbox. `{schema}` is its schema; it is first in the search path.
--
-- An account is an instance, by its id, or by a hash of an id that is longer than an index takes;
-- a room likewise (`name_of` in names.py). Texts that come from outside have NUL as escape sequence
-- (`text_in` there). Times are POSIX times by the gateway's clock, unless they are `timestamptz`.

CREATE TABLE format (
    version integer NOT NULL,         -- the newest of the files beside this one that was applied
    oldest integer NOT NULL           -- the oldest release that can use the schema knows this one
);
INSERT INTO format VALUES (0, 1);

-- Who takes part, and who owns what.

CREATE TABLE members (
    member uuid PRIMARY KEY,          -- of one process, from its opening until it leaves
    name text NOT NULL,               -- host and process, for people
    release text NOT NULL,
    lease double precision NOT NULL,  -- seconds
    counter bigint NOT NULL DEFAULT 0 -- one more each quarter of the lease
);
CREATE TABLE accounts (
    account text NOT NULL,            -- empty: all of them, those that come as well
    instance text NOT NULL,
    member uuid,                      -- who owns it; NULL: nobody
    epoch bigint NOT NULL,            -- one more with each owner
    PRIMARY KEY (account),
    UNIQUE (account, epoch)           -- so that a takeover waits for writers, and a renewal does not
);
INSERT INTO accounts VALUES ('', '', NULL, 0);
CREATE TABLE batches (
    member uuid NOT NULL,
    number bigint NOT NULL,           -- of the newest transaction that this member has committed
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (member, number)
);

-- What is accepted, and how it ended.

CREATE TABLE envelopes (
    account text NOT NULL,
    seq bigint NOT NULL,              -- the id as an integer
    id text NOT NULL,
    room text NOT NULL,
    position bigint NOT NULL,         -- its place among the unfinished
    due double precision,             -- of a scheduled one, until then without a place
    accepted_at double precision NOT NULL,
    deadline double precision NOT NULL,
    fingerprint text NOT NULL,
    class text,                       -- where a policy gave it another
    entry text NOT NULL,              -- JSON: envelope, plan
    shapes text,                      -- JSON: its steps, where they were planned anew
    stream smallint NOT NULL,         -- its number among the streams: its class, alone or not
    PRIMARY KEY (account, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 90);
CREATE UNIQUE INDEX envelopes_seq ON envelopes (seq);
CREATE INDEX envelopes_stream ON envelopes (account, stream, position) WHERE due IS NULL;
CREATE INDEX envelopes_room ON envelopes (account, room, stream, position) WHERE due IS NULL;
CREATE INDEX envelopes_due ON envelopes (due, position) WHERE due IS NOT NULL;
CREATE INDEX envelopes_deadline ON envelopes (deadline, seq);
CREATE TABLE steps (
    account text NOT NULL,
    seq bigint NOT NULL,
    serial bigint NOT NULL,
    number bigint NOT NULL,
    started bigint NOT NULL,
    attempts bigint NOT NULL,
    maybe_sent bigint NOT NULL,
    transforms bigint NOT NULL,
    first_at double precision NOT NULL,
    not_before double precision NOT NULL,
    outcome text,
    message_id text,
    made text,                        -- JSON: further messages that it made, ids of its files
    PRIMARY KEY (account, seq, serial)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX steps_seq ON steps (seq);
CREATE TABLE grown (
    account text NOT NULL,
    seq bigint NOT NULL,              -- of an entry that is unfinished, or may be tried again
    number bigint NOT NULL,
    text text NOT NULL,               -- the newest
    PRIMARY KEY (account, seq)
);
CREATE INDEX grown_seq ON grown (seq);
CREATE TABLE keys (
    account text NOT NULL,
    scope bytea NOT NULL,             -- SHA-256 of room, operation and key
    room text NOT NULL,
    seq bigint NOT NULL,
    ended_at double precision,
    PRIMARY KEY (account, scope)
);
CREATE INDEX keys_seq ON keys (seq);
CREATE INDEX keys_end ON keys (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE history (
    account text NOT NULL,
    seq bigint NOT NULL,
    id text NOT NULL,
    number bigint NOT NULL,           -- its place in the order in which ends were written
    room text NOT NULL,
    disposition text NOT NULL,
    reason text NOT NULL,
    raw text NOT NULL,
    accepted_at double precision NOT NULL,
    deadline double precision NOT NULL,
    ended_at double precision NOT NULL,
    fingerprint text NOT NULL,
    class text,
    receipt text NOT NULL,            -- JSON
    entry text,                       -- kept where nothing or not all was delivered
    shapes text,
    stream smallint NOT NULL,
    PRIMARY KEY (account, seq)
);
CREATE UNIQUE INDEX history_seq ON history (seq);
CREATE INDEX history_number ON history (number);
CREATE INDEX history_end ON history (ended_at);
CREATE TABLE source (
    token text NOT NULL,              -- of this schema: the cursors of its endings name it
    newest bigint NOT NULL,           -- the highest number that there was
    forgotten bigint NOT NULL         -- the highest number that was forgotten for its age
);
INSERT INTO source VALUES (replace(gen_random_uuid()::text, '-', ''), 0, 0);
CREATE TABLE revisions (
    account text NOT NULL,
    id text NOT NULL,                 -- the envelope that made the message
    room text NOT NULL,
    ended_at double precision NOT NULL,
    ref text NOT NULL,                -- JSON: the message as its last edit left it
    PRIMARY KEY (account, id)
);
CREATE INDEX revisions_id ON revisions (id);
CREATE INDEX revisions_end ON revisions (ended_at);

-- The state of accounts.

CREATE TABLE moves (
    account text NOT NULL,
    place text NOT NULL,              -- the room, as other tables have it
    room text NOT NULL,
    moved_to text NOT NULL,
    moved_at double precision NOT NULL,
    PRIMARY KEY (account, place)
);
CREATE TABLE closures (
    account text NOT NULL,
    operation text NOT NULL,          -- empty: the instance as a whole
    until double precision NOT NULL,
    wait double precision NOT NULL,   -- seconds for which it was asked for
    PRIMARY KEY (account, operation)
);
CREATE TABLE spent (
    account text NOT NULL PRIMARY KEY, -- empty: of all instances together
    at double precision NOT NULL,
    standings text NOT NULL           -- JSON: what is spent of each bucket
);

-- Groups: members in chunks, without a row each before their turn.

CREATE TABLE groups (
    account text NOT NULL,
    seq bigint NOT NULL,
    id text NOT NULL,
    size bigint NOT NULL,
    stored boolean NOT NULL DEFAULT false,
    next bigint NOT NULL DEFAULT 0,   -- the lowest number that has never had its turn
    taken bigint NOT NULL DEFAULT 0,
    returned text NOT NULL DEFAULT '[]', -- JSON: numbers before it whose entries were withdrawn
    erased text NOT NULL DEFAULT '[]', -- JSON: numbers after it whose rooms were erased
    paused boolean NOT NULL DEFAULT false,
    cancelled boolean NOT NULL DEFAULT false,
    ended_at double precision,
    fingerprint text NOT NULL,
    content text NOT NULL,            -- JSON: template, plan, and what else there is of it
    PRIMARY KEY (account, seq)
);
CREATE UNIQUE INDEX groups_seq ON groups (seq);
CREATE INDEX groups_end ON groups (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE group_members (
    account text NOT NULL,
    grp bigint NOT NULL,              -- the seq of the group
    first bigint NOT NULL,            -- the number of the first of these members
    members text NOT NULL,            -- JSON: of each its room, and its envelope where it has one
    PRIMARY KEY (account, grp, first)
);
CREATE INDEX group_members_grp ON group_members (grp, first);
CREATE TABLE turns (
    seq bigint PRIMARY KEY,           -- of the entry that a member became
    grp bigint NOT NULL,
    number bigint NOT NULL,           -- the member's; -1 - number while it is to be tried again
    disposition text                  -- how it ended, where it may be tried again
);
CREATE INDEX turns_group ON turns (grp, seq) WHERE disposition IS NOT NULL;
CREATE TABLE counts (
    grp bigint NOT NULL,
    disposition text NOT NULL,
    count bigint NOT NULL,            -- members that ended so
    PRIMARY KEY (grp, disposition)
);

-- Bytes, by their digest: accounts share them. They stand in rows, not in large objects, which lie
-- outside of every schema, are owned one by one, and stay when the row that names them goes.

CREATE TABLE bytes (
    digest text PRIMARY KEY,
    size bigint NOT NULL,
    upload uuid NOT NULL
);
CREATE TABLE pieces (
    upload uuid NOT NULL,
    number integer NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (upload, number)
);
ALTER TABLE pieces ALTER COLUMN content SET STORAGE EXTERNAL; -- files are compressed already
CREATE TABLE uses (
    seq bigint NOT NULL,              -- of the entry or of the group that needs the bytes
    digest text NOT NULL,
    PRIMARY KEY (seq, digest)
);
CREATE INDEX uses_digest ON uses (digest);

-- Begins the transaction of an owner: holds what it writes to for it until the end, and notes the
-- number of the transaction, so that one of which the end is not known is decided by doing it again.

CREATE FUNCTION begin_batch(me uuid, batch bigint, touched text[], seqs bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    held record;
BEGIN
    PERFORM 1 FROM accounts WHERE account = '' AND member = me FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another member owns the outbox' USING ERRCODE = 'GW001';
    END IF;
    IF cardinality(seqs) > 0 THEN
        SELECT touched || coalesce(array_agg(DISTINCT e.account), '{}') INTO touched
            FROM envelopes e WHERE e.seq = ANY (seqs);
    END IF;
    FOR held IN SELECT a.instance, a.member FROM accounts a
        WHERE a.account = ANY (touched) AND a.account <> '' ORDER BY a.account FOR KEY SHARE
    LOOP
        IF held.member IS DISTINCT FROM me THEN
            RAISE EXCEPTION 'another member owns the account'
                USING ERRCODE = 'GW001', DETAIL = held.instance;
        END IF;
    END LOOP;
    INSERT INTO batches VALUES (me, batch) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'it is committed' USING ERRCODE = 'GW002';
    END IF;
    DELETE FROM batches WHERE member = me AND number < batch;
END $$;
