-- Accounts spread over the processes that take part: each account is one member's, and which one's
-- that is to be follows from who takes part. A member that owns all accounts has no weight.

ALTER TABLE members
    ADD COLUMN joined_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN weight double precision,          -- its share beside others'; NULL: it owns all
    ADD COLUMN slot integer UNIQUE,              -- which ids of a millisecond it draws; NULL: any
    ADD COLUMN ready boolean NOT NULL DEFAULT false, -- it has said what it can own
    ADD COLUMN draining boolean NOT NULL DEFAULT false, -- it gives up all that it owns
    ADD COLUMN lacks text[] NOT NULL DEFAULT '{}'; -- instances that it cannot own, though it should
ALTER TABLE accounts ADD COLUMN pinned text;     -- name of the member that is to own it; NULL: any
CREATE INDEX accounts_instance ON accounts USING hash (instance);
CREATE TABLE shares (
    version bigint NOT NULL           -- one more with each change of what members are to own
);
INSERT INTO shares VALUES (0);

-- What is kept for a member until it is used, or is not whole yet; without the member it is of no use.

CREATE TABLE kept (
    member uuid NOT NULL,
    digest text NOT NULL,             -- of bytes that it is about to use
    PRIMARY KEY (member, digest)
);
CREATE INDEX kept_digest ON kept (digest);
CREATE TABLE incomplete (
    member uuid NOT NULL,
    place text NOT NULL,              -- an upload, or the seq of a group
    PRIMARY KEY (member, place)
);

-- As `begin_batch`, of a member that owns some: holds its own row, which whoever takes it to be gone
-- deletes, and those of the accounts.

CREATE FUNCTION begin_share(me uuid, batch bigint, touched text[], seqs bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    held record;
BEGIN
    PERFORM 1 FROM members WHERE member = me FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this member was taken to be gone' USING ERRCODE = 'GW001';
    END IF;
    IF cardinality(seqs) > 0 THEN
        SELECT touched || coalesce(array_agg(DISTINCT e.account), '{}') INTO touched
            FROM (SELECT account FROM envelopes WHERE seq = ANY (seqs)
                UNION SELECT account FROM groups WHERE seq = ANY (seqs)) e;
    END IF;
    FOR held IN SELECT a.account, a.instance, a.member FROM accounts a
        WHERE a.account = ANY (touched) ORDER BY a.account FOR KEY SHARE
    LOOP
        IF held.member IS DISTINCT FROM me THEN
            IF held.account = '' THEN
                RAISE EXCEPTION 'another member does what is common' USING ERRCODE = 'GW004';
            END IF;
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

-- Nobody owns all accounts while others own some. A release that does not know of those takes over
-- without a look at them: it stands by, for ten leases by the server's clock after the last sign of one.

CREATE FUNCTION refuse_whole() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    other record;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM members m WHERE m.member = NEW.member AND m.weight IS NULL) THEN
        RETURN NEW;
    END IF;
    SELECT m.name INTO other FROM members m WHERE m.weight IS NOT NULL
        AND m.renewed_at > clock_timestamp() - make_interval(secs => 10 * m.lease) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the accounts are spread over processes, of which one is %', other.name
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM members m WHERE m.weight IS NOT NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_whole BEFORE UPDATE OF member ON accounts FOR EACH ROW
    WHEN (NEW.account = '' AND NEW.member IS NOT NULL) EXECUTE FUNCTION refuse_whole();
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;
