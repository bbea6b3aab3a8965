"""Takes, for the owner, the requests that applications handed over in their own transactions.

Rows do not become visible in the order of their numbers, since a transaction may stay open for an
hour. A look takes the rows that have become visible since the previous look: rows of transactions
that began after that look, and of the few transactions that were open during it. So a look costs
the same however long a transaction stays open. The first look takes all waiting rows; later, such a
look is repeated now and then.

An account that has many unanswered rows, or whose rows this process cannot take yet, is passed over
until that changes, so that it holds back no other account's rows. A row that cannot be opened holds
back none either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from threading import Lock
from typing import Any, TypeAlias
from uuid import UUID

import attrs
import msgspec
import psycopg

from gateway_contrib.durable.rows import Row, decode
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.beside.adopting import handed_with
from gateway_contrib.postgres.disk import BY_NAME, NOT_HANDED, reads_disk
from gateway_contrib.postgres.names import HANDED, text_in, text_out
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
"""Rows, at most, of one look."""
MOST = 2_000
"""Unanswered rows that the gateway may have at once; beyond them, a look takes only the first `FEW`
rows of accounts that have no row there."""
MOST_OF_ONE = 500
"""Unanswered rows of one account that the gateway may have at once."""
FEW = 10
"""Rows of one look while the gateway has `MOST` rows."""
BYTES = 1 << 24
"""Bytes of the rows that the gateway may have at once, unless a single row has more: planning a
text takes many times its bytes."""
WHOLE = 15.0
"""Seconds between two looks at all waiting rows; a row that another look missed waits no longer."""
SOON = 1.0
"""Seconds until the next look at all waiting rows if an answer was not written since its row was
held; they double each time."""
LONGEST = 1 << 26
"""Bytes that one row may have: a broadcast names all of its rooms in one row, which has space for
some million rooms."""
_UNREADABLE = (
    FormatVersionError, Invalid, msgspec.DecodeError, RecursionError, TypeError, ValueError,
)  # fmt: skip
CONTRADICTS = "contradicts the argument of that name"
LATELY = 2.0
"""Seconds after the last row that came in, during which looks are more frequent."""
_ROW = """SELECT number, id, kind, own_id, awaited, instance, envelope,
            CASE WHEN isfinite(handed_at) THEN (extract(epoch FROM clock_timestamp())
                - extract(epoch FROM handed_at))::float8 ELSE 0 END AS age FROM handed"""
_UNTAKEN = """number > 0 AND number <> ALL (%(waiting)b::bigint[])
        AND instance <> ALL (%(passed)b::text[]) {but}"""
_ALL = f"{_ROW} WHERE answered_at IS NULL AND {_UNTAKEN}"
_NEW = f"""{_ROW} WHERE waiting AND transaction >= %(xmax)s::xid8 AND {_UNTAKEN}
        UNION ALL {_ROW} WHERE waiting AND transaction = ANY (%(open)b::xid8[]) AND {_UNTAKEN}"""
_MINE = """SELECT r.* FROM ({some}) r WHERE coalesce(
        (SELECT a.member = %(me)s FROM accounts a WHERE a.instance = r.instance LIMIT 1),
        EXISTS (SELECT 1 FROM accounts a WHERE a.account = '' AND a.member = %(me)s)
            AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.instance = r.instance))"""
"""Only rows of the accounts that the member owns; no rows of accounts that nobody owns. If the
account has no row of its own, the member that does the common work takes the request."""
_LOOK = """SELECT pg_snapshot_xmax(s.now)::text, ARRAY(SELECT pg_snapshot_xip(s.now)::text), h.*
    FROM (SELECT pg_current_snapshot() AS now) s
    LEFT JOIN LATERAL (SELECT number, id, kind, own_id, awaited, instance,
            CASE WHEN coalesce(sum(octet_length(envelope)) OVER
                (ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) < %(bytes)s
            THEN CASE WHEN octet_length(envelope) > %(longest)s THEN '' ELSE envelope END END, age
        FROM ({some} ORDER BY number LIMIT %(limit)s) r ORDER BY number) h ON true"""
_MEMBERS = "SELECT EXISTS (SELECT 1 FROM handed WHERE member IS NOT NULL)"


@attrs.frozen
class Share:
    """The accounts of a member that owns some of them.

    has  whether the member owns the instance's account by now
    """

    member: UUID
    has: Callable[[str], bool]


class Handed:
    """The rows that the owner has taken and not answered yet, and where its next look begins.

    for_members    whether any process waits to be notified about rows; None: not looked yet
    taken, waited  how many rows were taken, and the seconds that they had waited in all until then
    """

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[str, int]] = {}
        self._open: tuple[str, list[str]] | None = None
        self._whole_at = 0.0
        self._gained = self._gained_then = 0
        self._held, self._soon = False, SOON
        self._passed: set[str] = set()
        self._missing: set[str] = set()
        self._let_go: set[str] = set()
        self._lock = Lock()
        self.for_members: bool | None = None
        self.taken, self.waited = 0, 0.0
        self._keyring = Keyring()
        self._unopened = Unopened()

    def seal_with(self, keyring: Keyring) -> None:
        """Open sealed rows with this keyring from now on."""
        self._keyring = keyring

    def anew(self) -> None:
        """Forget all taken rows, since the outbox is owned anew."""
        self._waiting.clear()
        self._missing.clear()
        self._unopened.anew()
        self._open = None

    def gained(self) -> None:
        """An account is about to be owned: all its waiting rows are in the next look.

        Called before `Share.has` says so: a look under way that has only its newest rows is void.
        """
        self._gained += 1
        self.for_members = True  # processes may wait for rows that its last owner has answered

    def lost(self, instance: str) -> None:
        """Leave the account's taken but unanswered rows to its next owner."""
        with self._lock:  # a look may be under way
            waiting = self._waiting.copy().items()
            self.answered([number for number, (of, _) in waiting if of == instance])
            self._let_go.add(instance)
        self._unopened.lost(instance)

    def _passed_over(self, left: int) -> set[str]:
        """The accounts from which no more rows are taken now.

        An account that was passed over stays so until it has less than half of its allowed rows.

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
        """The rows that have become visible, in the order of their numbers. Blocks.

        now    seconds on any clock
        share  the accounts whose rows are taken; None: all
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
        with self._lock:
            self._let_go.clear()
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
        if share is not None:  # an account that is just being taken gets its rows once it is owned
            missing = {name for row in fitting if not share.has(name := text_out(row[5]))}
            with self._lock:  # this look has not those of an account's rows that were let go since
                missing |= self._let_go.intersection([text_out(row[5]) for row in fitting])
            if self._open is not None and gained != self._gained:
                return []  # only now does this process know the account: its older rows come first
            fitting = [row for row in fitting if text_out(row[5]) not in missing]
            self._missing |= missing
            passed |= missing
        fresh = self._opened(connection, seals, fitting)
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

    def _opened(
        self, connection: Connection, seals: Seals, rows: Iterable[Row]
    ) -> dict[int, Request | Refused]:
        """The rows' requests, by number; without rows that need a key that this process lacks."""
        opened = {}
        for row in rows:
            try:
                request = _request(seals, *row)
                if isinstance(request, Request):
                    request = _with_files(connection, seals, request, own_id=row[3])
                if isinstance(request, Refused):
                    request = attrs.evolve(request, instance=text_out(row[5]))
                opened[row[0]] = request
            except OutboxError as error:
                number, name, _, own_id, _, instance, stored, _ = row
                name = own_id or str(name)
                self._unopened.report(number, text_out(instance), name, stored, error)
        return opened

    def _let_go_of_gone(self, share: Share | None, instances: Iterable[str]) -> None:
        """Forget rows of accounts that were lost during the look, before the rows were noted."""
        if share is not None:
            for instance in instances:
                if not share.has(instance):
                    self.lost(instance)

    def _look_soon(self, now: float) -> None:
        """Look at all waiting rows soon if an answered row may still wait, since it was held."""
        if self._held:
            self._held = False
            self._whole_at = min(self._whole_at, now + self._soon)
            self._soon = min(2 * self._soon, WHOLE)
        elif now >= self._whole_at:
            self._soon = SOON

    def held(self) -> None:
        """Another transaction held a row, so its answer is not written; the row is taken again."""
        self._held = True

    def knows(self, number: int) -> bool:
        """Whether the row was taken and is not answered yet."""
        return number in self._waiting

    def answered(self, numbers: Iterable[int]) -> None:
        """The answers to these rows are written."""
        for number in numbers:
            self._waiting.pop(number, None)


@attrs.frozen
class Refused:
    """A row from which neither an envelope nor a question can be made, and why."""

    number: int
    why: str
    kind: str = "submit"
    instance: str = ""


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
    """The request that the gateway is to accept or to answer.

    Without an id of its own, the envelope has a key, if need be one made for this row: an owner of
    the previous release may have stored it, and have ended before it wrote the answer. Its time to
    live counts from the insert. Raises `OutboxError` if the row is sealed with a key that only
    another owner has.
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
            kind="ask",
            number=number,
            instance_id=instance,
            room=room,
            asked=stored,
            age=age,
            outside=True,
        )
    try:
        envelope = from_json(Envelope, decode(stored))
        if envelope.instance_id != instance:
            return Refused(number, f"it is of instance {envelope.instance_id!r}, not {instance!r}")
        if (place := reads_disk(envelope)) is not None:
            raise Invalid([Problem(f"files.{place}", f"cannot be read by the gateway: {BY_NAME}")])
        if envelope.ttl is not None and not _grows(envelope):
            envelope = attrs.evolve(envelope, ttl=max(0.0, envelope.ttl - max(0.0, age)))
        if envelope.key is None and own_id is None:
            envelope = attrs.evolve(envelope, key=f"handed:{name}")
    except _UNREADABLE as error:
        return Refused(number, f"{type(error).__name__}: {_said(error)}")
    return Request(
        kind="submit", number=number, instance_id=instance, room=envelope.external_room_id,
        envelope=envelope, envelope_id=own_id or "", awaited=awaited, age=age, outside=True,
        claims=True,
    )  # fmt: skip


def _said(error: Exception) -> str:
    """The error's words. SQL stores an option that contradicts an argument as `options.NAME`."""
    if not isinstance(error, Invalid):
        return str(error)
    return str(
        Invalid(
            [
                Problem(each.place, CONTRADICTS) if each.place.startswith("options.") else each
                for each in error.problems
            ]
        )
    )


def _with_files(
    connection: Connection, seals: Seals, request: Request, own_id: str | None
) -> Request | Refused:
    """The request, if the bytes of the files that it names by digests came with it.

    Raises `OutboxError` if they are sealed with a key that only another owner has.
    """
    named = [
        (place, file)
        for place, file in enumerate(getattr(request.envelope, "files", None) or ())
        if file.digest
    ]
    if not named and '"digest"' not in request.asked:
        return request
    handed = {} if own_id is None else handed_with(connection, seals, position_of(own_id))
    for place, file in named:
        if handed.get(file.digest) != file.size:
            error = Invalid([Problem(f"files.{place}", NOT_HANDED)])
            return Refused(request.number, f"Invalid: {error}")
    return attrs.evolve(request, files=frozenset(handed)) if request.asked else request


def _grows(envelope: Envelope) -> bool:
    """Whether the envelope's time counts from the end of a text that is still growing."""
    grows = envelope.grows if isinstance(envelope, Send) else None
    return grows is not None and not grows.stored_as
