"""Takes operators' requests to the running gateway from a table, which the owner reads each second.

Everything here blocks: it runs in a worker thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from threading import Lock
from typing import Any, TypeAlias

import psycopg

from gateway_contrib.durable.damage import intact
from gateway_contrib.durable.rows import SETTLED, Row, decode, encode
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.postgres.handed import Share
from gateway_contrib.postgres.names import text_in, text_out
from gateway_contrib.postgres.operators.suspensions import RESUME, SUSPEND
from gateway_contrib.postgres.reading import stored_at
from gateway_contrib.postgres.sealing.anew import Resealing
from gateway_contrib.postgres.writes import answers, reopening, statements
from gateway_contrib.postgres.writes.writing import Writer
from gateway_core import Disposition, Invalid
from gateway_core.outboxes import (
    Envelope,
    FormatVersionError,
    Request,
    StoredEntry,
    from_json,
)

Connection: TypeAlias = psycopg.Connection[Any]

AT_ONCE = 500
"""Requests, at most, of one look."""
MOST_OF_ONE = 100
"""Unanswered requests of one account to cancel handed-over rows that the gateway has at once: each
application may make any number of them, and they hold back no other account's."""
_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
PASSED_ON = ("erase", "look", "accounts", "cancel", "submit", "group", SUSPEND, RESUME)
"""Kinds that the gateway carries out; it answers in the write that has the effect, not before."""
_KINDS = (*PASSED_ON, "withdraw", "discard", "retry", "reseal")
_OPEN = f"""requests o LEFT JOIN handed h ON o.kind = 'withdraw'
        AND h.id = CASE WHEN o.envelope ~ '{_UUID}' THEN o.envelope::uuid END
    WHERE o.done_at IS NULL AND o.number < 0 AND o.number <> ALL (%(handed_on)b::bigint[])
        AND o.kind IN ({", ".join(f"'{kind}'" for kind in _KINDS)})
        AND (o.kind <> 'withdraw' OR o.instance <> ALL (%(passed)b::text[])
            AND (h.number IS NULL OR h.answered_at IS NOT NULL))"""
"""Requests that can be done now. The others hold back none: those to cancel what the owner has not
taken yet, those of accounts that have many, and those of a kind that only another release knows."""
_ASKED = f"""SELECT o.number, o.kind, o.seq, o.instance, o.room, o.envelope, h.number, h.envelope_id
    FROM {_OPEN} ORDER BY o.number DESC LIMIT %(limit)s"""  # noqa: S608 - constants
_ASKED_OF = f"""SELECT r.number, r.kind, r.seq, r.about, r.room, r.envelope, r.withdrawn,
        r.envelope_id
    FROM (SELECT o.*, h.number AS withdrawn, h.envelope_id,
            coalesce(nullif(o.instance, ''), (SELECT a.instance FROM (
                SELECT account FROM envelopes e WHERE e.seq = o.seq
                UNION ALL SELECT account FROM history p WHERE p.seq = o.seq
                UNION ALL SELECT account FROM groups g WHERE g.seq = o.seq) found
            JOIN accounts a USING (account) LIMIT 1), '') AS about
        FROM {_OPEN}) r
    WHERE coalesce((SELECT a.member = %(me)s FROM accounts a WHERE a.instance = r.about LIMIT 1),
        %(common)s)
    ORDER BY r.number DESC LIMIT %(limit)s"""  # noqa: S608 - constants
"""Each request with the instance that it is about, found by its envelope or group if it names no
instance; a request to withdraw a handed-over row with that row's number and envelope."""


class Desk:
    """The requests that the owner has passed to its gateway and that are not answered yet.

    resealing  the resealing that goes on with each look; None: nobody asks for it
    """

    def __init__(self, keyring: Keyring) -> None:
        self._handed_on: dict[int, str] = {}
        self._withdrawn: dict[int, str] = {}
        self._passed: set[str] = set()  # until a look has found all that there is of the others
        self._to_tell: list[int] = []
        self._let_go: set[str] = set()
        self._lock = Lock()
        self.seal_with(keyring)

    def seal_with(self, keyring: Keyring) -> None:
        """Open requests and seal answers with this keyring from now on."""
        self.seals = keyring
        self.resealing: Resealing | None = None

    def anew(self) -> None:
        """Forget all passed requests, since the outbox is owned anew."""
        self._handed_on.clear()
        self._withdrawn.clear()
        self._to_tell.clear()

    def begin_resealing(self, number: int) -> None:
        """Begin to reseal for this request; requests that come meanwhile get the same answer."""
        self._handed_on[number] = ""
        self._to_tell.append(number)
        self.resealing = Resealing(self.seals)

    def leave_resealing(self) -> None:
        """Stop resealing, which another process is to do."""
        self.answered(self.end_resealing())

    def end_resealing(self) -> list[int]:
        """Resealing is done; returns the requests that asked for it."""
        told, self._to_tell, self.resealing = self._to_tell, [], None
        return told

    def answered(self, numbers: Iterable[int]) -> None:
        """The answers to these requests are written."""
        for number in numbers:
            self._handed_on.pop(number, None)
            self._withdrawn.pop(number, None)

    def lost(self, instance: str) -> None:
        """Forget the account's unanswered requests, which its next owner answers."""
        with self._lock:  # a look may be under way
            handed_on = self._handed_on.copy().items()
            self.answered([number for number, about in handed_on if about == instance])
            self._let_go.add(instance)

    def look(self, connection: Connection, share: Share | None, *, common: bool) -> list[Row]:
        """Requests that are not passed to the gateway yet, in the order of asking.

        share   the accounts whose requests are taken; None: all
        common  take requests about no account, or about one that has no row, as well
        """
        with self._lock:
            self._let_go.clear()
            handed_on = list(self._handed_on)
        about = Counter(self._withdrawn.copy().values())
        passed = {each for each, count in about.items() if count >= MOST_OF_ONE} | self._passed
        asked: dict[str, Any] = {
            "handed_on": handed_on,
            "passed": [text_in(each) for each in passed],
            "limit": AT_ONCE,
        }
        if share is None:
            rows = connection.execute(_ASKED.encode(), asked).fetchall()
        else:
            asked |= {"me": share.member, "common": common}
            rows = connection.execute(_ASKED_OF.encode(), asked).fetchall()
        taken, much = [], set()
        for row in rows:
            instance = text_out(row[3])
            about[instance] += row[1] == "withdraw"
            if row[1] == "withdraw" and about[instance] > MOST_OF_ONE:
                much.add(instance)
            elif share is None or share.has(instance):
                taken.append(row)
        self._passed = self._passed | much if len(rows) == AT_ONCE else set()
        if share is None:
            return taken
        with self._lock:  # this look has not those of an account's requests that were let go since
            return [row for row in taken if text_out(row[3]) not in self._let_go]

    def withdrawal(self, row: Row) -> Request | str:
        """The request to cancel a handed-over row's envelope, or why that cannot be done."""
        number, _, _, instance, _, _, withdrawn, envelope_id = row
        if withdrawn is None:
            return "it is forgotten"
        if envelope_id is None:
            return "it was rejected"
        self._handed_on[number] = self._withdrawn[number] = text_out(instance)
        return Request(kind="cancel", number=number, envelope_id=envelope_id)

    def hand_on(self, connection: Connection, row: Row) -> Request | str | None:
        """The request for the gateway, or why it cannot be done; None: it is not for the gateway.

        connection  the connection that reads
        """
        number, kind, seq, instance, room, envelope, *_ = row
        request: Request | None = None
        if kind in ("erase", "look", "accounts"):
            place = text_out(instance), text_out(room)
            request = Request(kind=kind, number=number, instance_id=place[0], room=place[1])
        elif kind in PASSED_ON:
            try:
                told = text_out(envelope or "")
                request = self._asking(kind, number, text_out(instance), told)
            except (FormatVersionError, Invalid) as error:
                return encode({"refused": f"{type(error).__name__}: {error}"})
        elif kind == "discard" and (found := stored_at(connection, self.seals, [seq])):
            request = Request(kind="discard", number=number, stored=found[0])
        if request is not None:
            self._handed_on[number] = text_out(instance)
        return request

    def _asking(self, kind: str, number: int, instance: str, stored: str) -> Request:
        asked = self.seals.text("envelope", number, stored)
        if kind in (SUSPEND, RESUME):
            return Request(kind="ask", number=number, instance_id=instance, asked=asked)
        if kind == "group":
            return Request(kind=kind, number=number, asked=asked)
        if kind == "cancel":
            return Request(kind=kind, number=number, envelope_id=asked)
        with intact():
            envelope = from_json(Envelope, decode(asked))
        return Request(
            kind="submit", number=number, instance_id=envelope.instance_id,
            room=envelope.external_room_id, envelope=envelope,
        )  # fmt: skip

    # -- on the connection that writes, each within a transaction

    def retry(
        self, connection: Connection, writer: Writer, row: Row, wall: float
    ) -> list[StoredEntry]:
        """Make a failed envelope unfinished again, with its time starting anew, and answer."""
        number, _, seq, *_ = row
        sql = "SELECT 1 FROM history WHERE seq = %s AND entry IS NOT NULL"
        if connection.execute(sql, (seq,)).fetchone() is None:
            self.answer(connection, number, wall, "there is nothing to try again")
            return []
        stored: list[StoredEntry] = []
        with connection.transaction():  # rolled back if the reopened entry cannot be read
            stored = reopening.reopen(connection, writer.groups, self.seals, [seq], wall)
            if not stored:
                raise psycopg.Rollback
        if not stored:
            writer.groups.forget()
        self.answer(connection, number, wall, "goes on" if stored else "cannot be read")
        return stored

    def discard(self, connection: Connection, writer: Writer, row: Row, wall: float) -> None:
        """Forget the content of a failed envelope, or one that cannot be read, and answer."""
        number, _, seq, *_ = row
        found = connection.execute("SELECT disposition FROM history WHERE seq = %s", (seq,))
        ended = found.fetchone()
        if ended is not None and ended[0] in SETTLED:
            self.answer(connection, number, wall, f"had ended already: {ended[0]}")
            return
        if ended is None:  # an unfinished one that cannot be read, or none at all
            writer.groups.ended(connection, {seq: Disposition.CANCELLED})
            statements.forget(connection, [seq])
        sql = "UPDATE history SET entry = NULL, shapes = NULL WHERE seq = %s"
        connection.execute(sql, (seq,))
        for table in ("steps", "grown"):
            statements.delete(connection, table, [seq])
        writer.contents.end(connection, [seq])
        self.answer(connection, number, wall, "discarded")

    def erased(self, connection: Connection, request: Request, wall: float, answer: str) -> None:
        """Answer that the room is erased, and remove its name from answered requests."""
        self.answer(connection, request.number, wall, answer)
        sql = """UPDATE requests SET room = ''
            WHERE instance = %s AND room = %s AND done_at IS NOT NULL"""
        connection.execute(sql, (text_in(request.instance_id), text_in(request.room)))

    def answer(self, connection: Connection, number: int, wall: float, answer: str) -> None:
        """Answer one request."""
        answers.write(
            connection, {number: (number, wall, self.seals.seal("answer", number, answer))}
        )
