"""Lets operators look at an outbox in PostgreSQL, and ask its owner, which may be running.

It has a connection of its own, and changes nothing but the table of requests, which the owner reads
about once a second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from time import time as system_time
from typing import Any, Self, TypeAlias, TypeVar

import attrs
import psycopg
import trio

from gateway_contrib.durable.damage import intact
from gateway_contrib.durable.operators.looking import (
    COLUMNS,
    MOST_GROUPS,
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
from gateway_contrib.postgres import reading
from gateway_contrib.postgres.beside import reading as beside
from gateway_contrib.postgres.connections.connecting import Link, options_of
from gateway_contrib.postgres.connections.failing import Place, typed
from gateway_contrib.postgres.connections.members import Part, owner_in, parts_in
from gateway_contrib.postgres.connections.migrations import check
from gateway_contrib.postgres.names import name_of, text_in, text_out
from gateway_contrib.postgres.operators import handed, lists, suspensions
from gateway_contrib.postgres.sealing.known import keyring_at
from gateway_contrib.postgres.settings import PostgresSettings
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

T = TypeVar("T")
Connection: TypeAlias = psycopg.Connection[Any]

PATIENCE = 60.0
"""Seconds that a look may take."""


class Operator:
    """An open view of the outbox in that database. Raises `OutboxError` if there is no outbox.

    keys  the keys of its texts; raises `OutboxError` as well if a key of the outbox is not among
          them, and `ValueError` for an invalid key
    """

    def __init__(self, url: str, settings: PostgresSettings, keys: Sequence[Secret] = ()) -> None:
        self.place = Place(url, settings.schema)
        self._keys = keys_in(keys)
        options = options_of(url, settings, patience=PATIENCE, by_index=False)
        self._link = Link(options, limit=PATIENCE + settings.connect_for)
        try:
            with self._typed("cannot be opened"):
                self._do(partial(check, schema=settings.schema))
            self._keyring = self._keyring_now()
        except BaseException:
            self._link.close()
            raise

    @contextmanager
    def _typed(self, what: str) -> Iterator[None]:
        with typed(self.place, what):
            yield

    def _do(self, do: Callable[[Connection], T]) -> T:
        with self._typed("cannot be read"):
            return self._link.call(do)

    def _rows_of(self, sql: str, bound: Mapping[str, Any] | Sequence[Any] = ()) -> list[Any]:
        return self._do(lambda it: it.execute(sql.encode(), bound).fetchall())

    def _keyring_now(self) -> Keyring:
        return self._do(lambda it: keyring_at(it, self._keys, self.place, owner=False))

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
        self._link.close()

    @property
    def owner(self) -> Part | None:
        """The gateway that owns the outbox, if it has renewed its lease in time; None: none."""
        return self._do(owner_in)

    def parts(self) -> list[Part]:
        """The owners, if there are any, and the processes that stand by."""
        return self._do(parts_in)

    # -- envelopes

    def failed(self, which: Which, limit: int, *, oldest: bool = False) -> list[dict[str, Any]]:
        """Envelopes that ended undelivered and can be tried again; the newest or oldest first."""
        where, bound = lists.conditions(which)
        order = reading.ORDER if oldest else f"{reading.ORDER} DESC"
        sql = f"{lists.FAILED}{where} ORDER BY {order} LIMIT %(limit)s"
        return self._rows(sql, bound | {"limit": limit})

    def waiting(
        self, which: Which, limit: int, told: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Unfinished envelopes, the oldest first, each with what it waits for, as far as stored.

        The limits, refused tokens and slots in the owner's memory are not stored: if the first
        envelope of a room waits for one of them, its cause is empty.

        told  the owner's answer to a `look`; None: it gave none
        """
        where, bound = lists.conditions(attrs.evolve(which, disposition=None))
        sql = f"{lists.WAITING}{where} ORDER BY {reading.ORDER} LIMIT %(limit)s"
        rows = in_rooms(self._rows(sql, bound | {"limit": limit, "now": system_time()}))
        if told is not None:
            return [as_told(row, told) for row in rows]
        suspended = self.suspended()
        return [as_stored(row, suspended) for row in rows]

    def handed(self, which: Which, limit: int) -> list[dict[str, Any]]:
        """Messages that were handed over and no owner has taken, as rows of `waiting`."""
        return self._do(lambda it: handed.untaken(it, self._keyring, which, limit))

    def in_order(self, ids: Sequence[str]) -> list[str]:
        """The ids, in the order in which their envelopes were accepted."""
        order = dict(self._rows_of(lists.ORDERED, ([seq_in(each) for each in ids],)))
        return sorted(ids, key=lambda each: order.get(each, 0))

    def _rows(self, sql: str, bound: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = []
        for *plain, priority, seq, entry, receipt in self._rows_of(sql, bound):
            raw, instance = COLUMNS.index("raw"), COLUMNS.index("instance")
            plain[raw] = words_of(self._keyring, seq, text_out(plain[raw]), receipt)
            plain[instance] = text_out(plain[instance])
            row = (*plain, *described(self._keyring, seq, priority, entry))
            rows.append(dict(zip(COLUMNS, row, strict=True)))
        return rows

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """Endings after that number, as far as they are written."""
        await trio.lowlevel.checkpoint()
        return self._do(lambda it: reading.endings(it, self._keyring, after, limit))

    def show(self, envelope_id: str) -> dict[str, Any] | None:
        """All that is stored of an envelope: its content, its steps, its receipt."""
        seq = seq_in(envelope_id)
        sql = """SELECT * FROM (SELECT room, entry, NULL, seq, id FROM envelopes
            UNION ALL SELECT room, entry, receipt, seq, id FROM history) e
            WHERE seq = %(seq)s AND id = %(id)s"""
        found = self._rows_of(sql, {"seq": seq, "id": envelope_id})
        if not found:
            return None
        room, *row = found[0][:3]
        try:
            with intact():
                entry, receipt = (
                    json.loads(self._keyring.open(kind, seq, text)) if text is not None else None
                    for kind, text in zip(("entry", "receipt"), row, strict=True)
                )
                content = (entry[0], len(entry[1])) if entry is not None else (None, None)
                asked_room = self._asked_room(seq, room, entry)
        except Invalid as error:
            raise OutboxError(f"envelope {envelope_id} cannot be read: {error}") from None
        sql = """SELECT serial, number, started, outcome, message_id FROM steps
            WHERE seq = %s ORDER BY serial"""
        names = ("serial", "tries", "started", "outcome", "message_id")
        return {
            "id": envelope_id,
            "asked_room": asked_room,
            "envelope": content[0],
            "parts": content[1],
            "steps": [dict(zip(names, step, strict=True)) for step in self._rows_of(sql, (seq,))],
            "receipt": receipt,
        }

    def _asked_room(self, seq: int, room: str, entry: list[Any] | None) -> str | None:
        """The caller's room if policies changed it; None: they did not, or it is not known."""
        if entry is not None:
            return entry[4] if len(entry) > 4 else None  # noqa: PLR2004 - as `rows.entry_row`
        rows = self._rows_of("SELECT room FROM keys WHERE seq = %s", (seq,))
        return None if not rows or rows[0][0] == room else str(rows[0][0])

    def asked(self, instance: str, room: str) -> list[Envelope]:
        """Envelopes that operators asked to submit to that room, not answered yet."""
        sql = """SELECT number, envelope FROM requests WHERE kind = 'submit' AND done_at IS NULL
            AND instance = %s AND room = %s ORDER BY number DESC"""
        found: list[Envelope] = []
        for request, content in self._rows_of(sql, (text_in(instance), text_in(room))):
            with suppress(FormatVersionError, Invalid), intact():
                text = self._keyring.text("envelope", request, text_out(content or ""))
                found.append(from_json(Envelope, decode(text)))
        return found

    def find(self, envelope_id: str) -> Found | None:
        """What is known about an envelope."""
        seq = seq_in(envelope_id)
        return self._do(lambda it: reading.find(it, self._keyring, seq))

    def find_key(self, key: KeyRef) -> Found | None:
        """What is known about a sent message's key, and the message's newest ref after edits."""
        scope = (key.instance_id, key.external_room_id, "send", key.key)
        found = self._look_up(scope)
        if found is None:
            return None
        again = self._look_up(found.envelope_id)
        return attrs.evolve(found, newest=again.newest if again is not None else None)

    def _look_up(self, what: str | tuple[str, str, str, str]) -> Found | None:
        return self._do(lambda it: reading.look_up(it, self._keyring, what, -math.inf))

    # -- rooms and counts

    def lacks(self, instance: str) -> str:
        """A text if nothing is stored of the instance, with the instances there are; else empty."""
        names = [text_out(name) for (name,) in self._rows_of(lists.NAMES)]
        names = sorted({*names, *self._members()})
        return "" if instance in names else lacking(instance, names)

    def _members(self) -> dict[str, int]:
        """How many members of groups have no entry yet, by instance."""
        return {text_out(name): count for name, count in self._rows_of(lists.MEMBERS)}

    def rooms(self, instance: str | None, since: float, limit: int) -> list[dict[str, Any]]:
        """The noisiest rooms, by waiting envelopes, or by those accepted `since` if more."""
        bound = {"account": instance and name_of(instance), "since": since, "limit": limit}
        names = ("instance", "room", "waiting", "failed", "accepted", "oldest")
        return [
            dict(zip(names, (text_out(named), *row), strict=True))
            for named, *row in self._rows_of(lists.ROOMS, bound)
        ]

    def check_place(self, instance: str, room: str) -> None:
        """Raise `OutboxError` if nothing is stored of the room or the instance."""
        account, place = name_of(instance), name_of(room)
        for table, column in lists.KNOWN.items():
            sql = f"SELECT 1 FROM {table} WHERE account = %s AND {column} = %s LIMIT 1"  # noqa: S608 - constants
            if self._rows_of(sql, (account, place)):
                return
        if instance in self._members():
            return  # only the gateway knows the rooms of members that wait
        if why := self.lacks(instance):
            raise OutboxError(why)
        raise OutboxError(f"the outbox has nothing of room {room!r} of instance {instance!r}")

    def stats(self) -> dict[str, Any]:
        """Counts by instance and by disposition, and who owns the outbox.

        `members`: groups' members that have no entry yet, by instance. `handed`: requests that
        applications handed over and no owner has answered. `suspended`: accounts that operators
        have suspended, whether a gateway runs or not.
        """
        ended = "SELECT disposition, count(*) FROM history GROUP BY 1 ORDER BY 1"
        owner = self.owner
        return {
            "unfinished": {text_out(name): n for name, n in self._rows_of(lists.UNFINISHED)},
            "members": self._members(),
            "scheduled": self._number("SELECT count(*) FROM envelopes WHERE due IS NOT NULL"),
            "ended": dict(self._rows_of(ended)),
            "asked": self._number("SELECT count(*) FROM requests WHERE done_at IS NULL"),
            "handed": self._number("SELECT count(*) FROM handed WHERE answered_at IS NULL"),
            "bytes": self._number(lists.SIZE),
            "owner": str(owner) if owner is not None else None,
            "suspended": listed(self.suspended()),
        }

    def suspended(self) -> dict[str, Suspension]:
        """The accounts that operators have suspended, whether a gateway runs or not."""
        return self._do(suspensions.everything)

    def shares(self) -> dict[str | None, list[str]]:
        """The accounts of each process that owns some, by its name; empty: one answers for all."""
        return {}

    def _number(self, sql: str) -> int:
        return int(self._rows_of(sql)[0][0])

    # -- groups

    def groups(self, instance: str | None = None) -> list[GroupState]:
        """All remembered groups, by instance; each instance's oldest first."""
        sql = """SELECT DISTINCT a.instance FROM groups JOIN accounts a USING (account)
            ORDER BY 1"""
        names = [instance] if instance is not None else [
            text_out(name) for (name,) in self._rows_of(sql)
        ]  # fmt: skip
        found: list[GroupState] = []
        for name in names:
            states = partial(
                beside.states, seals=self._keyring, instance=name, after="", limit=MOST_GROUPS
            )
            found += self._do(states)
        return found

    def group(self, group_id: str) -> GroupState | None:
        """How far a group is; None: it is not there."""
        seq = seq_of_group(group_id)
        return self._do(lambda it: beside.state_at(it, self._keyring, seq))

    def group_of_key(self, instance: str, key: str) -> GroupState | None:
        """The group that has the key."""
        found = self._look_up((instance, "", "group", key))
        return found.group if found is not None else None

    def failures(self, group_id: str, limit: int) -> list[Receipt]:
        """How members of a group failed, by the ids of their envelopes."""
        return self._do(lambda it: beside.failed(it, self._keyring, group_id, "", limit))

    # -- asking

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
        named: dict[str, Any] = decode(asked) if asked else {}
        about = envelope_id or named.get("group") or ""
        seq = seq_in(about) if about else None
        instance, room = place or (named.get("template", {}).get("instance_id", ""), "")
        text = encode(to_json(envelope)) if envelope is not None else asked or envelope_id
        insert = """INSERT INTO requests (kind, seq, instance, room, asked_at)
            VALUES (%s, %s, %s, %s, %s) RETURNING number"""
        row = (kind, seq, text_in(instance), text_in(room), wall)

        def ask(connection: Connection) -> int:
            with connection.transaction():
                made = connection.execute(insert, row).fetchone()
                number = int(made[0]) if made is not None else 0
                keyring = keyring_at(connection, self._keys, self.place, owner=False)
                sealed = text_in(keyring.seal("envelope", number, text)) or None
                change = "UPDATE requests SET envelope = %s WHERE number = %s"
                connection.execute(change, (sealed, number))
            return number

        with self._typed("cannot take the request"):
            return self._link.call(ask)

    def take_back(self, request: int) -> None:
        """Delete the request and its answer, which are no longer of use."""
        sql = "DELETE FROM requests WHERE number = %s"
        with self._typed("cannot take it back"):
            self._link.call(lambda it: it.execute(sql, (request,)))

    def answer(self, request: int) -> str | None:
        """What the owner answered; None: nothing yet."""
        rows = self._rows_of("SELECT answer FROM requests WHERE number = %s", (request,))
        if not rows or rows[0][0] is None:
            return None
        return self._keyring.text("answer", request, text_out(rows[0][0]))
