-- A file of schema version 12, as a gateway left it that was killed in the middle of its work.
BEGIN TRANSACTION;

-- Table  bytes
DROP TABLE IF EXISTS bytes;
CREATE TABLE bytes (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    key TEXT NOT NULL,                -- id of the key that the content is sealed with; empty: none
    content BLOB                      -- NULL: it is in a file of its own
) STRICT;

-- Table  closures
DROP TABLE IF EXISTS closures;
CREATE TABLE closures (
    instance TEXT NOT NULL,
    operation TEXT NOT NULL,          -- empty: the instance as a whole
    until REAL NOT NULL,
    wait REAL NOT NULL,               -- seconds for which it was asked for
    PRIMARY KEY (instance, operation)
) STRICT, WITHOUT ROWID;

-- Table  counts
DROP TABLE IF EXISTS counts;
CREATE TABLE counts (
    grp INTEGER NOT NULL,
    disposition TEXT NOT NULL,
    count INTEGER NOT NULL,           -- members that ended so
    PRIMARY KEY (grp, disposition)
) STRICT, WITHOUT ROWID;

-- Table  envelopes
DROP TABLE IF EXISTS envelopes;
CREATE TABLE envelopes (
    seq INTEGER PRIMARY KEY,          -- the id as an integer
    id TEXT NOT NULL,
    instance TEXT NOT NULL,
    room TEXT NOT NULL,
    position INTEGER NOT NULL,        -- its place among the unfinished
    due REAL,                         -- POSIX time of a scheduled one, until then without a place
    accepted_at REAL NOT NULL,
    deadline REAL NOT NULL,
    fingerprint TEXT NOT NULL,
    class TEXT,                       -- where a policy gave it another
    entry TEXT NOT NULL,              -- JSON: envelope, plan
    shapes TEXT                       -- JSON: its steps, where they were planned anew
, filed INTEGER NOT NULL DEFAULT 1, stream INTEGER NOT NULL DEFAULT 1) STRICT;
INSERT INTO envelopes VALUES(27852800000000002,'018bcfe56800000002d6b5a7d524a9','bot','room',27852800000000002,NULL,1700000000.0,1700003600.0,'2988585712c6cd7ca3c16c321546e8e1',NULL,'[{"kind":"send","version":1,"instance_id":"bot","external_room_id":"room","text":"first of the room","key":"first of the room"},[[{"text":"first of the room"},[0,17],"956b56b2843019f1de938af1543eb584",[]]]]',NULL,1,1);
INSERT INTO envelopes VALUES(27852800000000003,'018bcfe56800000003d6b5a7d524a9','bot','room',27852800000000003,NULL,1700000000.0,1700003600.0,'6659cd9632a2498cb9e8bf8529646d35',NULL,'[{"kind":"send","version":1,"instance_id":"bot","external_room_id":"room","text":"second","key":"second"},[[{"text":"second"},[0,6],"6e86e4fe011ccd60b9119981d544afc9",[]]]]',NULL,1,1);
INSERT INTO envelopes VALUES(27852800000000004,'018bcfe56800000004d6b5a7d524a9','bot','room',27852800000000004,NULL,1700000000.0,1700003600.0,'c31f2358a10d7b09dfff026325397a8b',NULL,'[{"kind":"send","version":1,"instance_id":"bot","external_room_id":"room","text":"third","key":"third"},[[{"text":"third"},[0,5],"1717451bd218ec7ea3e6c19b9165be18",[]]]]',NULL,1,1);
INSERT INTO envelopes VALUES(27852800000000005,'018bcfe56800000005d6b5a7d524a9','bot','room',27852800000000005,NULL,1700000000.0,1700003600.0,'af65cea49b540836872b0ce6b6094457',NULL,'[{"kind":"send","version":1,"instance_id":"bot","external_room_id":"room","text":"fourth","key":"fourth"},[[{"text":"fourth"},[0,6],"469e38b2b2cdf0209afacada1f7e026b",[]]]]',NULL,1,1);
INSERT INTO envelopes VALUES(27852800000000006,'018bcfe56800000006d6b5a7d524a9','bot','room',27852800000000006,1700003600.0,1700000000.0,1700090000.0,'',NULL,'[{"kind":"send","version":1,"instance_id":"bot","external_room_id":"room","text":"scheduled","ttl":90000.0,"not_before":1700003600.0},[[{"text":"scheduled"},[0,9],"5591eafdc3ff603a41f0bda924b47c89",[]]]]',NULL,1,1);
INSERT INTO envelopes VALUES(27852800000000008,'018bcfe56800000008d6b5a7d524a9','bot','doomed',27852800000000008,NULL,1700000000.0,1700000060.0,'',NULL,'[{"kind":"send","version":1,"instance_id":"bot","external_room_id":"doomed","text":"first of the room","ttl":60.0},[[{"text":"first of the room"},[0,17],"956b56b2843019f1de938af1543eb584",[]]]]',NULL,1,1);
INSERT INTO envelopes VALUES(27852800000000009,'018bcfe56800000009d6b5a7d524a9','bot','doomed',27852800000000009,NULL,1700000000.0,1700000060.0,'',NULL,'[{"kind":"send","version":1,"instance_id":"bot","external_room_id":"doomed","text":"late","ttl":60.0},[[{"text":"late"},[0,4],"497af65d9fcc19752e10cb00a4317357",[]]]]',NULL,1,1);
-- Triggers and indices on  envelopes
CREATE INDEX by_deadline ON envelopes (deadline, seq) WHERE filed = 1;
CREATE INDEX by_due ON envelopes (due, position, instance, stream) WHERE due IS NOT NULL;
CREATE INDEX by_room ON envelopes (instance, room, stream, position)
    WHERE filed = 1 AND due IS NULL;
CREATE INDEX by_stream ON envelopes (instance, stream, position) WHERE due IS NULL;

-- Table  filing
DROP TABLE IF EXISTS filing;
CREATE TABLE filing (
    upto INTEGER NOT NULL             -- every envelope up to this seq is filed
) STRICT;
INSERT INTO filing VALUES(27852800000000009);

-- Table  format
DROP TABLE IF EXISTS format;
CREATE TABLE format (
    oldest INTEGER NOT NULL,          -- version of the oldest release that can use this file
    used INTEGER NOT NULL             -- version of the release that had it open last
) STRICT;
INSERT INTO format VALUES(8,12);

-- Table  groups
DROP TABLE IF EXISTS "groups";
CREATE TABLE groups (
    seq INTEGER PRIMARY KEY,          -- the id as an integer
    id TEXT NOT NULL,
    instance TEXT NOT NULL,
    size INTEGER NOT NULL,            -- how many members it has
    stored INTEGER NOT NULL DEFAULT 0, -- whether all of them are there
    next INTEGER NOT NULL DEFAULT 0,  -- the lowest number that has never had its turn
    taken INTEGER NOT NULL DEFAULT 0, -- how many members have become entries
    returned TEXT NOT NULL DEFAULT '[]', -- JSON: numbers before it whose entries were withdrawn
    erased TEXT NOT NULL DEFAULT '[]', -- JSON: numbers after it whose rooms were erased
    paused INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    ended_at REAL,                    -- POSIX time at which its last member had ended
    fingerprint TEXT NOT NULL,
    content TEXT NOT NULL             -- JSON: template, plan, and what else there is of it
) STRICT;
-- Triggers and indices on  groups
CREATE INDEX groups_by_end ON groups (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX groups_by_instance ON groups (instance, seq);

-- Table  grown
DROP TABLE IF EXISTS grown;
CREATE TABLE grown (
    seq INTEGER PRIMARY KEY,          -- of an entry that is unfinished, or may be tried again
    number INTEGER NOT NULL,
    text TEXT NOT NULL                -- the newest
) STRICT;

-- Table  history
DROP TABLE IF EXISTS history;
CREATE TABLE history (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    instance TEXT NOT NULL,
    room TEXT NOT NULL,
    disposition TEXT NOT NULL,
    reason TEXT NOT NULL,
    raw TEXT NOT NULL,
    accepted_at REAL NOT NULL,
    deadline REAL NOT NULL,
    ended_at REAL NOT NULL,
    fingerprint TEXT NOT NULL,
    class TEXT,
    receipt TEXT NOT NULL,
    entry TEXT,                       -- kept where nothing or not all was delivered
    shapes TEXT
, number INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO history VALUES(27852800000000000,'018bcfe56800000000d6b5a7d524a9','bot','other','delivered','','',1700000000.0,1700003600.0,1700000000.0,'eaa7279f3d2e4075f9c2ece2e7a783a4',NULL,'{"envelope_id":"018bcfe56800000000d6b5a7d524a9","instance_id":"bot","external_room_id":"other","disposition":"delivered","parts":[{"index":0,"outcome":"delivered","message_id":"1","attempts":1,"span":[0,9]}],"ref":{"instance_id":"bot","external_room_id":"other","envelope_id":"018bcfe56800000000d6b5a7d524a9","parts":[{"message_id":"1","digest":"d45f6fb7c2f0311dd1d7179f1757a494"}]},"attempts":1,"accepted_at":1700000000.0,"ended_at":1700000000.0}',NULL,NULL,1);
INSERT INTO history VALUES(27852800000000001,'018bcfe56800000001d6b5a7d524a9','bot','other','rejected','unclassified','no',1700000000.0,1700003600.0,1700000000.0,'66708a81aebc1e795b4d25c5ab828f6e',NULL,'{"envelope_id":"018bcfe56800000001d6b5a7d524a9","instance_id":"bot","external_room_id":"other","disposition":"rejected","parts":[{"index":0,"outcome":"failed","attempts":1,"span":[0,7],"verdict":{"error_class":"non_retryable","reason":"unclassified","raw":"no"}}],"attempts":1,"verdict":{"error_class":"non_retryable","reason":"unclassified","raw":"no"},"accepted_at":1700000000.0,"ended_at":1700000000.0}','[{"kind":"send","version":1,"instance_id":"bot","external_room_id":"other","text":"refused","key":"bad"},[[{"text":"refused"},[0,7],"655d07ee371cf4c3c44416e40da3ab27",[]]]]',NULL,2);
INSERT INTO history VALUES(27852800000000007,'018bcfe56800000007d6b5a7d524a9','gone','x','delivered','','',1700000000.0,1700090000.0,1700000000.0,'',NULL,'{"envelope_id":"018bcfe56800000007d6b5a7d524a9","instance_id":"gone","external_room_id":"x","disposition":"delivered","parts":[{"index":0,"outcome":"delivered","message_id":"2","attempts":1,"span":[0,10]}],"ref":{"instance_id":"gone","external_room_id":"x","envelope_id":"018bcfe56800000007d6b5a7d524a9","parts":[{"message_id":"2","digest":"0c1d724ab7356a1be0cfbeef1eab3e15"}]},"attempts":1,"accepted_at":1700000000.0,"ended_at":1700000000.0}',NULL,NULL,3);
-- Triggers and indices on  history
CREATE INDEX failed ON history (instance, room, seq) WHERE entry IS NOT NULL;
CREATE INDEX history_by_end ON history (ended_at);
CREATE INDEX history_by_number ON history (number);

-- Table  keyring
DROP TABLE IF EXISTS keyring;
CREATE TABLE keyring (
    id TEXT PRIMARY KEY,              -- of a key with which texts of this file are sealed
    secret TEXT NOT NULL              -- what idempotency keys are hashed with, sealed by that key
) STRICT, WITHOUT ROWID;

-- Table  keys
DROP TABLE IF EXISTS keys;
CREATE TABLE keys (
    instance TEXT NOT NULL,
    room TEXT NOT NULL,
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    ended_at REAL, hashed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (instance, room, operation, key)
) STRICT, WITHOUT ROWID;
INSERT INTO keys VALUES('bot','other','send','bad',27852800000000001,1700000000.0,0);
INSERT INTO keys VALUES('bot','other','send','done',27852800000000000,1700000000.0,0);
INSERT INTO keys VALUES('bot','room','send','first of the room',27852800000000002,NULL,0);
INSERT INTO keys VALUES('bot','room','send','fourth',27852800000000005,NULL,0);
INSERT INTO keys VALUES('bot','room','send','second',27852800000000003,NULL,0);
INSERT INTO keys VALUES('bot','room','send','third',27852800000000004,NULL,0);
-- Triggers and indices on  keys
CREATE INDEX keys_by_end ON keys (ended_at, seq) WHERE ended_at IS NOT NULL;
CREATE INDEX keys_by_seq ON keys (seq);

-- Table  members
DROP TABLE IF EXISTS members;
CREATE TABLE members (
    number INTEGER PRIMARY KEY,
    grp INTEGER NOT NULL,             -- the seq of the group
    first INTEGER NOT NULL,           -- the number of the first of these members
    members TEXT NOT NULL             -- JSON: of each its room, and its envelope where it has one
) STRICT;
-- Triggers and indices on  members
CREATE INDEX members_by_group ON members (grp, first);

-- Table  moves
DROP TABLE IF EXISTS moves;
CREATE TABLE moves (
    instance TEXT NOT NULL,
    room TEXT NOT NULL,
    moved_to TEXT NOT NULL, moved_at REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (instance, room)
) STRICT, WITHOUT ROWID;

-- Table  requests
DROP TABLE IF EXISTS requests;
CREATE TABLE requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    seq INTEGER,
    instance TEXT NOT NULL DEFAULT '',
    room TEXT NOT NULL DEFAULT '',
    asked_at REAL NOT NULL,
    done_at REAL,
    answer TEXT
, envelope TEXT) STRICT;

-- Table  revisions
DROP TABLE IF EXISTS revisions;
CREATE TABLE revisions (
    id TEXT PRIMARY KEY,              -- the envelope that made the message
    instance TEXT NOT NULL,
    room TEXT NOT NULL,
    ended_at REAL NOT NULL,           -- of its last edit
    ref TEXT NOT NULL                 -- JSON: the message as that edit left it
) STRICT, WITHOUT ROWID;
-- Triggers and indices on  revisions
CREATE INDEX revisions_by_end ON revisions (ended_at);
CREATE INDEX revisions_by_room ON revisions (instance, room);

-- Table  seal
DROP TABLE IF EXISTS seal;
CREATE TABLE seal (
    token BLOB NOT NULL,              -- another one in each log
    before BLOB NOT NULL              -- the one before it
) STRICT;
INSERT INTO seal VALUES(X'00000000000000000000000000000000',X'00000000000000000000000000000000');

-- Table  source
DROP TABLE IF EXISTS source;
CREATE TABLE source (
    token TEXT NOT NULL,              -- of this file: the cursors of its endings name it
    newest INTEGER NOT NULL,          -- the highest number that there was
    forgotten INTEGER NOT NULL        -- the highest number that was forgotten for its age
) STRICT;
INSERT INTO source VALUES('1fa01fc4f243a07a',3,0);

-- Table  spent
DROP TABLE IF EXISTS spent;
CREATE TABLE spent (
    instance TEXT PRIMARY KEY,        -- empty: of all instances together
    at REAL NOT NULL,                 -- POSIX time at which its account was released
    standings TEXT NOT NULL           -- JSON: what is spent of each bucket, in seconds from then
) STRICT, WITHOUT ROWID;

-- Table  steps
DROP TABLE IF EXISTS steps;
CREATE TABLE steps (
    seq INTEGER NOT NULL,
    serial INTEGER NOT NULL,
    number INTEGER NOT NULL,
    started INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    maybe_sent INTEGER NOT NULL,
    transforms INTEGER NOT NULL,
    first_at REAL NOT NULL,
    not_before REAL NOT NULL,
    outcome TEXT,
    message_id TEXT, made TEXT,
    PRIMARY KEY (seq, serial)
) STRICT, WITHOUT ROWID;
INSERT INTO steps VALUES(27852800000000001,0,1,1,0,0,0,1700000000.0,0.0,NULL,NULL,NULL);
INSERT INTO steps VALUES(27852800000000002,0,1,1,0,0,0,1700000000.0,0.0,NULL,NULL,NULL);
INSERT INTO steps VALUES(27852800000000008,0,1,1,0,0,0,1700000000.0,0.0,NULL,NULL,NULL);

-- Table  turns
DROP TABLE IF EXISTS turns;
CREATE TABLE turns (
    seq INTEGER PRIMARY KEY,          -- of the entry that a member became
    grp INTEGER NOT NULL,
    number INTEGER NOT NULL,
    disposition TEXT                  -- how it ended, where it may be tried again
) STRICT;
-- Triggers and indices on  turns
CREATE INDEX turns_by_group ON turns (grp, seq) WHERE disposition IS NOT NULL;

-- Table  uses
DROP TABLE IF EXISTS uses;
CREATE TABLE uses (
    seq INTEGER NOT NULL,             -- of the entry or of the group that needs the bytes
    digest TEXT NOT NULL,
    PRIMARY KEY (seq, digest)
) STRICT, WITHOUT ROWID;
-- Triggers and indices on  uses
CREATE INDEX uses_by_digest ON uses (digest);

-- Database header
pragma user_version=12;
pragma application_id=1735880546;

COMMIT TRANSACTION;
