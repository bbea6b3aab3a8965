"""Simulates a database server in memory: rows, transactions, locks, and sessions that may end.

It has as much of PostgreSQL as an outbox's ownership needs. Statements read what is committed
(`read committed`), writes take effect at the COMMIT, and row locks have PostgreSQL's modes. A
transaction that inserts a unique key waits for another one that is about to insert the same key.
Nothing here knows of gateways.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, TypeAlias

import attrs
import psycopg
import trio
from psycopg import errors
from sharing.rows import Rows

EPOCH_IS_IN_A_KEY = True
"""So a change of the epoch takes the lock that waits for all transactions that hold the row."""
HOUSEKEEPING = 0.5
"""Seconds between two looks for transactions that are idle."""
CONFLICTS: Mapping[str, frozenset[str]] = {
    "key share": frozenset({"update"}),
    "share": frozenset({"no key update", "update"}),
    "no key update": frozenset({"share", "no key update", "update"}),
    "update": frozenset({"key share", "share", "no key update", "update"}),
}
"""For each row lock, the locks of another transaction that exclude it."""

Answer: TypeAlias = tuple[list[tuple[Any, ...]], int]
Statement: TypeAlias = Callable[["Server", "Transaction", Any], Awaitable[Answer]]


class Aborted(psycopg.OperationalError):
    """The server has ended the session."""

    sqlstate = "57P01"


@attrs.define(eq=False)
class Transaction:
    """What a transaction has locked, and what it will have written.

    number  like `pg_current_xact_id`: drawn when it first writes
    member  the member that writes, once the transaction has said so
    own     rows that it inserts and looks at itself
    owners  the owner of each account just before the COMMIT
    """

    session: Session
    number: int | None = None
    writes: list[Callable[[Rows], None]] = attrs.field(factory=list)
    locks: dict[Hashable, str] = attrs.field(factory=dict)
    member: Any = None
    failed: bool = False
    own: dict[Any, Any] = attrs.field(factory=dict)
    owners: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Session:
    """One connection on the server's side.

    patience  seconds that a lock may take; also seconds that a transaction may be idle
    gone      the client has left: open work is rolled back as soon as the server notices that
    """

    server: Server
    patience: float
    whose: Any = None
    transaction: Transaction | None = None
    dead: bool = False
    gone: bool = False
    busy: bool = False
    idle_since: float = 0.0
    on_death: Callable[[], None] = lambda: None

    def end(self) -> None:
        """The server ends the session, and undoes all that is open."""
        if not self.dead:
            self.dead = True
            self.server.rollback(self.transaction)
            self.transaction = None
            self.server.sessions.pop(self, None)
            self.on_death()

    def leave(self) -> None:
        """The client has closed the session; a running statement is finished first."""
        self.gone = True
        if not self.busy:
            self.end()


class Server:
    """The server.

    committed  called with each transaction that wrote, once it is committed
    """

    def __init__(self, statements: Mapping[str, Statement]) -> None:
        self._statements = statements
        self.rows = Rows()
        self.sessions: dict[Session, None] = {}
        self.down_until = 0.0
        self.committed: Callable[[Transaction], None] = lambda _: None
        self._locks: defaultdict[Hashable, dict[Transaction, str]] = defaultdict(dict)
        self._changed = trio.Event()
        self._next = 1
        self._handed = 0
        self._numbered: dict[Transaction, None] = {}

    # -- sessions

    def connect(self, patience: float, whose: Any = None) -> Session:
        """Open a session. Raises `psycopg.OperationalError` while the server is down."""
        if trio.current_time() < self.down_until:
            raise psycopg.OperationalError("connection refused")
        session = Session(self, patience, whose)
        self.sessions[session] = None
        return session

    def restart(self, seconds: float) -> None:
        """End every session, and take new ones after that time."""
        self.down_until = trio.current_time() + seconds
        for session in list(self.sessions):
            session.end()

    async def keep_house(self) -> None:
        """End sessions in which a transaction is idle."""
        while True:
            await trio.sleep(HOUSEKEEPING)
            now = trio.current_time()
            for session in list(self.sessions):
                idle = session.transaction is not None and not session.busy
                if idle and now - session.idle_since > session.patience:
                    session.end()

    # -- statements

    async def perform(self, session: Session, sql: str, given: Any) -> Answer:
        """Perform a statement, in the open transaction or its own. Raises `psycopg.Error`."""
        if session.dead:
            raise Aborted("terminating connection")
        session.busy = True
        try:
            return await self._perform(session, sql, given)
        finally:
            session.busy = False
            session.idle_since = trio.current_time()
            if session.gone:
                session.end()

    async def _perform(self, session: Session, sql: str, given: Any) -> Answer:
        words = " ".join(sql.split())
        if words.startswith("BEGIN"):
            session.transaction = Transaction(session)
            return [], 0
        if words in ("COMMIT", "ROLLBACK"):
            transaction, session.transaction = session.transaction, None
            if transaction is not None:
                failed = transaction.failed or words == "ROLLBACK"
                (self.rollback if failed else self.commit)(transaction)
            return [], 0
        statement = self._statements[words]  # an unknown one must be added to the simulation
        if session.transaction is not None:
            return await self._within(session.transaction, statement, given)
        transaction = Transaction(session)
        try:
            answer = await self._within(transaction, statement, given)
        except BaseException:
            self.rollback(transaction)
            raise
        self.commit(transaction)
        return answer

    async def _within(self, transaction: Transaction, statement: Statement, given: Any) -> Answer:
        if transaction.failed:
            raise errors.InFailedSqlTransaction("current transaction is aborted")
        try:
            answer = await statement(self, transaction, given)
        except psycopg.Error:
            transaction.failed = True
            raise
        if transaction.session.dead:
            raise Aborted("terminating connection")
        return answer

    # -- transactions

    def writes(self, transaction: Transaction, write: Callable[[Rows], None]) -> None:
        """Add a write, which takes effect with the COMMIT."""
        self.number(transaction)
        transaction.writes.append(write)

    def next_handed(self) -> int:
        """The next number of the identity column that orders rows that are handed over."""
        self._handed += 1
        return self._handed

    def now(self) -> float:
        """The time on the server's clock."""
        return trio.current_time()

    def number(self, transaction: Transaction) -> int:
        """The transaction's number, which it has from now on."""
        if transaction.number is None:
            transaction.number, self._next = self._next, self._next + 1
            self._numbered[transaction] = None
        return transaction.number

    def snapshot(self) -> tuple[int, list[int]]:
        """The number after all begun transactions, and the numbers of the open ones."""
        return self._next, [each.number for each in self._numbered if each.number is not None]

    def commit(self, transaction: Transaction) -> None:
        """Commit: all writes are there from now on."""
        transaction.owners = {name: it.member for name, it in self.rows.accounts.items()}
        for write in transaction.writes:
            write(self.rows)
        if transaction.writes:
            self.committed(transaction)
        self.rollback(transaction)

    def rollback(self, transaction: Transaction | None) -> None:
        """End the transaction; its writes that were not committed never happen."""
        if transaction is None:
            return
        for key in transaction.locks:
            self._locks[key].pop(transaction, None)
        transaction.locks.clear()
        transaction.failed = True
        self._numbered.pop(transaction, None)
        self._changed.set()

    # -- locks

    async def lock(self, transaction: Transaction, key: Hashable, mode: str) -> None:
        """Take a lock until the end of the transaction. Raises `LockNotAvailable`."""
        if mode == "update of its epoch":
            mode = "update" if EPOCH_IS_IN_A_KEY else "no key update"
        with trio.move_on_after(transaction.session.patience * 0.8):
            while self.is_held(transaction, key, mode):
                self._changed = self._changed if not self._changed.is_set() else trio.Event()
                await self._changed.wait()
                if transaction.session.dead:
                    raise Aborted("terminating connection")
            held = transaction.locks.get(key)
            if held is None or mode in CONFLICTS[held] or held == "key share":
                transaction.locks[key] = self._locks[key][transaction] = mode
            return
        raise errors.LockNotAvailable("canceling statement due to lock timeout")

    def is_held(self, transaction: Transaction, key: Hashable, mode: str) -> bool:
        """Whether another transaction holds a lock that excludes this one."""
        holders = self._locks.get(key, {})
        return any(
            held in CONFLICTS[mode] for each, held in holders.items() if each is not transaction
        )
