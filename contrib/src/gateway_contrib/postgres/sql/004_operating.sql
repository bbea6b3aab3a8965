-- What operators see and ask: who takes part since when, and requests that the owner answers.

ALTER TABLE members ADD COLUMN renewed_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE accounts ADD COLUMN owned_since timestamptz NOT NULL DEFAULT now();

CREATE TABLE standbys (
    process uuid PRIMARY KEY,         -- one that waits to own the outbox
    name text NOT NULL,               -- host and process, for people
    release text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now() -- written every few seconds
);

-- Numbers below zero, so that none is that of a row which an application handed over.
CREATE TABLE requests (
    number bigint GENERATED ALWAYS AS IDENTITY
        (INCREMENT BY -1 MINVALUE -9223372036854775808 MAXVALUE -1 START WITH -1) PRIMARY KEY,
    kind text NOT NULL,
    seq bigint,                       -- of the envelope that it is about
    instance text NOT NULL DEFAULT '',
    room text NOT NULL DEFAULT '',    -- empty once all that is stored of it was erased
    asked_at double precision NOT NULL,
    envelope text,                    -- JSON, or an id: what is to be done; NULL once it is done
    done_at double precision,
    answer text
);
CREATE INDEX requests_waiting ON requests (number) WHERE done_at IS NULL;
CREATE INDEX requests_done ON requests (done_at) WHERE done_at IS NOT NULL;
