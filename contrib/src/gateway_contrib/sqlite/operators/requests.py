"""Takes operators' requests to the running gateway from a table, which the owner reads.

Everything here blocks: it runs in the worker thread.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import apsw
import msgspec

from gateway_contrib.durable.rows import (
    ENTRY_COLUMNS,
    SETTLED,
    STEP_COLUMNS,
    Row,
    decode,
    encode,
    stored_of,
)
from gateway_contrib.durable.sealing.contents import FAILED_READ, opened_entry, retried
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.sqlite.failing import BUSY, logged
from gateway_contrib.sqlite.operators.suspensions import RESUME, SUSPEND
from gateway_contrib.sqlite.reading import ENTRY_READ
from gateway_contrib.sqlite.sealing.anew import Resealing
from gateway_core import Invalid
from gateway_core.outboxes import (
    OUTBOX_FAILED,
    Envelope,
    FormatVersionError,
    Request,
    StoredEntry,
    from_json,
)

PATIENCE = 100
"""Milliseconds that emptying the log waits, at each look, for processes that read it."""


class Desk:
    """Serves the table `requests` on the owner's connection."""

    def __init__(self, connection: apsw.Connection, keyring: Keyring) -> None:
        self._db = connection
        self._keyring = keyring
        self._resealing: dict[int, Resealing] = {}
        self._looked = 0.0
        self._seen: object = None
        self._handed_on: set[int] = set()
        self._unanswered: dict[int, str] = self._rid_before()

    def _rid_before(self) -> dict[int, str]:
        """Answers to a previous run's erasures and resealings that the log may still contain."""
        sql = "SELECT number, kind FROM requests WHERE done_at IS NOT NULL AND answer IS NULL"
        answers = {"reseal": "sealed anew"}
        return {number: answers.get(kind, "erased") for number, kind in self._db.execute(sql)}

    def due(self, now: float, every: float) -> bool:
        """Whether it is time to look again."""
        if now - self._looked < every:
            return False
        self._looked = now
        return True

    def serve(self, wall: float) -> list[Request]:
        """Carry out new requests; returns those that the gateway has to carry out.

        If a request fails, it and the later ones are tried again at the next look.
        """
        done: list[Request] = []
        with logged(OUTBOX_FAILED):
            if self._unanswered:
                self._empty_log()
        with logged(OUTBOX_FAILED):
            version = self._db.execute("PRAGMA data_version").get
            if version != self._seen:
                asked = self._asked()
                self._handed_on.intersection_update(row[0] for row in asked)
                for row in asked:
                    done += self._serve_one(row, wall)
                self._seen = version
        return done

    def _asked(self) -> list[Row]:
        sql = """SELECT number, kind, seq, instance, room, envelope FROM requests
            WHERE done_at IS NULL ORDER BY number"""
        return self._db.execute(sql).fetchall()

    def _serve_one(self, row: Row, wall: float) -> Sequence[Request]:
        """Carry out and answer a request, or neither; or pass it to the gateway, unanswered.

        A request for the gateway is answered in the write that has its effect, not before: so if a
        process ends meanwhile, the next one carries the request out.
        """
        number, kind, seq, instance, room, envelope = row
        if number in self._handed_on:
            return ()
        request: Request | None = None
        if kind == "reseal":
            self._handed_on.add(number)
            self._resealing[number] = Resealing(self._db, self._keyring)
            return ()
        if kind in ("erase", "look", "accounts"):  # waiting envelopes end before they are erased
            request = Request(kind=kind, number=number, instance_id=instance, room=room)
        elif kind in ("cancel", "submit", "group", SUSPEND, RESUME):
            try:
                asked = self._keyring.text("envelope", number, envelope or "")
                request = _asking(kind, number, instance, asked)
            except (FormatVersionError, Invalid, msgspec.DecodeError) as error:
                refused = f"{type(error).__name__}: {error}"
                self._answer(number, wall, encode({"refused": refused}))
                return ()
        elif kind == "discard" and (stored := self._read(seq)) is not None:
            request = Request(kind="discard", number=number, stored=stored)
        elif kind not in ("retry", "discard"):
            return ()  # a kind of a later release, which answers it once it runs again
        if request is not None:
            self._handed_on.add(number)
            return [request]
        with self._db:
            answer, todo = self._retry(seq, wall) if kind == "retry" else self._discard(seq)
            self._answer(number, wall, answer)
        return todo

    def _answer(self, number: int, wall: float, answer: str) -> None:
        sql = "UPDATE requests SET done_at = ?, answer = ?, envelope = NULL WHERE number = ?"
        self._db.execute(sql, (wall, self._keyring.seal("answer", number, answer), number))

    def _retry(self, seq: int, wall: float) -> tuple[str, list[Request]]:
        """Make a failed envelope unfinished again, with its time starting anew."""
        asked = f"SELECT {FAILED_READ} FROM history WHERE seq = ? AND entry IS NOT NULL"  # noqa: S608 - constants
        row = self._db.execute(asked, (seq,)).get
        if row is None:
            return "there is nothing to try again", []
        try:
            with self._db:  # rolled back if the reopened entry cannot be read
                stored = self._put_back(seq, row, wall)
        except (FormatVersionError, Invalid):
            return "cannot be read", []
        return "goes on", [Request(kind="retry", stored=stored)]

    def _put_back(self, seq: int, row: Row, wall: float) -> StoredEntry | None:
        """Move the envelope back. Raises `FormatVersionError` or `Invalid` if it cannot be read.

        row  its columns of `FAILED_READ`
        """
        anew, stream = retried(self._keyring, seq, row)
        self._db.execute(
            f"""INSERT INTO envelopes ({", ".join(ENTRY_COLUMNS)})
            SELECT seq, id, instance, room, seq, NULL, ?, ? + deadline - accepted_at,
                coalesce(?, fingerprint), class, coalesce(?, entry), coalesce(?, shapes), 1, ?
            FROM history WHERE seq = ?""",  # noqa: S608 - constants
            (wall, wall, *anew, stream, seq),
        )
        self._db.execute("DELETE FROM history WHERE seq = ?", (seq,))
        self._db.execute("UPDATE keys SET ended_at = NULL WHERE seq = ?", (seq,))
        self._db.execute(
            """UPDATE steps SET started = 0, attempts = 0, outcome = NULL, maybe_sent = 0,
                first_at = CASE WHEN maybe_sent > 0 THEN first_at ELSE 0 END
            WHERE seq = ? AND (outcome IS NULL OR outcome NOT IN
                ('delivered', 'deleted', 'unchanged'))""",
            (seq,),
        )
        return self._stored(seq)

    def _read(self, seq: int) -> StoredEntry | None:
        try:
            return self._stored(seq)
        except (FormatVersionError, Invalid):
            return None

    def _stored(self, seq: int) -> StoredEntry | None:
        row = self._db.execute(f"SELECT {ENTRY_READ} FROM envelopes WHERE seq = ?", (seq,)).get  # noqa: S608 - constants
        if row is None:
            return None
        columns = ", ".join(STEP_COLUMNS)
        steps = self._db.execute(f"SELECT {columns} FROM steps WHERE seq = ?", (seq,)).fetchall()  # noqa: S608 - constants
        return stored_of(opened_entry(self._keyring, row), steps)

    def _discard(self, seq: int) -> tuple[str, list[Request]]:
        """Forget the content of a failed envelope, or an unfinished one that cannot be read.

        The gateway ends the other unfinished ones.
        """
        asked = "SELECT disposition FROM history WHERE seq = ?"
        ended = self._db.execute(asked, (seq,)).get
        if ended in SETTLED:
            return f"had ended already: {ended}", []
        self._db.execute("UPDATE history SET entry = NULL, shapes = NULL WHERE seq = ?", (seq,))
        unfinished = self._db.execute("SELECT 1 FROM envelopes WHERE seq = ?", (seq,)).get
        for table in ("steps", "keys", "envelopes") if unfinished else ("steps",):
            self._db.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))  # noqa: S608 - constants
        return "discarded", []

    def erase(self, request: Request, seqs: Sequence[int], in_flight: int, wall: float) -> None:
        """Remove everything of a room from the file and its log, so that no disk keeps it.

        The request is answered once both are clean; a process that reads the log keeps it from
        being emptied.

        seqs  the room's envelopes, ended or not
        """
        place, some = (request.instance_id, request.room), (json.dumps(seqs),)
        erased = 0
        with self._db:
            for table in ("steps", "keys", "history", "envelopes"):
                sql = f"DELETE FROM {table} WHERE seq IN (SELECT value FROM json_each(?))"  # noqa: S608 - a constant
                self._db.execute(sql, some)
                erased += self._db.changes() if table != "steps" else 0
            for table in ("keys", "revisions", "moves"):
                self._db.execute(f"DELETE FROM {table} WHERE instance = ? AND room = ?", place)  # noqa: S608 - constants
                erased += self._db.changes()
            self._db.execute("DELETE FROM spent")  # it names buckets of rooms, by their digests
            sql = "UPDATE requests SET done_at = ? WHERE number = ?"
            self._db.execute(sql, (wall, request.number))
            sql = """UPDATE requests SET room = ''
                WHERE instance = ? AND room = ? AND done_at IS NOT NULL"""
            self._db.execute(sql, place)
        self._unanswered[request.number] = f"{erased} rows erased, {in_flight} in flight"
        self._empty_log()

    def reseal(self, wall: float) -> bool:
        """Go on sealing everything anew if that is asked for; returns whether there is more."""
        with logged(OUTBOX_FAILED):
            for number, resealing in list(self._resealing.items()):
                if resealing.step():
                    return True
                sql = "UPDATE requests SET done_at = ? WHERE number = ?"
                self._db.execute(sql, (wall, number))
                self._unanswered[number] = resealing.told
                del self._resealing[number]
                self._empty_log()
        return False

    def _empty_log(self) -> None:
        """Write the log into the database and empty it; then answer requests that wait for that."""
        self._db.set_busy_timeout(PATIENCE)
        try:
            busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
        finally:
            self._db.set_busy_timeout(BUSY)
        if busy:
            return
        for number, answer in self._unanswered.items():
            sealed = self._keyring.seal("answer", number, answer)
            self._db.execute("UPDATE requests SET answer = ? WHERE number = ?", (sealed, number))
        self._unanswered.clear()


def _asking(kind: str, number: int, instance: str, asked: str) -> Request:
    """The gateway's request with this text. Raises as `_submission`."""
    if kind in (SUSPEND, RESUME):
        return Request(kind="ask", number=number, instance_id=instance, asked=asked)
    if kind == "submit":
        return _submission(number, asked)
    if kind == "group":
        return Request(kind=kind, number=number, asked=asked)
    return Request(kind=kind, number=number, envelope_id=asked)


def _submission(number: int, envelope: str) -> Request:
    """A request to accept. Raises `FormatVersionError`, `Invalid` or `msgspec.DecodeError`."""
    asked = from_json(Envelope, decode(envelope))
    return Request(
        kind="submit",
        number=number,
        instance_id=asked.instance_id,
        room=asked.external_room_id,
        envelope=asked,
    )
