"""What applications handed over in their own transactions, as the owner takes it.

Rows become visible in another order than they are numbered in: a transaction may stay open for an
hour. A look takes what has become visible since the one before: of transactions that began after
that, and of those that were open then, which are few. So it costs the same however long one stays
open. Now and then, and at first, it takes all that waits.

An account of which much is unanswered, or whose rows cannot be had yet, is passed over until that
changes: it holds back no other one's rows. Nor does a row that cannot be opened.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

import attrs
import msgspec
import psycopg

from gateway_contrib.durable.rows import Row, decode
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.disk import BY_NAME, reads_disk
from gateway_contrib.postgres.names import ANSWER, HANDED, answer_place, text_in, text_out
from gateway_contrib.postgres.sealing.known import ids
from gateway_contrib.postgres.sealing.unopened import Unopened
from gateway_core import Invalid, Problem
from gateway_core.outboxes import (
    Envelope,
    FormatVersionError,
    OutboxError,
    Request,
    Send,
    from_json,
    position_of,
)

Connection: TypeAlias = psycopg.Connection[Any]

AT_ONCE = 500
"""Rows of one look."""
MOST = 2_000
"""Rows that are with the gateway at once, unanswered; beyond them the first of other accounts."""
MOST_OF_ONE = 500
"""The same of one account."""
FEW = 10
"""Rows of one look while `MOST` are with the gateway."""
BYTES = 1 << 24
"""Bytes of those, as far as they are not those of one: a text takes many times its own as it is
planned."""
WHOLE = 15.0
"""Seconds between two looks at all that waits: what another look has missed waits no longer."""
SOON = 1.0
"""The same where an answer was not written, since its row was held; twice as long each time."""
LONGEST = 1 << 26
"""Bytes of one row: a broadcast names its rooms in one, some million of them at the most."""
_UNREADABLE = (
    FormatVersionError, Invalid, msgspec.DecodeError, RecursionError, TypeError, ValueError,
)  # fmt: skip
LATELY = 2.0
"""Seconds after the last one that came in which it is looked at more often."""
_ROW = """SELECT number, id, kind, own_id, awaited, instance, envelope,
            extract(epoch FROM clock_timestamp() - handed_at)::float8 AS age FROM handed"""
_UNTAKEN = """number <> ALL (%(waiting)s::bigint[]) AND instance <> ALL (%(passed)s::text[])
        {but}"""
_ALL = f"{_ROW} WHERE answered_at IS NULL AND {_UNTAKEN}"
_NEW = f"""{_ROW} WHERE waiting AND transaction >= %(xmax)s::xid8 AND {_UNTAKEN}
        UNION ALL {_ROW} WHERE waiting AND transaction = ANY (%(open)s::xid8[]) AND {_UNTAKEN}"""
_MINE = """SELECT r.* FROM ({some}) r WHERE coalesce(
        (SELECT a.member = %(me)s FROM accounts a WHERE a.instance = r.instance LIMIT 1),
        EXISTS (SELECT 1 FROM accounts a WHERE a.account = '' AND a.member = %(me)s)
            AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.instance = r.instance))"""
"""Of the accounts that the member owns; nothing of those that are nobody's. Of one that has no row
the owner of what is common hears."""
_LOOK = """SELECT pg_snapshot_xmax(s.now)::text, ARRAY(SELECT pg_snapshot_xip(s.now)::text), h.*
    FROM (SELECT pg_current_snapshot() AS now) s
    LEFT JOIN LATERAL (SELECT number, id, kind, own_id, awaited, instance,
            CASE WHEN coalesce(sum(octet_length(envelope)) OVER
                (ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) < %(bytes)s
            THEN CASE WHEN octet_length(envelope) > %(longest)s THEN '' ELSE envelope END END, age
        FROM ({some} ORDER BY number LIMIT %(limit)s) r ORDER BY number) h ON true"""
_ANSWER = """UPDATE handed h SET answered_at = clock_timestamp(), waiting = false, envelope = '',
        seq = v.seq, envelope_id = v.id, refused = v.refused, answer = v.answer,
        replayed = v.replayed
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::boolean[])
        v(number, seq, id, refused, answer, replayed)
    WHERE h.number = v.number AND h.answered_at IS NULL AND h.number = ANY (%s::bigint[])"""
_FREE = """SELECT number FROM handed WHERE number = ANY (%s::bigint[]) ORDER BY number
    FOR UPDATE SKIP LOCKED"""
_CLAIM = """UPDATE handed h SET answered_at = clock_timestamp(), waiting = false, envelope = '',
        seq = v.seq, envelope_id = h.own_id
    FROM unnest(%s::bigint[], %s::bigint[]) v(number, seq)
    WHERE h.number = v.number AND h.answered_at IS NULL RETURNING h.number"""
_TELL = """SELECT pg_notify('gateway_' || member,
        CASE WHEN count(*) > %s THEN '' ELSE string_agg(own::text, ',') END)
    FROM handed WHERE member IS NOT NULL
        AND (seq = ANY (%s::bigint[]) OR number = ANY (%s::bigint[]))
    GROUP BY member"""
_MEMBERS = "SELECT EXISTS (SELECT 1 FROM handed WHERE member IS NOT NULL)"
TOLD = 350
"""Of so many it is said which they are; of more, that there are some: a notice has 8,000 bytes."""


@attrs.frozen
class Share:
    """The accounts of a member that owns some. `has`: whether it owns the instance's by now."""

    member: UUID
    has: Callable[[str], bool]


class Handed:
    """What the owner has taken and not answered yet, and where its next look begins.

    for_members    whether any of it is a process's that waits to be told; None: not looked yet
    taken, waited  how much was taken, and the seconds that all of it had waited until then
    """

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[str, int]] = {}
        self._open: tuple[str, list[str]] | None = None
        self._whole_at = 0.0
        self._gained = self._gained_then = 0
        self._held, self._soon = False, SOON
        self._passed: set[str] = set()
        self._missing: set[str] = set()
        self.for_members: bool | None = None
        self.taken, self.waited = 0, 0.0
        self._keyring = Keyring()
        self._unopened = Unopened()

    def seal_with(self, keyring: Keyring) -> None:
        """What opens what is sealed, from now on."""
        self._keyring = keyring

    def anew(self) -> None:
        """Nothing is taken: the outbox is had again."""
        self._waiting.clear()
        self._missing.clear()
        self._unopened.anew()
        self._open = None

    def gained(self) -> None:
        """An account is owned by now: what waited for that is in the next look."""
        self._gained += 1
        self.for_members = True  # for what of it was answered before

    def lost(self, instance: str) -> None:
        """What was taken of the account and is not answered is its next owner's."""
        waiting = self._waiting.copy().items()  # a look may be under way
        self.answered([number for number, (of, _) in waiting if of == instance])
        self._unopened.lost(instance)

    def _passed_over(self, left: int) -> set[str]:
        """The accounts of which no more is taken now.

        One that was passed over is so until half of what it may have is answered.

        left  bytes that may still be taken
        """
        waiting = Counter([instance for instance, _ in self._waiting.copy().values()])
        if len(self._waiting) >= MOST or left <= 0:
            return {*waiting} | self._missing
        few = MOST_OF_ONE // 2
        much = {
            instance
            for instance, count in waiting.items()
            if count >= (few if instance in self._passed else MOST_OF_ONE)
        }
        return much | self._missing

    def look(
        self, connection: Connection, now: float, share: Share | None = None
    ) -> list[Request | Refused]:
        """What has become visible, in the order of its numbers. Blocks.

        now    seconds on any clock
        share  of which accounts; None: of all
        """
        if self.for_members is None:
            self.for_members = bool(connection.execute(_MEMBERS).fetchall()[0][0])
        gained = self._gained
        if share is not None:
            self._missing = {each for each in self._missing if not share.has(each)}
        left = BYTES - sum(size for _, size in self._waiting.copy().values())
        passed = self._passed_over(left)
        self._look_soon(now)
        if now >= self._whole_at or gained != self._gained_then or self._passed - passed:
            self._open = None
        limit = min(AT_ONCE, max(FEW, MOST - len(self._waiting)))
        asked: dict[str, Any] = {"limit": limit, "bytes": max(left, 1), "longest": LONGEST}
        asked |= {"waiting": list(self._waiting), "passed": [text_in(each) for each in passed]}
        asked |= self._unopened.bound
        some = _ALL
        if self._open is not None:
            some, (asked["xmax"], asked["open"]) = _NEW, self._open
        some = some.format(but=self._unopened.passed_over)
        if share is not None:
            some, asked["me"] = _MINE.format(some=some), share.member
        rows = connection.execute(_LOOK.format(some=some).encode(), asked).fetchall()
        found = [row[2:] for row in rows if row[2] is not None]
        seals = self._keyring.knowing(partial(ids, connection))
        fitting = [row for row in found if row[6] is not None]
        if share is not None:  # what is just being had comes once it is
            missing = {name for row in fitting if not share.has(name := text_out(row[5]))}
            fitting = [row for row in fitting if text_out(row[5]) not in missing]
            self._missing |= missing
            passed |= missing
        fresh = self._opened(seals, fitting)
        fitting = [row for row in fitting if row[0] in fresh]
        self._passed = passed if self._open is None else self._passed | passed
        if len(found) < limit and all(row[6] is not None for row in found):
            if self._open is None:
                self._whole_at, self._gained_then = now + WHOLE, gained
            self._open = (rows[0][0], list(rows[0][1]))
        self._waiting |= {row[0]: (text_out(row[5]), len(row[6])) for row in fitting}
        self._let_go_of_gone(share, {text_out(row[5]) for row in fitting})
        self.taken += len(fresh)
        self.waited += sum(max(0.0, row[-1]) for row in fitting)
        self.for_members = self.for_members or any(row[3] is not None for row in found)
        return list(fresh.values())

    def _opened(self, seals: Seals, rows: Iterable[Row]) -> dict[int, Request | Refused]:
        """What they ask for, by their numbers; without those that need a key that is not there."""
        opened = {}
        for row in rows:
            try:
                opened[row[0]] = _request(seals, *row)
            except OutboxError as error:
                number, name, _, own_id, _, instance, stored, _ = row
                name = own_id or str(name)
                self._unopened.report(number, text_out(instance), name, stored, error)
        return opened

    def _let_go_of_gone(self, share: Share | None, instances: Iterable[str]) -> None:
        """One of these may have gone before there was anything to let go of."""
        if share is not None:
            for instance in instances:
                if not share.has(instance):
                    self.lost(instance)

    def _look_soon(self, now: float) -> None:
        """Look at all that waits before long, if what was answered may wait still."""
        if self._held:
            self._held = False
            self._whole_at = min(self._whole_at, now + self._soon)
            self._soon = min(2 * self._soon, WHOLE)
        elif now >= self._whole_at:
            self._soon = SOON

    def held(self) -> None:
        """Somebody held a row, so its answer is not written: it is taken again."""
        self._held = True

    def knows(self, number: int) -> bool:
        """Whether it was taken and is not answered yet."""
        return number in self._waiting

    def answered(self, numbers: Iterable[int]) -> None:
        """Their answers are written."""
        for number in numbers:
            self._waiting.pop(number, None)


@attrs.frozen
class Refused:
    """A row of which no envelope and no question can be made, and why."""

    number: int
    why: str
    kind: str = "submit"


def _request(
    seals: Seals,
    number: int,
    name: Any,
    kind: str,
    own_id: str | None,
    awaited: bool,
    instance: str,
    stored: str,
    age: float,
) -> Request | Refused:
    """What the gateway is to accept, or to answer.

    An envelope has a key, its own or one for this row: so it is one message if the owner ends
    before its answer is written. Its time counts from the insert. Raises `OutboxError` where it is
    sealed with a key that only another owner has.
    """
    try:
        if not stored:
            raise Invalid([Problem("", f"it is empty, or has more than {LONGEST} bytes")])  # noqa: TRY301 - as below
        stored = seals.text(HANDED, str(name), stored)
    except Invalid as error:
        return Refused(number, f"{type(error).__name__}: {error}", kind)
    if kind in ("cancel", "leave"):
        return Request(kind=kind, number=number, instance_id=instance, envelope_id=stored)
    if kind != "submit":
        room = f"asked {number}"  # no question waits for another
        return Request(
            kind="ask", number=number, instance_id=instance, room=room, asked=stored, age=age
        )
    try:
        envelope = from_json(Envelope, decode(stored))
        if envelope.instance_id != instance:
            return Refused(number, f"it is of instance {envelope.instance_id!r}, not {instance!r}")
        if (place := reads_disk(envelope)) is not None:
            raise Invalid([Problem(f"files.{place}", f"cannot be read by the gateway: {BY_NAME}")])
        if envelope.ttl is not None and not _grows(envelope):
            envelope = attrs.evolve(envelope, ttl=max(0.0, envelope.ttl - max(0.0, age)))
        if envelope.key is None:
            envelope = attrs.evolve(envelope, key=f"handed:{name}")
    except _UNREADABLE as error:
        return Refused(number, f"{type(error).__name__}: {error}")
    return Request(
        kind="submit", number=number, instance_id=instance, room=envelope.external_room_id,
        envelope=envelope, envelope_id=own_id or "", awaited=awaited, age=age,
    )  # fmt: skip


def _grows(envelope: Envelope) -> bool:
    """Whether its time counts from the end of its text, which has not come yet."""
    grows = envelope.grows if isinstance(envelope, Send) else None
    return grows is not None and not grows.stored_as


def write_answers(
    connection: Connection, seals: Seals, answers: Mapping[int, tuple[Any, ...]]
) -> bool:
    """What became of these, each the answer of the gateway, in the batch that has it.

    Whether somebody held none of their rows; who held one may withdraw it.

    Of an envelope it is JSON: the one that it became, or that has its key, or why there is none.
    What was withdrawn meanwhile stays so; what is being withdrawn is looked at again later.
    """
    rows: list[tuple[Any, ...]] = []
    for number, (_, _, answer, kind) in answers.items():
        if kind != "submit":
            rows.append((number, None, None, None, text_in(answer), False))
            continue
        said = json.loads(answer)
        name = said.get("accepted")
        seq = position_of(name) if name is not None else None
        refused = None if name is not None else text_in(str(said.get("refused", answer)))
        error = text_in(said["error"]) if "error" in said else None
        rows.append((number, seq, name, refused, error, said.get("ended", False)))
    if rows:
        if seals.first:
            rows = _sealed(connection, seals, rows)
        columns = [list(column) for column in zip(*rows, strict=True)]
        free = _free(connection, columns[0])
        connection.execute(_ANSWER, [*columns, free])
        return len(free) == len(rows)
    return True


def _sealed(
    connection: Connection, seals: Seals, rows: Iterable[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    told = [row[0] for row in rows if row[3] is not None or row[4] is not None]
    sql = "SELECT number, own_id FROM handed WHERE number = ANY (%s::bigint[])"
    names = dict(connection.execute(sql, (told,)).fetchall()) if told else {}
    return [
        (*row[:3], *sealed_words(seals, answer_place(row[0], names.get(row[0])), *row[3:5]), row[5])
        for row in rows
    ]


def sealed_words(
    seals: Seals, place: str, refused: str | None, answer: str | None
) -> tuple[str | None, str | None]:
    """Why it was refused, as far as that quotes nothing; and all that was said of it, sealed."""
    if refused is not None:
        answer = answer or json.dumps({"kind": "Refused", "text": refused})
        refused = _unquoting(refused, answer)
    return refused, None if answer is None else seals.seal(ANSWER, place, answer)


def _unquoting(refused: str, answer: str) -> str:
    """The kind of the error, and the places that it is about."""
    said = json.loads(answer)
    kind = refused.partition(":")[0] if said["kind"] == "Refused" else said["kind"]
    kind = kind if kind.isidentifier() else "Refused"
    places = ", ".join(place for place, _ in said.get("problems", ()) if place)
    return f"{kind}: {places}" if places else kind


def claim(connection: Connection, claims: Mapping[int, int]) -> tuple[set[int], set[int]]:
    """Answer these requests by the entries that are stored with it.

    Those that were not there; and those that somebody is about to withdraw, in a transaction that
    may stay open: nobody waits for that.

    claims  the number of the entry's id, by the request's
    """
    free = {number: claims[number] for number in _free(connection, list(claims))}
    rows = connection.execute(_CLAIM, [list(free), list(free.values())]).fetchall()
    return free.keys() - {number for (number,) in rows}, claims.keys() - free.keys()


def _free(connection: Connection, numbers: list[int]) -> list[int]:
    """Those of them that no other transaction holds, which are this one's now."""
    return [number for (number,) in connection.execute(_FREE, (numbers,)).fetchall()]


def tell(connection: Connection, seqs: Iterable[int], numbers: Iterable[int]) -> None:
    """Tell each process that waits for some of it, once this is committed.

    seqs     of what ended
    numbers  of what was answered
    """
    connection.execute(_TELL, (TOLD, list(seqs), list(numbers)))
