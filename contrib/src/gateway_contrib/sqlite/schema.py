"""Makes the tables of the database file, and upgrades them from each version to the next.

A release can be taken back: the previous release can read and write a file that a newer release has
upgraded. So a change adds tables, indexes, and columns with a default, and removes nothing that the
previous release needs; that is dropped a release later, and `OLDEST` rises then. Statements name
the columns that they write. Values that the previous release could not write are filled in when the
newer release comes back (`Change.adopt`).

An index by values without an order (rooms, deadlines) costs a page of its own for each row, at the
append and at the end; most envelopes end within a second, before anybody has used such an index. So
envelopes are *filed* in these indexes later: when a reader needs them, or when many are unfiled.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import apsw

from gateway_contrib.sqlite.beside.tables import ADOPT, TABLES
from gateway_contrib.sqlite.operators.suspensions import TABLE as SUSPENSIONS
from gateway_core.outboxes import OutboxError

APPLICATION_ID = 0x67776F62
"""Marks the file as an outbox ("gwob"), so that no other program's database is written to."""

_FIRST = """
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
) STRICT;
CREATE INDEX by_instance ON envelopes (instance, position) WHERE due IS NULL;
CREATE INDEX by_room ON envelopes (instance, room, position) WHERE due IS NULL;
CREATE INDEX by_due ON envelopes (due, position) WHERE due IS NOT NULL;
CREATE INDEX by_deadline ON envelopes (deadline, seq);
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
    message_id TEXT,
    PRIMARY KEY (seq, serial)
) STRICT, WITHOUT ROWID;
CREATE TABLE keys (
    instance TEXT NOT NULL,
    room TEXT NOT NULL,
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    ended_at REAL,
    PRIMARY KEY (instance, room, operation, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_seq ON keys (seq);
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
) STRICT;
CREATE INDEX history_by_end ON history (ended_at);
CREATE INDEX history_by_room ON history (instance, room);
CREATE TABLE moves (
    instance TEXT NOT NULL,
    room TEXT NOT NULL,
    moved_to TEXT NOT NULL,
    PRIMARY KEY (instance, room)
) STRICT, WITHOUT ROWID;
CREATE TABLE requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    seq INTEGER,
    instance TEXT NOT NULL DEFAULT '',
    room TEXT NOT NULL DEFAULT '',
    asked_at REAL NOT NULL,
    done_at REAL,
    answer TEXT
) STRICT;
"""

_REVISIONS = """
CREATE TABLE revisions (
    id TEXT PRIMARY KEY,              -- the envelope that made the message
    instance TEXT NOT NULL,
    room TEXT NOT NULL,
    ended_at REAL NOT NULL,           -- of its last edit
    ref TEXT NOT NULL                 -- JSON: the message as that edit left it
) STRICT, WITHOUT ROWID;
CREATE INDEX revisions_by_end ON revisions (ended_at);
CREATE INDEX revisions_by_room ON revisions (instance, room);
"""

_FILED = """
ALTER TABLE envelopes ADD COLUMN filed INTEGER NOT NULL DEFAULT 1;
                                      -- whether it stands in the indexes by room and by deadline
DROP INDEX by_room;
DROP INDEX by_deadline;
DROP INDEX history_by_room;
CREATE INDEX by_room ON envelopes (instance, room, position) WHERE filed = 1 AND due IS NULL;
CREATE INDEX by_deadline ON envelopes (deadline, seq) WHERE filed = 1;
DROP INDEX by_due;
CREATE INDEX by_due ON envelopes (due, position, instance) WHERE due IS NOT NULL;
CREATE INDEX keys_by_end ON keys (ended_at, seq) WHERE ended_at IS NOT NULL;
CREATE INDEX failed ON history (instance, room, seq) WHERE entry IS NOT NULL;
CREATE TABLE filing (
    upto INTEGER NOT NULL             -- every envelope up to this seq is filed
) STRICT;
CREATE TABLE closures (
    instance TEXT NOT NULL,
    operation TEXT NOT NULL,          -- empty: the instance as a whole
    until REAL NOT NULL,
    wait REAL NOT NULL,               -- seconds for which it was asked for
    PRIMARY KEY (instance, operation)
) STRICT, WITHOUT ROWID;
INSERT INTO filing SELECT coalesce(max(seq), -1) FROM envelopes;
"""

STREAM = """iif(NOT json_valid(entry), 1,
    CASE coalesce(class, entry ->> '$[0].priority', 'normal')
        WHEN 'urgent' THEN 0 WHEN 'bulk' THEN 2 ELSE 1 END
    + iif(entry ->> '$[0].order' = 'none' AND entry ->> '$[0].kind' IN ('send', 'call'), 3, 0))"""
"""The number of a row's stream, by its entry and its class."""

_STREAMS = f"""
ALTER TABLE envelopes ADD COLUMN stream INTEGER NOT NULL DEFAULT 1;
                                      -- its number among the streams: its class, alone or not
UPDATE envelopes SET stream = {STREAM} WHERE {STREAM} <> 1;
DROP INDEX by_instance;
DROP INDEX by_room;
DROP INDEX by_due;
CREATE INDEX by_stream ON envelopes (instance, stream, position) WHERE due IS NULL;
CREATE INDEX by_room ON envelopes (instance, room, stream, position)
    WHERE filed = 1 AND due IS NULL;
CREATE INDEX by_due ON envelopes (due, position, instance, stream) WHERE due IS NOT NULL;
"""  # noqa: S608 - constants

_SEALED = """
CREATE TABLE seal (
    token BLOB NOT NULL,              -- another one in each log
    before BLOB NOT NULL              -- the one before it
) STRICT;
INSERT INTO seal VALUES (randomblob(16), randomblob(16));
"""

_SPENT = """
CREATE TABLE spent (
    instance TEXT PRIMARY KEY,        -- empty: of all instances together
    at REAL NOT NULL,                 -- POSIX time at which its account was released
    standings TEXT NOT NULL           -- JSON: what is spent of each bucket, in seconds from then
) STRICT, WITHOUT ROWID;
ALTER TABLE moves ADD COLUMN moved_at REAL NOT NULL DEFAULT 0;
"""

_ENDINGS = """
ALTER TABLE history ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
                                      -- its place in the order in which ends were written
UPDATE history SET number = placed.number FROM
    (SELECT seq, row_number() OVER (ORDER BY ended_at, seq) AS number FROM history) AS placed
    WHERE placed.seq = history.seq;
CREATE INDEX history_by_number ON history (number);
CREATE TABLE source (
    token TEXT NOT NULL,              -- of this file: the cursors of its endings name it
    newest INTEGER NOT NULL,          -- the highest number that there was
    forgotten INTEGER NOT NULL        -- the highest number that was forgotten for its age
) STRICT;
INSERT INTO source SELECT lower(hex(randomblob(8))), count(*), 0 FROM history;
"""

_FORMAT = """
CREATE TABLE format (
    oldest INTEGER NOT NULL,          -- version of the oldest release that can use this file
    used INTEGER NOT NULL             -- version of the release that had it open last
) STRICT;
INSERT INTO format VALUES (0, 0);
"""

_ASKED = """
ALTER TABLE requests ADD COLUMN envelope TEXT;
                                      -- JSON of what is to be accepted, or the id of what is to be
                                      -- cancelled, until that is answered
"""

_SEALED_TEXTS = """
CREATE TABLE keyring (
    id TEXT PRIMARY KEY,              -- of a key with which texts of this file are sealed
    secret TEXT NOT NULL              -- what idempotency keys are hashed with, sealed by that key
) STRICT, WITHOUT ROWID;
ALTER TABLE keys ADD COLUMN hashed INTEGER NOT NULL DEFAULT 0;
                                      -- whether the key is a hash
"""


_MADE = """
ALTER TABLE steps ADD COLUMN made TEXT;
                                      -- JSON: further messages that it made, ids of its files
"""


class Change(NamedTuple):
    """A step from one version to the next.

    make   statements that make the change, whatever the file holds
    adopt  statements that bring it to rows which an earlier release has written since
    """

    make: str
    adopt: str = ""


CHANGES = (
    Change(_FIRST), Change(_REVISIONS), Change(_FILED), Change(_STREAMS), Change(_SEALED),
    Change(_SPENT), Change(_ENDINGS), Change(_FORMAT), Change(_ASKED), Change(_SEALED_TEXTS),
    Change(TABLES, ADOPT), Change(_MADE), Change(SUSPENSIONS),
)  # fmt: skip
"""The changes from each version n to n + 1; a release can upgrade a file of any earlier version."""

VERSION = len(CHANGES)

OLDEST = 8
"""The version of the oldest release that can use a file of this release."""

SEALED_FROM = 10
"""The version of the oldest release that can use a file with sealed texts."""

_TELLS = 8
"""The first version whose files say which releases can use them."""


def prepare(connection: apsw.Connection) -> None:
    """Make the tables, or upgrade them. Raises `OutboxError` if the file is no outbox."""
    check_kind(connection)
    _bring_up_to_date(connection, number(connection, "PRAGMA user_version"))
    lacking = _all_names() - _names(connection)
    if lacking:
        raise OutboxError(f"the file is damaged: it lacks {', '.join(sorted(lacking))}")


def _bring_up_to_date(connection: apsw.Connection, version: int) -> None:
    """Make what the file lacks. In a later release's file, only note this release's use of it."""
    used = number(connection, "SELECT used FROM format") if version >= _TELLS else version
    if used == VERSION <= version:
        return
    with connection:
        for change in CHANGES[version:]:
            connection.execute(change.make)
        for change in CHANGES[used:version]:
            connection.execute(change.adopt)
        connection.execute("UPDATE format SET used = ?", (VERSION,))
        if version < VERSION:
            connection.execute("UPDATE format SET oldest = max(oldest, ?)", (OLDEST,))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")


@cache
def _all_names() -> frozenset[str]:
    """The names of all tables and indexes that a file of this version has."""
    connection = apsw.Connection(":memory:")
    _bring_up_to_date(connection, 0)
    names = _names(connection)
    connection.close()
    return names


def _names(connection: apsw.Connection) -> frozenset[str]:
    """The names of the file's tables and indexes."""
    return frozenset(name for (name,) in connection.execute("SELECT name FROM sqlite_schema"))


def check_kind(connection: apsw.Connection) -> None:
    """Raises `OutboxError` if the file is no outbox, or one that this release cannot use."""
    mark = number(connection, "PRAGMA application_id")
    tables = number(connection, "SELECT count(*) FROM sqlite_schema")
    if mark != APPLICATION_ID and tables:
        raise OutboxError("the file is a database, but not an outbox of this gateway")
    check_version(connection)


def check_version(connection: apsw.Connection) -> None:
    """Raises `OutboxError` if a later release wrote the file and this one cannot use it."""
    version = oldest = number(connection, "PRAGMA user_version")
    if version > VERSION and "format" in _names(connection):
        oldest = number(connection, "SELECT oldest FROM format")
    if oldest > VERSION:
        raise OutboxError(
            f"the file has schema version {version}, which needs a release that knows version "
            f"{oldest}; this one knows up to {VERSION}. Start the later release again, or give "
            "this one a backup that was made before"
        )
    if version < 0:
        raise OutboxError(f"the file is damaged (schema version {version})")


def check_beside(connection: apsw.Connection) -> None:
    """As `check_version`, for a process that only looks at the file and may not upgrade it."""
    check_version(connection)
    version = number(connection, "PRAGMA user_version")
    if version < VERSION:
        raise OutboxError(
            f"an earlier release wrote the file (schema version {version}, here {VERSION}): use "
            "that release, or start a gateway of this one, which upgrades the file"
        )


def number(connection: apsw.Connection, sql: str, bound: tuple[int, ...] = ()) -> int:
    """The one integer that the statement returns."""
    value = connection.execute(sql, bound).get
    return int(value)
