"""Writes batches on the connection that writes. Its methods block: they run in the worker thread.

Each transaction begins with `begin_batch`, which notes the transaction's number and ensures that
this member owns the accounts until the transaction ends. If a COMMIT was not answered, the writer
notes that number once more: this waits for the transaction if it is still under way, and is refused
if it was committed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import psycopg

from gateway_contrib.durable.batch import WHOEVER_WAITS, Batch
from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.beside.contents import Contents
from gateway_contrib.postgres.beside.groups import Groups
from gateway_contrib.postgres.beside.keeping import Keeping
from gateway_contrib.postgres.connections.connecting import Link
from gateway_contrib.postgres.connections.failing import (
    FENCED,
    NOT_COMMON,
    Place,
    is_of_its_row,
)
from gateway_contrib.postgres.handed import Handed
from gateway_contrib.postgres.names import ALL, name_of, text_out
from gateway_contrib.postgres.spreading.tables import give
from gateway_contrib.postgres.writes import answers, statements
from gateway_contrib.postgres.writes.committing import Unreplicated, commit
from gateway_contrib.postgres.writes.handed_answers import Claiming, claim, tell, write_answers
from gateway_contrib.postgres.writes.pieces import pieces_of
from gateway_core.outboxes import OUTBOX_BROKE, OutboxError, RequestWithdrawn, log_event

CROSSED = 3
"""How often a batch is written again after a conflict with another member's batch."""
_CROSSED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_OF_GROUPS = ("group", "paused", "cancelled", "drop")
_OF_ACCOUNT = "SELECT seq FROM envelopes WHERE account = %s AND seq = ANY (%b::bigint[])"
_OR_GROUPS = f"{_OF_ACCOUNT} UNION {_OF_ACCOUNT.replace('envelopes', 'groups')}"
_BEGIN = "SELECT begin_batch(%s, %s, %b::text[], %b::bigint[])"
_BEGIN_SHARE = "SELECT begin_share(%s, %s, %b::text[], %b::bigint[])"

T = TypeVar("T")
Connection: TypeAlias = psycopg.Connection[Any]


class Fenced(Exception):
    """Another member owns an account that was to be written. `instance`: which; empty: all."""

    def __init__(self, instance: str) -> None:
        super().__init__(instance)
        self.instance = instance


class NotCommon(OutboxError):
    """Another member does the work that is common to all accounts."""


class Unknown(Exception):
    """It is not known whether the transaction of that number is committed."""

    def __init__(self, number: int, done: object, error: BaseException) -> None:
        super().__init__(str(error))
        self.number = number
        self.done = done
        self.error = error


class Writer:
    """Commits batches; each of them wholly or not at all.

    spreads  whether the member owns only some accounts; a batch that has what an account spent then
             also releases the account
    lost     accounts that turned out to be another member's; its reader empties it
    idle     accounts that have nothing to do when they are released next
    claimed  requests that were answered by entries that were stored; its reader empties it
    fenced   how many transactions were refused, since another member owned the accounts
    """

    def __init__(
        self, link: Link, place: Place, member: UUID, seals: Seals, handed: Handed, *, spreads: bool
    ) -> None:
        self.link = link
        self.spreads = spreads
        self._begin = _BEGIN_SHARE if spreads else _BEGIN
        self._place = place
        self._numbers = count(1)
        self._known: set[str] = set()
        self.lost: set[str] = set()
        self.idle: set[str] = set()
        self.claimed: set[int] = set()
        self.fenced = 0
        self._handed = handed
        self._keeping = Keeping()
        self.contents = Contents(seals, self._keeping)
        self.groups = Groups(self.contents, seals, self._keeping)
        self.is_of(member)

    def is_of(self, member: UUID) -> None:
        """Make all transactions this member's from now on."""
        self.member = member
        if self.spreads:
            self._keeping.member = member

    def tidy(self, connection: Connection) -> None:
        """Remove what former members have left unused or incomplete."""
        self._keeping.tidy(connection)
        self.groups.tidy(connection)
        self.contents.tidy(connection)

    def seal_with(self, seals: Seals) -> None:
        """Seal everything that is written from now on with these."""
        self.contents.seals = self.groups.seals = seals

    def commit(self, batch: Batch, wall: float) -> None:
        """Write the batch. Raises `psycopg.Error` or `Fenced`: then nothing of it is written.

        Raises `Unknown` if nobody knows whether it is written. A change that the database refuses
        for its content fails alone.
        """
        write, crossed = self._write, 0
        while len(batch):
            try:
                self._transaction(*_touched(batch), partial(write, batch=batch, wall=wall))
            except Fenced as fenced:
                if not fenced.instance:
                    raise
                lost = partial(self._let_go, batch=batch, instance=fenced.instance)
                self.link.call(lost)
            except psycopg.Error as error:
                if isinstance(error, _CROSSED) and crossed < CROSSED:
                    crossed += 1
                elif not is_of_its_row(error) or write == self._one_by_one:
                    raise
                else:
                    write = self._one_by_one
            else:
                return

    def apart(
        self,
        do: Callable[[Connection], T],
        wall: float,
        account: str | None = None,
        seqs: Sequence[int] = (),
    ) -> T:
        """Call `do` in a transaction of its own. Raises as `commit`.

        account  the account that it is about; empty: it is common to all accounts, and raises
                 `OutboxError` as well if another member does the common work
        seqs     entries and groups that it is about
        """

        def all_of_it(connection: Connection) -> T:
            done = do(connection)
            self.groups.close(connection, wall)
            return done

        return self._transaction([] if account is None else [account], seqs, all_of_it)

    def decide(self, number: int) -> bool:
        """Whether the transaction of that number is committed; if not, it never will be.

        If it is, another transaction is committed after it, so that a synchronous standby has both,
        or this raises. Raises `psycopg.Error`.
        """

        def ask(connection: Connection) -> bool:
            connection.execute("BEGIN")
            sql = "INSERT INTO batches VALUES (%s, %s) ON CONFLICT DO NOTHING"
            if connection.execute(sql, (self.member, number)).rowcount:
                connection.execute("ROLLBACK")
                return False
            sql = "UPDATE batches SET noted_at = now() WHERE member = %s AND number = %s"
            connection.execute(sql, (self.member, number))
            commit(connection)
            return True

        return self.link.call(ask)

    def settle(self, *, committed: bool) -> None:
        """Bring what is remembered in memory in line with the transaction's outcome."""
        self.groups.forget()
        if committed:
            self.contents.committed()
        else:
            self.contents.rolled_back()
            self._known.clear()
            self.claimed.clear()

    def _let_go(self, connection: Connection, batch: Batch, instance: str) -> None:
        """Leave out the account, which another member owns; the callers that wait get an error."""
        self.lost.add(instance)
        why = OutboxError(f"account {instance} belongs to another process now")
        asked = (name_of(instance), _touched(batch)[1])
        sql, given = (_OR_GROUPS, asked * 2) if self.spreads else (_OF_ACCOUNT, asked)
        seqs = {seq for (seq,) in connection.execute(sql.encode(), given).fetchall()}
        seqs |= {seq for seq, row in batch.entries.items() if row[2] == instance}
        for seq in seqs:
            batch.refuse(seq, why)
        batch.drop(seqs, instance)

    def _transaction(
        self, touched: Sequence[str], seqs: Sequence[int], do: Callable[[Connection], T]
    ) -> T:
        number = next(self._numbers)

        def whole(connection: Connection) -> T:
            self.settle(committed=False)  # undo an earlier attempt on a connection that broke
            connection.execute("BEGIN")
            try:
                asked = (self.member, number, list(touched), list(seqs))
                connection.execute(self._begin, asked)
                done = do(connection)
            except BaseException:
                if not connection.closed:
                    connection.execute("ROLLBACK")
                raise
            try:
                commit(connection)
            except psycopg.Error as error:
                if connection.closed or isinstance(error, Unreplicated):
                    raise Unknown(number, done, error) from error
                raise
            return done

        try:
            done = self.link.call(whole)
        except psycopg.Error as error:
            self.settle(committed=False)
            if (refusal := self._refusal(error)) is not None:
                raise refusal from error
            raise
        except Unknown:
            raise
        except BaseException:
            self.settle(committed=False)
            raise
        self.settle(committed=True)
        return done

    def _refusal(self, error: psycopg.Error) -> Exception | None:
        """The refusal if another member is the owner or does the common work; None: otherwise."""
        if error.sqlstate == NOT_COMMON:
            return NotCommon("another process does the work that all accounts share")
        if error.sqlstate != FENCED:
            return None
        self.fenced += 1
        return Fenced(text_out(error.diag.message_detail or ""))

    def _write(self, connection: Connection, batch: Batch, wall: float) -> None:
        statements.accounts(connection, batch, self.member, self._known)
        if batch.beside:
            self._write_beside(connection, batch)
        statements.write(connection, batch)
        if batch.ended:
            self.groups.ended(connection, {row[0]: row[1] for row in batch.ended.values()})
            self.contents.end(connection, statements.settled(batch))
        if batch.withdrawn:
            statements.forget(connection, list(batch.withdrawn))
            self.groups.withdrawn(connection, batch.withdrawn)
            self.contents.end(connection, list(batch.withdrawn))
        statements.write_accounts(connection, batch)
        handed = {number: it for number, it in batch.answers.items() if number > 0}
        if not write_answers(connection, self.contents.seals, handed):
            self._handed.held()
        if self._handed.for_members and (batch.ended or handed):
            tell(connection, batch.ended, handed)
        asked = {number: it for number, it in batch.answers.items() if number < 0}
        answers.write(connection, asked)
        if self.groups.touched:
            self.groups.close(connection, wall)
        # Rows that all members share come last, and in this order: they are locked until COMMIT.
        if batch.ended:
            statements.end(connection, batch)
        if self.spreads and batch.spent.keys() - {ALL}:
            given = batch.spent.keys() - {ALL}
            give(connection, self.member, given, self.idle & given)

    def _write_beside(self, connection: Connection, batch: Batch) -> None:
        """Write claims and reports about groups and bytes, in order; refuse unmet claims."""
        groups = self.groups
        if batch.withdrawn:  # entries of earlier batches: their turns come again first
            groups.withdrawn(connection, batch.withdrawn)
        for (what, seq), it in batch.beside.items():
            refused = None
            if what == "entry":
                refused = groups.take(connection, it)
            elif what == "group":
                refused = groups.store(connection, it)
            elif what == "paused":
                groups.pause(connection, seq, paused=it)
            elif what == "cancelled":
                groups.cancel(connection, seq)
            elif what == "unused":
                self.contents.unused(connection, it)
            else:
                groups.drop(connection, seq)
            if refused is not None:
                batch.refuse(seq, refused)
        claims = {
            it.request: Claiming(seq, batch.entries[seq][1], it.after)
            for (what, seq), it in batch.beside.items()
            if what == "entry" and it.request is not None and seq in batch.entries
        }
        if claims:
            self._claim(connection, batch, claims)

    def _claim(self, connection: Connection, batch: Batch, claims: dict[int, Claiming]) -> None:
        """Answer requests by their entries; refuse the entries that may not answer them now."""
        withdrawn, held, early = claim(connection, claims)
        for numbers, error, why in (
            (withdrawn, RequestWithdrawn, "the request was withdrawn"),
            (held, OutboxError, "the request is being withdrawn"),
            (early, OutboxError, "the room's request before it is not answered yet"),
        ):
            for number in numbers:
                batch.refuse(claims[number].seq, error(f"outbox {self._place}: {why}"))
        none = withdrawn | held | early
        self.contents.end(connection, [claims[number].seq for number in none])
        self.claimed |= claims.keys() - none

    def _one_by_one(self, connection: Connection, batch: Batch, wall: float) -> None:
        """Write each piece after a savepoint, so that a piece that is refused fails alone."""
        for piece, seq in pieces_of(batch):
            try:
                with connection.transaction():
                    self._write(connection, piece, wall)
            except psycopg.Error as error:
                if not is_of_its_row(error):
                    raise
                self.groups.forget()
                why = self._place.failed("refuses what is written", error)
                if seq != WHOEVER_WAITS:
                    batch.refuse(seq, why)
                log_event(OUTBOX_BROKE, method="write", error=str(why), where=None)
            for refused, lacking in piece.refused.items():
                batch.refuse(refused, lacking)


def _touched(batch: Batch) -> tuple[list[str], list[int]]:
    """The accounts that the batch names, and the entries whose accounts it does not name."""
    instances = {row[2] for row in batch.entries.values()}
    instances |= {instance for instance, _ in (*batch.moves, *batch.closures)}
    instances |= batch.spent.keys() - {ALL}
    seqs = {
        *batch.entered, *batch.postponed, *batch.shapes, *batch.ended, *batch.withdrawn,
        *batch.grown, *(seq for seq, _ in batch.steps),
        *(seq for what, seq in batch.beside if what in _OF_GROUPS),
    }  # fmt: skip
    return sorted(map(name_of, instances)), sorted(seqs - batch.entries.keys())
