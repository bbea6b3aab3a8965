"""One process that takes part: its clock, its network, what stops it, and its outbox.

The outbox is the product's; under it the connections, the time and the threads are the world's.
"""

# ruff: noqa: ARG005 - what is given has the signature of what it replaces

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar
from unittest.mock import patch
from uuid import UUID

import attrs
import psycopg
import trio
from sharing.server import Session
from sharing.statements import READ, WRITE
from sharing.stepping import stepped, waited
from simulated.lives import Killed, Life

from gateway_contrib.durable.rows import SETTLED
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.postgres import PostgresOutbox, reading
from gateway_contrib.postgres import outbox as outboxes
from gateway_contrib.postgres.beside import keys
from gateway_contrib.postgres.beside import reading as groups
from gateway_contrib.postgres.connections import connecting, membership
from gateway_contrib.postgres.names import name_of, scope_of
from gateway_contrib.postgres.operators import serving
from gateway_contrib.postgres.producing import handing
from gateway_contrib.postgres.writes import statements

if TYPE_CHECKING:
    from sharing.world import World

T = TypeVar("T")

MEMBER: ContextVar[Member] = ContextVar("MEMBER")
"""Whose task it is; set in the first task of a process, and so in all that it starts."""
SILENCE = psycopg.OperationalError("server closed the connection unexpectedly")


class Member:
    """One process.

    rate, offset   of its clock that runs while the machine is suspended
    ahead          seconds that its wall clock is
    stopped_until  it does nothing before
    cut_until      it does not reach the server before; away_until: nor the platforms
    dies_in        it is killed at so many ports from now
    stops_writing  seconds for which it stops between its next look and the write of a request
    """

    def __init__(self, world: World, name: str, life: Life, rng: Random) -> None:
        self.world = world
        self.name = name
        self.life = life
        self.rng = rng
        setup = world.setup
        self.rate = rng.choice(setup.rates)
        self.offset = rng.choice([0.0, 1000.0, 1e6])
        self.ahead = rng.choice(setup.ahead)
        self.stopped_until = self.cut_until = self.away_until = 0.0
        self.stops_writing: float | None = None
        self.dies_in: int | None = None
        self.ends_gently = trio.Event()
        self.outbox: SharedOutbox | None = None
        self.connections: dict[Connection, None] = {}
        self._waiting: dict[trio.Event, None] = {}
        life.died = self._died

    def _died(self) -> None:
        """Its connections end, and nobody waits for them any more."""
        for connection in list(self.connections):
            connection.left()
        for event in list(self._waiting):
            event.set()

    # -- what the process may do now

    async def port(self) -> None:
        """What it does first wherever it meets the world, and after each wait there."""
        self.check()
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in <= 0:
                self.life.fall()
                self.check()
        while trio.current_time() < self.stopped_until:
            await self.until(trio.sleep_until, self.stopped_until)
            self.check()

    def check(self) -> None:
        """Raises `Killed` in a process that has ended."""
        if self.life.dead:
            raise Killed

    async def until(self, wait: Callable[..., Any], *given: Any) -> None:
        """Wait so, or until the process ends."""
        fell = self.life.fell
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:

                async def ends() -> None:
                    await fell.wait()
                    if self.life.dead:
                        nursery.cancel_scope.cancel()

                nursery.start_soon(ends)
                await wait(*given)
                nursery.cancel_scope.cancel()

    async def wait(self, event: trio.Event) -> None:
        """Until then, or until the process ends."""
        self._waiting[event] = None
        try:
            with trio.CancelScope(shield=True):
                await event.wait()
        finally:
            self._waiting.pop(event, None)

    # -- what happens to it

    def stop(self, seconds: float) -> None:
        """As by SIGSTOP, and SIGCONT after that time."""
        self.stopped_until = trio.current_time() + seconds

    def boottime(self) -> float:
        """Its clock that runs while the machine is suspended."""
        return self.offset + self.rate * trio.current_time()

    def uuid(self) -> UUID:
        """One that no other has."""
        return UUID(int=self.rng.getrandbits(128), version=4)

    def wall(self) -> float:
        """POSIX time as its system says."""
        self.check()
        return 1_700_000_000.0 + self.ahead + trio.current_time()

    @property
    def id(self) -> UUID | None:
        """As which it takes part now."""
        return None if self.outbox is None else self.outbox._membership.member


@attrs.define(eq=False)
class Reply:
    """What comes of a statement."""

    came: trio.Event = attrs.field(factory=trio.Event)
    answer: tuple[list[Any], int] = ([], 0)
    error: BaseException | None = None
    lost: bool = False
    notice: bool = False


class Cursor:
    """An answer as the driver gives it."""

    def __init__(self, answer: tuple[list[Any], int]) -> None:
        self._rows, self.rowcount = answer

    def fetchone(self) -> Any:
        """The first row."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        """All of them."""
        return self._rows


class Connection:
    """A connection as the driver has it. Its methods block: they run in `stepped`."""

    def __init__(self, member: Member, session: Session) -> None:
        self.member = member
        self.session = session
        self.closed = False
        self._reply: Reply | None = None
        self._hears: list[Callable[[Any], None]] = []
        self._within = False
        member.connections[self] = None
        session.on_death = self._died

    @property
    def info(self) -> Any:
        """Whether a transaction is open, as far as this side knows."""
        return SimpleNamespace(transaction_status=int(self._within), backend_pid=1)

    def add_notice_handler(self, hear: Callable[[Any], None]) -> None:
        self._hears.append(hear)

    def remove_notice_handler(self, hear: Callable[[Any], None]) -> None:
        self._hears.remove(hear)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """As psycopg's: committed at the end, rolled back where that is left by an error."""
        self.execute("BEGIN")
        try:
            yield
        except BaseException as error:
            if not self.closed:
                self.execute("ROLLBACK")
            if not isinstance(error, psycopg.Rollback):
                raise
        else:
            self.execute("COMMIT")

    def execute(self, sql: str | bytes, given: Any = None) -> Cursor:
        """Ask, and wait for the answer."""
        text = sql if isinstance(sql, str) else sql.decode()
        return waited(partial(self._ask, text, given))

    def read(self, find: Callable[[Any], T]) -> T:
        """What a function of the committed rows gives."""
        return self.execute(READ, find).fetchall()[0][0]  # type: ignore[no-any-return]

    def write(self, write: Callable[[Any], None]) -> None:
        """What a function does to the rows, once the transaction is committed."""
        self.execute(WRITE, write)

    async def _ask(self, sql: str, given: Any) -> Cursor:
        member, commits = self.member, sql == "COMMIT"
        await member.port()
        if self.session.dead or self.closed:
            self.left()
            raise psycopg.OperationalError("the connection is closed")
        reply = self._reply = Reply()
        wire = member.world.wire
        fate, there = wire.fate(sql), wire.seconds()
        if fate or there or trio.current_time() < member.cut_until:
            member.world.nursery.start_soon(self._serve, sql, given, reply, fate, there)
            await member.wait(reply.came)
        else:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
                await self._perform(sql, given, reply)
        await member.port()
        self._reply = None
        if sql == "BEGIN":
            self._within = True
        elif sql in ("COMMIT", "ROLLBACK"):
            self._within = False
        if reply.lost:
            self.left()
            raise SILENCE
        if reply.error is not None:
            if self.session.dead:
                self.left()
            raise reply.error
        if commits and reply.notice:
            for hear in self._hears:
                hear(SimpleNamespace(sqlstate="01000", message_primary="canceling wait"))
        return Cursor(reply.answer)

    async def _perform(self, sql: str, given: Any, reply: Reply) -> None:
        try:
            reply.answer = await self.member.world.server.perform(self.session, sql, given)
        except psycopg.Error as error:
            reply.error = error

    async def _serve(self, sql: str, given: Any, reply: Reply, fate: str, there: float) -> None:
        """The way there, what the server does, and the way back: whatever becomes of who asked."""
        await trio.sleep(there)
        if not await self._arrives(reply, fate, commits=sql == "COMMIT"):
            return
        await self._perform(sql, given, reply)
        reply.notice = fate == "unreplicated"
        if fate == "answer lost":
            self._break(reply)
            return
        await trio.sleep(self.member.world.wire.seconds())
        await self._joined()
        reply.came.set()

    async def _joined(self) -> None:
        """Until the network is whole."""
        while trio.current_time() < (end := self.member.cut_until):  # noqa: ASYNC110 - it may move
            await trio.sleep_until(end)

    async def _arrives(self, reply: Reply, fate: str, *, commits: bool) -> bool:
        """Whether the server hears of it; after a while, where the network is cut."""
        if fate == "lost":
            self._break(reply)
            return False
        if fate == "late":  # the client hears that the connection broke; the server has it all
            reply.lost = True
            reply.came.set()
            await trio.sleep(self.member.world.wire.late())
        else:
            await self._joined()
        if self.closed and not (commits and self.member.world.wire.flips()):
            return False
        return not self.session.dead

    def _break(self, reply: Reply) -> None:
        reply.lost = True
        reply.came.set()

    def _died(self) -> None:
        """The server has ended the session; who waits hears of it."""
        reply = self._reply
        if reply is not None and not reply.came.is_set():
            self._break(reply)

    def sever(self) -> None:
        """Whoever waits for the server hears an error at once."""
        self.left()
        if self._reply is not None and not self._reply.came.is_set():
            self._break(self._reply)

    def left(self) -> None:
        """This side has closed it. The server hears of it at once, unless the network is cut."""
        if not self.closed:
            self.closed = True
            self.member.connections.pop(self, None)
            if trio.current_time() >= self.member.cut_until:
                self.member.world.nursery.start_soon(self._tell)

    async def _tell(self) -> None:
        await trio.lowlevel.checkpoint()
        self.session.leave()

    def close(self) -> None:
        """As `left`."""
        self.left()


class SimulatedLink(connecting.Link):
    """The product's, on connections of the world."""

    def __init__(self, options: dict[str, Any], *, limit: float) -> None:
        super().__init__(options, limit=limit)
        self._member = MEMBER.get()
        settings = self._member.world.setup.settings
        self._patience = settings.patience
        self._connect_for = settings.connect_for

    def _made(self) -> Any:
        connection: Any = self._connection
        if connection is None or connection.closed:
            session = waited(self._connected)
            self._connection = connection = Connection(self._member, session)  # type: ignore[assignment]
            if self._closed:
                connection.close()
                raise psycopg.OperationalError("the connection is closed")
        return connection

    async def _connected(self) -> Session:
        member = self._member
        await member.port()
        end = trio.current_time() + self._connect_for
        while trio.current_time() < member.cut_until:
            if member.cut_until > end:
                await member.until(trio.sleep_until, end)
                await member.port()
                raise psycopg.OperationalError("connection timeout expired")
            await member.until(trio.sleep_until, member.cut_until)
            await member.port()
        await trio.lowlevel.checkpoint()
        return member.world.server.connect(self._patience, member)

    @contextmanager
    def _used(self) -> Iterator[None]:
        self._since = trio.current_time()
        try:
            yield
        finally:
            self._since = None

    def sever(self) -> None:
        connection: Any = self._connection
        if connection is not None:
            connection.sever()

    def sever_if_late(self) -> bool:
        since = self._since
        stopped = trio.current_time() < self._member.stopped_until
        late = since is not None and trio.current_time() - since > self._limit and not stopped
        if late:
            self.sever()
        return late


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
