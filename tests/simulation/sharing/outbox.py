"""Runs the product's outbox in the world's time, with other threads, clocks and rows."""

# ruff: noqa: ARG005 - what is given has the signature of what it replaces

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import UUID

import attrs
import trio
from sharing.links import SimulatedLink
from sharing.member import MEMBER, Member
from sharing.stepping import stepped, waited
from simulated.lives import Killed

from gateway_contrib.durable.committer import Failing
from gateway_contrib.durable.rows import SETTLED
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.postgres import PostgresOutbox, PostgresSettings, reading, sharing
from gateway_contrib.postgres import outbox as outboxes
from gateway_contrib.postgres.beside import keys
from gateway_contrib.postgres.beside import reading as groups
from gateway_contrib.postgres.connections import membership
from gateway_contrib.postgres.names import name_of, scope_of
from gateway_contrib.postgres.operators import serving
from gateway_contrib.postgres.producing import calls, handing
from gateway_contrib.postgres.producing import handover as producing
from gateway_contrib.postgres.producing.handing import HandingOver
from gateway_contrib.postgres.producing.handover import PostgresHandover
from gateway_contrib.postgres.spreading import many, tables
from gateway_contrib.postgres.spreading import member as spreading
from gateway_contrib.postgres.writes import statements
from gateway_core.outboxes.journal import Journal

T = TypeVar("T")


class Stop:
    """An event for threads, in the world's time."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event = trio.Event()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        return waited(partial(self._waited, seconds))

    async def _waited(self, seconds: float) -> bool:
        member = MEMBER.get()
        await member.until(self._set_within, seconds / member.rate)
        await member.port()
        return self._event.is_set()

    async def _set_within(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._event.wait()


class Thread:
    """A thread, as a task of the world."""

    def __init__(self, *, target: Callable[[], None], name: str, daemon: bool) -> None:
        self._target = target
        self._over = trio.Event()

    def start(self) -> None:
        MEMBER.get().world.nursery.start_soon(self._run, name="lease")

    async def _run(self) -> None:
        try:
            with suppress(Killed):
                await stepped(self._target)
        finally:
            self._over.set()

    def join(self) -> None:
        waited(partial(MEMBER.get().wait, self._over))


class Nothing:
    """Stands for groups and bytes, which these worlds do not have."""

    touched = ()
    seals: Any = None

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: None


class SharedOutbox(PostgresOutbox):
    """The product's outbox of one process. It takes on its accounts one by one.

    In some worlds, it takes on many accounts at once. In some, all members keep to one bound.
    """

    recover_many: Any = None
    share_count: Any = None

    def __init__(self, member: Member) -> None:
        self._member = member
        if member.world.setup.bound is not None:
            self.share_count = partial(PostgresOutbox.share_count, self)
        if member.world.setup.at_once:
            self.recover_many = partial(PostgresOutbox.recover_many, self)
        settings = attrs.evolve(member.world.setup.settings, weight=member.weight)
        super().__init__("postgresql://host/base", settings, wall_clock=member.wall)
        member.outbox = self

    def handover(self) -> SharedHandover:
        """The handover for accounts that other processes own."""
        return SharedHandover(self._member, self.settings)

    def _begin(self) -> None:
        super()._begin()
        self._writer.groups = self._writer.contents = Nothing()  # type: ignore[assignment]

    async def _in_thread(self, do: Callable[[], T], limiter: trio.CapacityLimiter) -> T:
        return await _performed(self._member, do, limiter)

    async def _look_after(self) -> None:
        """Do nothing: no operator requests anything, and nothing gets old."""


class PoolableLink(SimulatedLink):
    """A link as through a pooler: no notices come."""

    pooled = True

    def __init__(self, url: str, settings: PostgresSettings, *, limit: float) -> None:
        super().__init__({}, limit=limit)


async def _performed(member: Member, do: Callable[[], T], limiter: trio.CapacityLimiter) -> T:
    """Do blocking work, without the thread that the product uses."""
    await trio.lowlevel.checkpoint_if_cancelled()
    await member.port()
    async with limiter:
        with trio.CancelScope(shield=True):
            return await stepped(do)


class Handing(HandingOver):
    """The product's handing over, from a process that owns some accounts."""

    of: Member

    async def hand_over(self, row: Any) -> str:
        return await super().hand_over(attrs.evolve(row, token=self.of.uuid()))

    async def call(self, do: Callable[[Any], T]) -> T:
        return await _performed(self.of, lambda: self._link.call(do), self._limiter)


class SharedHandover(PostgresHandover):
    """The product's handover of one process, for accounts that others own."""

    def __init__(self, member: Member, settings: PostgresSettings) -> None:
        self._of = member
        super().__init__("postgresql://host/base", settings, member.wall, (), Failing())
        self._handing = Handing(self._writer, self.place, member.uuid(), self._keys, self._troubled)
        self._handing.of = member

    async def _read(self, do: Callable[[Any], T]) -> T:
        return await _performed(self._of, lambda: self._reader.call(do), self._limiter)

    async def _rest(self, seconds: float) -> None:
        """Rest for a while; a pause that is rounded to nothing would never end in virtual time."""
        await super()._rest(max(0.001, seconds))


# -- what the product gets instead of threads, clocks, and the contents of rows


def _entries(connection: Any, batch: Any, member: Any, known: set[str]) -> None:
    new = {row[2] for row in batch.entries.values()} - known
    if new:
        connection.write(lambda rows: rows.add_accounts(new, member))
    known |= new


def _row_of(row: Any) -> Any:
    return row if len(row) > 14 else (*row, None)


def _write(connection: Any, batch: Any) -> None:
    taken = attrs.evolve(
        batch,
        entries={seq: _row_of(row) for seq, row in batch.entries.items()},
        **{name: dict(getattr(batch, name)) for name in ("keys", "steps", "entered", "postponed",
                                                         "shapes")},
    )  # fmt: skip
    connection.write(lambda rows: rows.write(taken))


def _end(connection: Any, batch: Any) -> list[int]:
    ended, freed = dict(batch.ended), set(batch.freed)
    connection.write(lambda rows: rows.end(ended, freed))
    return [seq for seq, row in ended.items() if row[1] in SETTLED]


def _forget(connection: Any, seqs: Any) -> None:
    connection.write(lambda rows: rows.forget(seqs))


def _write_accounts(connection: Any, batch: Any) -> None:
    names = ("revisions", "moves", "closures", "spent")
    if any(getattr(batch, name) for name in names):
        taken = attrs.evolve(batch, **{name: dict(getattr(batch, name)) for name in names})
        connection.write(lambda rows: rows.write_accounts(taken))


def _look_up(connection: Any, seals: Any, what: Any, since: float) -> Any:
    if isinstance(what, str):
        return connection.read(lambda rows: rows.find_by_id(what))
    seq = _seqs_of(connection, seals, [what], since).get(what)
    return None if seq is None else connection.read(lambda rows: rows.find(seq))


def _seqs_of(connection: Any, seals: Any, scopes: Any, since: float) -> dict[Any, int]:
    def find(rows: Any) -> dict[Any, int]:
        found = {}
        for scope in scopes:
            known = rows.keys.get((name_of(scope[0]), scope_of(scope)))
            if known is not None and (known[1] is None or known[1] >= since):
                found[scope] = known[0]
        return found

    return connection.read(find)  # type: ignore[no-any-return]


def _reads(name: str) -> Callable[..., Any]:
    """Call the rows' method with this name, instead of the function with the same arguments."""

    def read(connection: Any, seals: Any, *given: Any) -> Any:
        return connection.read(lambda rows: getattr(rows, name)(*given))

    return read


def _reads_its_own(name: str) -> Callable[..., Any]:
    """Like `_reads`, for the accounts of a share."""

    def read(connection: Any, seals: Any, *given: Any, share: Any = None) -> Any:
        if share is None:
            return connection.read(lambda rows: getattr(rows, name)(*given))

        def mine(rows: Any) -> Any:
            def has(instance: str) -> bool:
                it = rows.accounts.get(instance)
                return it is not None and it.member == share.member and share.has(instance)

            return getattr(rows, name)(*given, has)

        return connection.read(mine)

    return read


def _each(name: str) -> Callable[..., Any]:
    """The results of the rows' method with this name, for each of the instances."""

    def read(connection: Any, instances: Any) -> Any:
        names = list(instances)
        return connection.read(lambda rows: {each: getattr(rows, name)(each) for each in names})

    return read


def _recovery(connection: Any, seals: Any, instance: str) -> Any:
    del seals  # nothing is sealed
    return connection.read(lambda rows: rows.recovery(instance))


_store_begin = Journal.starting


async def _begin(journal: Journal, delivery: Any, step: Any, now: int) -> None:
    """Note when an attempt begins, which storing it may delay."""
    text = getattr(delivery.envelope, "text", None) or ""
    MEMBER.get().begun[text.split(" ")[0]] = trio.current_time()
    await _store_begin(journal, delivery, step, now)


@contextmanager
def world_of(uuids: Random, *, counts: bool) -> Iterator[None]:
    """Let the product's modules run in the world's time and with its rows.

    counts  whether members say how much is unfinished
    """

    given: list[tuple[Any, str, Any]] = [
        (Journal, "starting", _begin),
        (outboxes, "Link", SimulatedLink),
        (outboxes, "migrate", lambda connection, schema: True),
        (outboxes, "keyring_at", lambda *given, **named: Keyring()),
        (serving, "keyring_at", lambda *given, **named: Keyring()),
        (membership, "boottime", lambda: MEMBER.get().boottime()),
        (membership, "threading", SimpleNamespace(Event=Stop, Thread=Thread)),
        (membership, "uuid4", lambda: UUID(int=uuids.getrandbits(128), version=4)),
        (handing, "_is_readable", lambda connection: False),
        (membership, "SAYS_EACH", membership.SAYS_EACH if counts else math.inf),
        (membership, "own_name", lambda: MEMBER.get().name),
        (membership, "version", lambda _: "0"),
        (spreading, "threading", SimpleNamespace(Event=Stop, Thread=Thread)),
        (tables, "own_name", lambda: MEMBER.get().name),
        (tables, "version", lambda _: "0"),
        (producing, "PoolableLink", PoolableLink),
        (producing, "uuid4", lambda: MEMBER.get().uuid()),
        (calls, "prepare", lambda connection, schema: True),
        (outboxes, "place_of_all", lambda it: it.read(lambda rows: rows.place_of_all())),
        (
            sharing,
            "unfinished_of",
            lambda it, instance: it.read(lambda rows: rows.unfinished_of(instance)),
        ),
        (reading, "page", _reads("page")),
        (reading, "scheduled", _reads_its_own("scheduled")),
        (reading, "overdue", _reads_its_own("overdue")),
        (reading, "endings", _reads("endings")),
        (reading, "look_up", _look_up),
        (reading, "overview", lambda it: it.read(lambda rows: rows.overview())),
        (reading, "recovery", _recovery),
        (many, "recoveries", lambda it, _seals, instances: _each("recovery")(it, instances)),
        (many, "unfinished", _each("unfinished_of")),
        (groups, "states", lambda *given: []),
        (keys, "seqs_of", _seqs_of),
        (statements, "accounts", _entries),
        (statements, "write", _write),
        (statements, "end", _end),
        (statements, "forget", _forget),
        (statements, "write_accounts", _write_accounts),
    ]
    with ExitStack() as patched:
        for module, name, value in given:
            patched.enter_context(patch.object(module, name, value))
        yield
