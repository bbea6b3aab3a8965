-- What is stored may be sealed: a text that is begins with `~`; bytes name their key beside them.

CREATE TABLE keyring (
    id text PRIMARY KEY,              -- of a key with which something here may be sealed
    secret text NOT NULL              -- what idempotency keys are hashed with, sealed with that key
);
ALTER TABLE keys ADD COLUMN hashed boolean NOT NULL DEFAULT false; -- its scope, with that secret
ALTER TABLE pieces ADD COLUMN key text NOT NULL DEFAULT ''; -- the id of the key; empty: not sealed
