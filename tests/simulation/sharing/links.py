"""Simulates the driver's connections to the server, on which requests are lost, late or cut off.

Their methods block, as the driver's do, so they run in `stepped`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

import attrs
import psycopg
import trio
from sharing.member import MEMBER, Member
from sharing.server import Session
from sharing.statements import READ, WRITE
from sharing.stepping import waited

from gateway_contrib.postgres.connections import connecting

T = TypeVar("T")

SILENCE = psycopg.OperationalError("server closed the connection unexpectedly")


@attrs.define(eq=False)
class Reply:
    """The outcome of a statement."""

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
        """All rows."""
        return self._rows


class Connection:
    """A connection like the driver's. Its methods block, so they run in `stepped`."""

    def __init__(self, member: Member, session: Session) -> None:
        self.member = member
        self.session = session
        self.closed = False
        self._reply: Reply | None = None
        self._hears: list[Callable[[Any], None]] = []
        self._within = False
        self._on_their_way = 0
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
        """A transaction like psycopg's: committed at the end, or rolled back after an error.

        Within another transaction, it is a part of that transaction, and fails with it.
        """
        if self._within:
            yield
            return
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
        """Send a statement, and wait for the answer."""
        text = sql if isinstance(sql, str) else sql.decode()
        return waited(partial(self._ask, text, given))

    def read(self, find: Callable[[Any], T]) -> T:
        """The result of a function of the committed rows."""
        return self.execute(READ, find).fetchall()[0][0]  # type: ignore[no-any-return]

    def write(self, write: Callable[[Any], None]) -> None:
        """Let a function change the rows once the transaction is committed."""
        self.execute(WRITE, write)

    async def _ask(self, sql: str, given: Any) -> Cursor:
        member, commits = self.member, sql == "COMMIT"
        await member.port()
        if self.session.dead or self.closed:
            self.left()
            raise psycopg.OperationalError("the connection is closed")
        member.asks(sql)
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
        """Bring a statement to the server and the answer back, whatever becomes of the caller."""
        self._on_their_way += 1
        try:
            await trio.sleep(there)
            arrives = await self._arrives(reply, fate, commits=sql == "COMMIT")
        finally:
            self._on_their_way -= 1
        if not arrives:
            await self._tell()
            return
        await self._perform(sql, given, reply)
        await self._tell()
        reply.notice = fate == "unreplicated"
        if fate == "answer lost":
            self._break(reply)
            return
        await trio.sleep(self.member.world.wire.seconds())
        await self._joined()
        reply.came.set()

    async def _joined(self) -> None:
        """Wait until the network is whole."""
        while trio.current_time() < (end := self.member.cut_until):  # noqa: ASYNC110 - it may move
            await trio.sleep_until(end)

    async def _arrives(self, reply: Reply, fate: str, *, commits: bool) -> bool:
        """Whether the server gets the statement; after a while, if the network is cut."""
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
        """The server has ended the session; a waiting caller hears of that."""
        reply = self._reply
        if reply is not None and not reply.came.is_set():
            self._break(reply)

    def sever(self) -> None:
        """Let a caller that waits for the server get an error at once."""
        self.left()
        if self._reply is not None and not self._reply.came.is_set():
            self._break(self._reply)

    def left(self) -> None:
        """This side has closed. The server hears of that at once, unless the network is cut."""
        if not self.closed:
            self.closed = True
            self.member.connections.pop(self, None)
            if trio.current_time() >= self.member.cut_until:
                self.member.world.nursery.start_soon(self._tell)

    async def _tell(self) -> None:
        """Let the server know that this side has closed, after all that this side has sent."""
        await trio.lowlevel.checkpoint()
        if self.closed and not self._on_their_way:
            self.session.leave()

    def close(self) -> None:
        """As `left`."""
        self.left()


class SimulatedLink(connecting.Link):
    """The product's link, on simulated connections."""

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
