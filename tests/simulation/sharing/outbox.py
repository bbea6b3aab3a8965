"""The product's outbox, in the world's time: what it has in place of threads, clocks and rows."""

# ruff: noqa: ARG005 - what is given has the signature of what it replaces

from __future__ import annotations

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

from gateway_contrib.durable.rows import SETTLED
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.postgres import PostgresOutbox, reading
from gateway_contrib.postgres import outbox as outboxes
from gateway_contrib.postgres.beside import keys
from gateway_contrib.postgres.beside import reading as groups
from gateway_contrib.postgres.connections import membership
from gateway_contrib.postgres.names import name_of, scope_of
from gateway_contrib.postgres.operators import serving
from gateway_contrib.postgres.producing import handing
from gateway_contrib.postgres.writes import statements

T = TypeVar("T")


class Stop:
    """An event of threads, in the world's time."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

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
    """Groups and bytes, of which these worlds have none."""

    touched = ()
    seals: Any = None

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: None


class SharedOutbox(PostgresOutbox):
    """The product's outbox of one process."""

    def __init__(self, member: Member) -> None:
        self._member = member
        super().__init__("postgresql://host/base", member.world.setup.settings,
                         wall_clock=member.wall)  # fmt: skip
        member.outbox = self

    def _begin(self) -> None:
        super()._begin()
        self._writer.groups = self._writer.contents = Nothing()  # type: ignore[assignment]

    async def _in_thread(self, do: Callable[[], T], limiter: trio.CapacityLimiter) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        await self._member.port()
        async with limiter:
            with trio.CancelScope(shield=True):
                return await stepped(do)

    async def _look_after(self) -> None:
        """No operator asks anything, and nothing gets old."""


# -- what the product is given in the place of threads, clocks, and the contents of rows


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
    """The method of the rows of that name, instead of the function that has these arguments."""

    def read(connection: Any, seals: Any, *given: Any) -> Any:
        return connection.read(lambda rows: getattr(rows, name)(*given))

    return read


@contextmanager
def world_of(uuids: Random) -> Iterator[None]:
    """The product's modules, in the world's time and with its rows."""

    given: list[tuple[Any, str, Any]] = [
        (outboxes, "Link", SimulatedLink),
        (outboxes, "migrate", lambda connection, schema: None),
        (outboxes, "keyring_at", lambda *given, **named: Keyring()),
        (serving, "keyring_at", lambda *given, **named: Keyring()),
        (membership, "boottime", lambda: MEMBER.get().boottime()),
        (membership, "threading", SimpleNamespace(Event=Stop, Thread=Thread)),
        (membership, "uuid4", lambda: UUID(int=uuids.getrandbits(128), version=4)),
        (handing, "_is_readable", lambda connection: False),
        (membership, "own_name", lambda: MEMBER.get().name),
        (membership, "version", lambda _: "0"),
        (reading, "page", _reads("page")),
        (reading, "scheduled", _reads("scheduled")),
        (reading, "overdue", _reads("overdue")),
        (reading, "endings", _reads("endings")),
        (reading, "look_up", _look_up),
        (reading, "overview", lambda it: it.read(lambda rows: rows.overview())),
        (reading, "recovery", lambda it, instance: it.read(lambda rows: rows.recovery(instance))),
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
