"""SQL for the tables of groups, bytes and growing texts, and for work that older releases left."""

from __future__ import annotations

TABLES = """
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
CREATE INDEX groups_by_instance ON groups (instance, seq);
CREATE INDEX groups_by_end ON groups (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE members (
    number INTEGER PRIMARY KEY,
    grp INTEGER NOT NULL,             -- the seq of the group
    first INTEGER NOT NULL,           -- the number of the first of these members
    members TEXT NOT NULL             -- JSON: of each its room, and its envelope where it has one
) STRICT;
CREATE INDEX members_by_group ON members (grp, first);
CREATE TABLE turns (
    seq INTEGER PRIMARY KEY,          -- of the entry that a member became
    grp INTEGER NOT NULL,
    number INTEGER NOT NULL,          -- the member's; ~number while it is to be tried again
    disposition TEXT                  -- how it ended, where it may be tried again
) STRICT;
CREATE INDEX turns_by_group ON turns (grp, seq) WHERE disposition IS NOT NULL;
CREATE TABLE counts (
    grp INTEGER NOT NULL,
    disposition TEXT NOT NULL,
    count INTEGER NOT NULL,           -- members that ended so
    PRIMARY KEY (grp, disposition)
) STRICT, WITHOUT ROWID;
CREATE TABLE bytes (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    key TEXT NOT NULL,                -- id of the key that the content is sealed with; empty: none
    content BLOB                      -- NULL: it is in a file of its own
) STRICT;
CREATE TABLE uses (
    seq INTEGER NOT NULL,             -- of the entry or of the group that needs the bytes
    digest TEXT NOT NULL,
    PRIMARY KEY (seq, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX uses_by_digest ON uses (digest);
CREATE TABLE grown (
    seq INTEGER PRIMARY KEY,          -- of an entry that is unfinished, or may be tried again
    number INTEGER NOT NULL,
    text TEXT NOT NULL                -- the newest
) STRICT;
"""

_COUNT = """INSERT INTO counts (grp, disposition, count)
    SELECT grp, {how}, {sign}count(*) FROM temp.told
    WHERE {how} IS NOT NULL AND before IS NOT since GROUP BY grp, {how}
    ON CONFLICT DO UPDATE SET count = count + excluded.count;"""

ADOPT = f"""
CREATE TEMP TABLE told AS
    SELECT t.seq, t.grp, t.disposition AS before,
        iif(e.seq IS NULL, coalesce(h.disposition, t.disposition, 'cancelled'), NULL) AS since
    FROM turns t LEFT JOIN envelopes e ON e.seq = t.seq LEFT JOIN history h ON h.seq = t.seq;
{_COUNT.format(how="before", sign="-")}
{_COUNT.format(how="since", sign="")}
UPDATE turns SET disposition = since FROM temp.told
    WHERE told.seq = turns.seq AND before IS NOT since;
DROP TABLE temp.told;
DELETE FROM turns WHERE disposition IN ('delivered', 'superseded', 'cancelled');
UPDATE groups SET ended_at = iif(
    (SELECT coalesce(sum(count), 0) FROM counts WHERE grp = groups.seq) = size,
    coalesce(ended_at, (SELECT max(ended_at) FROM history), 0), NULL) WHERE stored;
UPDATE keys SET ended_at = groups.ended_at FROM groups
    WHERE keys.seq = groups.seq AND keys.instance = groups.instance AND keys.operation = 'group';
DELETE FROM members WHERE grp IN (SELECT seq FROM groups WHERE ended_at IS NOT NULL);
DELETE FROM uses WHERE seq NOT IN (SELECT seq FROM envelopes)
    AND seq NOT IN (SELECT seq FROM history WHERE entry IS NOT NULL)
    AND seq NOT IN (SELECT seq FROM groups WHERE ended_at IS NULL);
DELETE FROM grown WHERE seq NOT IN (SELECT seq FROM envelopes)
    AND seq NOT IN (SELECT seq FROM history WHERE entry IS NOT NULL);
"""  # noqa: S608 - constants
"""Counts members that an earlier release ended or retried, and deletes uses that it left over."""
