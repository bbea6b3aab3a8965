-- Accounts that an operator has suspended: whoever owns one sends nothing of it until it is resumed.

CREATE TABLE suspensions (
    account text PRIMARY KEY,
    instance text NOT NULL,
    why text NOT NULL,                -- for people
    by_whom text NOT NULL,            -- who asked for it; empty: not known
    since double precision NOT NULL   -- POSIX time
);
