"""Lets operators look at an outbox in a file, and ask its owner, which may be running.

It has a second connection, by the same library, and changes nothing but the table of requests,
which the owner reads about once a second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from time import time as system_time
from typing import Any, Self

import attrs
import msgspec
import trio

from gateway_contrib.durable.damage import unreadable
from gateway_contrib.durable.operators.looking import (
    ALONE,
    COLUMNS,
    MOST_GROUPS,
    UNREADABLE,
    Which,
    as_stored,
    as_told,
    in_rooms,
    lacking,
    listed,
    seq_in,
    seq_of_group,
)
from gateway_contrib.durable.rows import decode, encode
from gateway_contrib.durable.sealing.contents import described, words_of
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.durable.sealing.known import keys_in
from gateway_contrib.sqlite.failing import typed
from gateway_contrib.sqlite.files.opening import connect_beside
from gateway_contrib.sqlite.files.ownership import Owner, Ownership
from gateway_contrib.sqlite.operators.suspensions import everything
from gateway_contrib.sqlite.reading import Reader, endings
from gateway_contrib.sqlite.schema import number
from gateway_contrib.sqlite.sealing.known import keyring_at
from gateway_core import Invalid, Secret
from gateway_core.outboxes import (
    Endings,
    Envelope,
    FormatVersionError,
    Found,
    GroupState,
    KeyRef,
    OutboxError,
    Receipt,
    Suspension,
    from_json,
    to_json,
)

_CONTENT = "class, seq, CAST(entry AS BLOB)"
_FAILED = f"""SELECT id, instance, room, disposition, reason, raw, accepted_at, ended_at,
    reason, {_CONTENT}, CAST(receipt AS BLOB) FROM history WHERE entry IS NOT NULL"""  # noqa: S608 - constants
_WAITING = f"""SELECT id, instance, room, 'unfinished', '', '', accepted_at, NULL,
    CASE WHEN due > ?1 THEN 'schedule'
        WHEN EXISTS (SELECT 1 FROM steps s WHERE s.seq = e.seq AND s.started) THEN 'attempt'
        WHEN EXISTS (SELECT 1 FROM closures c WHERE c.instance = e.instance AND c.until > ?1)
            THEN 'account limit'
        WHEN EXISTS (SELECT 1 FROM steps s WHERE s.seq = e.seq AND s.outcome IS NULL) THEN 'retry'
        WHEN stream >= {ALONE} THEN 'alone' ELSE '' END,
    {_CONTENT}, x'' FROM envelopes e WHERE 1"""  # noqa: S608 - constants
_ROOMS = """SELECT instance, room, sum(waiting) AS waiting, sum(failed) AS failed,
        sum(lately) AS lately, min(since) AS since
    FROM (SELECT instance, room, 1 AS waiting, 0 AS failed, accepted_at >= ?1 AS lately,
            accepted_at AS since FROM envelopes
        UNION ALL SELECT instance, room, 0, entry IS NOT NULL, accepted_at >= ?1, NULL FROM history)
    WHERE ?2 IS NULL OR instance = ?2
    GROUP BY instance, room ORDER BY max(sum(waiting), sum(lately)) DESC, 1, 2 LIMIT ?3"""
_KNOWN = ("envelopes", "history", "keys", "revisions", "moves")


def _conditions(which: Which) -> tuple[str, list[Any]]:
    """The SQL conditions, and the values bound to them."""
    tests = {
        "instance = ?": which.instance,
        "room = ?": which.room,
        "disposition = ?": which.disposition,
        "accepted_at <= ?": which.older,
        "accepted_at >= ?": which.newer,
    }
    asked = {test: value for test, value in tests.items() if value is not None}
    return "".join(f" AND {test}" for test in asked), list(asked.values())


class Operator:
    """An open view of the outbox at `path`. Raises `OutboxError` if there is no outbox.

    keys  the keys of its texts; raises `OutboxError` as well if a key of the outbox is not among
          them
    """

    def __init__(self, path: Path, keys: Sequence[Secret] = ()) -> None:
        self._path = path
        self._keys = keys_in(keys)
        self._db = connect_beside(path)
        try:
            self._keyring = self._keyring_now()
        except BaseException:
            self._db.close()
            raise

    @typed(UNREADABLE)
    def _keyring_now(self) -> Keyring:
        return keyring_at(self._db, self._keys, self._path, owner=False)

    @property
    def key(self) -> str:
        """The id of the key with which a gateway with these keys seals; empty: it seals nothing."""
        return self._keys[0].id if self._keys else ""

    @property
    def sealing(self) -> str:
        """The id of the key with which texts are sealed now; empty: they are not."""
        return self._keyring_now().first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @property
    def owner(self) -> Owner | None:
        """The gateway that has the outbox open; None: none has."""
        return Ownership(self._path).present()

    def failed(self, which: Which, limit: int, *, oldest: bool = False) -> list[dict[str, Any]]:
        """Envelopes that ended undelivered and can be tried again; the newest or oldest first."""
        where, bound = _conditions(which)
        order = "seq" if oldest else "seq DESC"
        return self._rows(f"{_FAILED}{where} ORDER BY {order} LIMIT ?", [*bound, limit])

    def waiting(
        self, which: Which, limit: int, told: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Unfinished envelopes, the oldest first, each with what it waits for, as far as stored.

        The limits, refused tokens and slots in the owner's memory are not stored: if the first
        envelope of a room waits for one of them, its cause is empty.

        told  the owner's answer to a `look`; None: it gave none
        """
        where, bound = _conditions(attrs.evolve(which, disposition=None))
        sql = f"{_WAITING}{where} ORDER BY seq LIMIT ?"
        rows = in_rooms(self._rows(sql, [system_time(), *bound, limit]))
        if told is not None:
            return [as_told(row, told) for row in rows]
        suspended = self.suspended()
        return [as_stored(row, suspended) for row in rows]

    def handed(self, which: Which, limit: int) -> list[dict[str, Any]]:  # noqa: ARG002 - as others
        """Messages that were handed over and no owner has taken: nobody hands over to a file."""
        return []

    def in_order(self, ids: Sequence[str]) -> list[str]:
        """The ids, in the order in which their envelopes were accepted: one process made them."""
        return sorted(ids)

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """Endings after that number, as far as they are written."""
        await trio.lowlevel.checkpoint()
        with typed(UNREADABLE):
            return endings(self._db, self._keyring, after, limit, unreadable)

    @typed(UNREADABLE)
    def lacks(self, instance: str) -> str:
        """A text if nothing is stored of the instance, with the instances there are; else empty."""
        sql = "SELECT instance FROM envelopes UNION SELECT instance FROM history ORDER BY 1"
        names = [name for (name,) in self._db.execute(sql)]
        names = sorted({*names, *self._members()})
        if instance in names:
            return ""
        return lacking(instance, names)

    def _members(self) -> dict[str, int]:
        """How many members of groups have no entry yet, by instance."""
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'groups'").get:
            return {}  # a file of the release before
        sql = """SELECT instance, sum(size - taken) FROM groups
            WHERE stored AND NOT cancelled AND size > taken GROUP BY instance"""
        return dict(self._db.execute(sql))

    @typed(UNREADABLE)
    def rooms(self, instance: str | None, since: float, limit: int) -> list[dict[str, Any]]:
        """The noisiest rooms, by waiting envelopes, or by those accepted `since` if more."""
        rows = self._db.execute(_ROOMS, (since, instance, limit)).fetchall()
        names = ("instance", "room", "waiting", "failed", "accepted", "oldest")
        return [dict(zip(names, row, strict=True)) for row in rows]

    @typed(UNREADABLE)
    def check_place(self, instance: str, room: str) -> None:
        """Raise `OutboxError` if nothing is stored of the room or the instance."""
        for place in ((instance, room), (instance,)):
            where = " AND ".join(("instance = ?", "room = ?")[: len(place)])
            found = [
                self._db.execute(f"SELECT 1 FROM {table} WHERE {where} LIMIT 1", place).get  # noqa: S608 - constants
                for table in _KNOWN
            ]
            if any(found):
                break
        if (any(found) and len(place) > 1) or instance in self._members():
            return  # only the gateway knows the rooms of members that wait
        if any(found):
            raise OutboxError(f"the outbox has nothing of room {room!r} of instance {instance!r}")
        raise OutboxError(self.lacks(instance))

    def _rows(self, sql: str, bound: Sequence[Any]) -> list[dict[str, Any]]:
        rows = []
        with typed(UNREADABLE):
            for *plain, priority, seq, entry, receipt in self._db.execute(sql, bound):
                raw = COLUMNS.index("raw")
                plain[raw] = words_of(self._keyring, seq, plain[raw], receipt)
                row = (*plain, *described(self._keyring, seq, priority, entry))
                rows.append(dict(zip(COLUMNS, row, strict=True)))
        return rows

    @typed(UNREADABLE)
    def show(self, envelope_id: str) -> dict[str, Any] | None:
        """All that is stored of an envelope: its content, its steps, its receipt.

        A content or receipt that cannot be read is None, and `unreadable` has them with the reason.
        """
        seq = seq_in(envelope_id)
        sql = """SELECT room, CAST(entry AS BLOB), NULL FROM envelopes WHERE seq = ?1 AND id = ?2
            UNION ALL SELECT room, CAST(entry AS BLOB), CAST(receipt AS BLOB) FROM history
            WHERE seq = ?1 AND id = ?2"""
        found = self._db.execute(sql, (seq, envelope_id)).get
        if found is None:
            return None
        room, *row = found
        read: list[Any] = []
        broken = {}
        for kind, text in zip(("entry", "receipt"), row, strict=True):
            try:
                opened = self._keyring.open(kind, seq, text) if text is not None else "null"
                read.append(json.loads(opened))
            except (Invalid, ValueError) as error:
                read.append(None)
                broken[kind] = str(error)
        entry, receipt = read
        steps = self._db.execute(
            "SELECT serial, number, started, outcome, message_id FROM steps WHERE seq = ?", (seq,)
        )
        names = ("serial", "tries", "started", "outcome", "message_id")
        return {
            "id": envelope_id,
            "asked_room": self._asked_room(seq, room, entry),
            "envelope": entry[0] if entry is not None else None,
            "parts": len(entry[1]) if entry is not None else None,
            "steps": [dict(zip(names, step, strict=True)) for step in steps],
            "receipt": receipt,
            **({"unreadable": broken} if broken else {}),
        }

    def _asked_room(self, seq: int, room: str, entry: list[Any] | None) -> str | None:
        """The caller's room if policies changed it; None: they did not, or it is not known."""
        if entry is not None:
            return entry[4] if len(entry) > 4 else None  # noqa: PLR2004 - as `rows.entry_row`
        sql = "SELECT room FROM keys WHERE seq = ? AND operation <> 'group'"
        named: str | None = self._db.execute(sql, (seq,)).get
        return None if named == room else named

    @typed(UNREADABLE)
    def asked(self, instance: str, room: str) -> list[Envelope]:
        """Envelopes that operators asked to submit to that room, not answered yet."""
        sql = """SELECT number, envelope FROM requests
            WHERE kind = 'submit' AND done_at IS NULL AND instance = ? AND room = ?
            ORDER BY number"""
        rows: list[tuple[Any, ...]] = self._db.execute(sql, (instance, room)).fetchall()
        found: list[Envelope] = []
        for request, content in rows:
            with suppress(FormatVersionError, Invalid, msgspec.DecodeError):
                text = self._keyring.text("envelope", request, content or "")
                found.append(from_json(Envelope, decode(text)))
        return found

    @typed(UNREADABLE)
    def find(self, envelope_id: str) -> Found | None:
        """What is known about an envelope."""
        reader = Reader(self._path, unreadable, self._keyring)
        try:
            return reader.find(seq_in(envelope_id))
        finally:
            reader.close()

    @typed(UNREADABLE)
    def find_key(self, key: KeyRef) -> Found | None:
        """What is known about a sent message's key, and the message's newest ref after edits."""
        reader = Reader(self._path, unreadable, self._keyring)
        try:
            scope = (key.instance_id, key.external_room_id, "send", key.key)
            found = reader.find_key(scope, since=-math.inf)
            newest = reader.newest(found.envelope_id) if found is not None else None
        finally:
            reader.close()
        return attrs.evolve(found, newest=newest) if found is not None else None

    # -- groups

    @typed(UNREADABLE)
    def groups(self, instance: str | None = None) -> list[GroupState]:
        """All remembered groups, by instance; each instance's oldest first."""
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'groups'").get:
            return []  # a file of the release before
        sql = "SELECT DISTINCT instance FROM groups ORDER BY 1"
        names = [instance] if instance is not None else [name for (name,) in self._db.execute(sql)]
        found: list[GroupState] = []
        with closing(self._reader()) as reader:
            for name in names:
                found += reader.beside.states(name, "", MOST_GROUPS)
        return found

    @typed(UNREADABLE)
    def group(self, group_id: str) -> GroupState | None:
        """How far a group is; None: it is not there."""
        with closing(self._reader()) as reader:
            state: GroupState | None = reader.beside.state(seq_of_group(group_id))
        return state

    @typed(UNREADABLE)
    def group_of_key(self, instance: str, key: str) -> GroupState | None:
        """The group that has the key."""
        with closing(self._reader()) as reader:
            found = reader.look_up((instance, "", "group", key), -math.inf)
        return found.group if found is not None else None

    @typed(UNREADABLE)
    def failures(self, group_id: str, limit: int) -> list[Receipt]:
        """How members of a group failed, by the ids of their envelopes."""
        with closing(self._reader()) as reader:
            return reader.beside.failed(group_id, "", limit)

    def _reader(self) -> Reader:
        return Reader(self._path, unreadable, self._keyring)

    @typed(UNREADABLE)
    def suspended(self) -> dict[str, Suspension]:
        """The accounts that operators have suspended, whether a gateway runs or not."""
        return everything(self._db)

    def shares(self) -> dict[str | None, list[str]]:
        """The accounts of each process, if there are several; empty: one answers for all."""
        return {}

    @typed(UNREADABLE)
    def stats(self) -> dict[str, Any]:
        """Counts by instance and by disposition, and who owns the file.

        `members`: groups' members that have no entry yet, by instance. `suspended`: accounts that
        operators have suspended, whether a gateway runs or not.
        """
        waiting = self._db.execute("SELECT instance, count(*) FROM envelopes GROUP BY instance")
        ended = self._db.execute("SELECT disposition, count(*) FROM history GROUP BY disposition")
        owner, log = self.owner, self._path.with_name(f"{self._path.name}-wal")
        return {
            "unfinished": dict(waiting),
            "members": self._members(),
            "scheduled": number(self._db, "SELECT count(*) FROM envelopes WHERE due IS NOT NULL"),
            "ended": dict(ended),
            "asked": number(self._db, "SELECT count(*) FROM requests WHERE done_at IS NULL"),
            "bytes": self._path.stat().st_size + (log.stat().st_size if log.exists() else 0),
            "owner": str(owner) if owner is not None else None,
            "suspended": listed(self.suspended()),
        }

    def ask(
        self,
        kind: str,
        wall: float,
        *,
        envelope_id: str = "",
        place: Sequence[str] = (),
        envelope: Envelope | None = None,
        asked: str = "",
    ) -> int:
        """Leave a request for the owner; returns its number. `asked`: about a group, as JSON."""
        seq = seq_in(envelope_id) if envelope_id else None
        instance, room = place or ("", "")
        sql = """INSERT INTO requests (kind, seq, instance, room, asked_at, envelope)
            VALUES (?, ?, ?, ?, ?, ?) RETURNING number"""
        with typed("the outbox cannot take the request"), self._db:
            row = (kind, seq, instance, room, wall, envelope_id or None)
            request = int(self._db.execute(sql, row).get)
            text = encode(to_json(envelope)) if envelope is not None else asked
            if text:
                sealed = self._keyring_now().seal("envelope", request, text)
                sql = "UPDATE requests SET envelope = ? WHERE number = ?"
                self._db.execute(sql, (sealed, request))
        return request

    def take_back(self, request: int) -> None:
        """Delete the request and its answer, which are no longer of use."""
        with typed("the outbox cannot take it back"):
            self._db.execute("DELETE FROM requests WHERE number = ?", (request,))

    @typed(UNREADABLE)
    def answer(self, request: int) -> str | None:
        """What the owner answered; None: nothing yet."""
        sql = "SELECT answer FROM requests WHERE number = ?"
        answer: str | None = self._db.execute(sql, (request,)).get
        return self._keyring.text("answer", request, answer) if answer is not None else None
