"""Owns the outbox or stands by, and runs transactions, whose outcome may be unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import psycopg
import trio

from gateway_contrib.durable.committer import Trouble
from gateway_contrib.postgres.connections.connecting import LATE, Link
from gateway_contrib.postgres.connections.failing import Place, typed
from gateway_contrib.postgres.connections.membership import LOOK, Membership, Owner
from gateway_contrib.postgres.handed import Handed
from gateway_contrib.postgres.names import ALL
from gateway_contrib.postgres.settings import PostgresSettings
from gateway_contrib.postgres.storing import Connection, Storing
from gateway_contrib.postgres.writes.writing import Fenced, Unknown
from gateway_core.outboxes import (
    OUTBOX_FAILED,
    OUTBOX_STANDS_BY,
    OUTBOX_TAKEN_OVER,
    OUTBOX_WORKS,
    OutboxError,
    Tenure,
    log_event,
)

T = TypeVar("T")

LONGEST_PAUSE = 2.0
"""Seconds, at most, between two attempts to learn whether a transaction was committed."""


class Owning(Storing):
    """The part of an outbox that owns the database, or stands by."""

    settings: PostgresSettings
    place: Place
    lost: Callable[[str], None] | None
    _membership: Membership
    _reader: Link
    _links: tuple[Link, ...]
    _handed: Handed
    _accounts: set[str]
    _turn: trio.Lock
    _tenure: int
    _lost: int
    _given = 0
    _follows: str | None = None
    _since = 0.0
    _writing: trio.CapacityLimiter
    _reading: trio.CapacityLimiter
    _lasting: trio.CapacityLimiter

    async def _own(self) -> None:
        """Become the owner, or stand by until there is no owner, for at most `owner_wait`."""
        begun = trio.current_time()
        deadline = begun + self.settings.owner_wait
        trouble = Trouble()
        told = None
        while (found := await self._stand_by()) is not None:
            now = trio.current_time()
            if isinstance(found, Owner):
                _log_end(trouble, now)
            if now >= deadline:
                raise self._refused(found)
            if isinstance(found, OutboxError):
                if (times := trouble.fails(str(found), now)) is not None:
                    log_event(OUTBOX_FAILED, error=str(found), times=times)
            elif told != str(found):
                told = str(found)
                log_event(OUTBOX_STANDS_BY, owner=told)
            await trio.sleep(LOOK)
        _log_end(trouble, trio.current_time())
        token = trio.lowlevel.current_trio_token()
        self._membership.on_lost = partial(token.run_sync_soon, self._on_lost)
        self._membership.begin()
        if told is not None:
            log_event(OUTBOX_TAKEN_OVER, seconds=round(trio.current_time() - begun, 1))

    async def _stand_by(self) -> Owner | OutboxError | None:
        """Who owns the outbox, or why that is unknown; None: this process owns it from now on."""
        try:
            return await self._in_thread(self._membership.attempt, self._lasting)
        except psycopg.OperationalError as error:
            if self._membership.stands_by:  # the server may come back; a first look fails at once
                return self.place.failed("cannot be taken over", error)
            raise

    def _refused(self, found: Owner | OutboxError) -> OutboxError:
        """The error of a process that has stood by for `owner_wait` seconds."""
        if isinstance(found, OutboxError):
            return found
        return OutboxError(
            f"outbox {self.place} is owned by another process: {found}; stop that one, or"
            " wait for it (owner_wait)"
        )

    def _on_lost(self) -> None:
        """Another process owns the whole outbox: tell the gateway so, account by account."""
        for account in sorted(self._accounts):
            self._lose(account)

    def tenure(self) -> Tenure:
        """The tenure of this process, as far as it knows."""
        return Tenure(
            owns=self._membership.owns,
            lease=self._membership.left,
            accounts=self._shared_out,
            takeovers=self._membership.takeovers,
            handovers=self._given,
            lost=self._lost,
            fenced=self._writer.fenced,
            taken=self._handed.taken,
            waited=self._handed.waited,
        )

    @property
    def _shared_out(self) -> int:
        """How many accounts this process owns if accounts are spread over processes; else 0."""
        return 0

    def _fenced(self, fenced: Fenced) -> OutboxError:
        if not fenced.instance:
            self._membership.lose()
            self._on_lost()
            return self._others()
        self._lose(fenced.instance)
        return OutboxError(f"account {fenced.instance} belongs to another process now")

    def _lose(self, account: str) -> None:
        if account in self._accounts:
            self._let_go_of(account)
            self._lost += 1
            if self.lost is not None:
                self.lost(account)

    def _let_go_of(self, account: str) -> None:
        """Note that this process no longer owns the account."""
        self._accounts.discard(account)

    def covers(self, instance_id: str) -> bool:  # noqa: ARG002 - one process has them all
        """True while the lease runs; one process owns all accounts or none."""
        return self._membership.covered

    def _check(self, instance_id: str = "") -> None:  # noqa: ARG002 - one process has them all
        """Raises `OutboxError` if another process owns the account."""
        if not self._membership.owns:
            raise self._others()

    def _others(self) -> OutboxError:
        return OutboxError(f"outbox {self.place} belongs to another process now")

    async def _own_again(self) -> None:
        with typed(self.place, "cannot be taken back"):
            async with self._turn:
                if self._membership.owns:
                    return
                self._membership.anew()
                owner = await self._in_thread(self._membership.attempt, self._lasting)
                self._tell_of(owner)
                if owner is not None:
                    raise OutboxError(f"outbox {self.place} is owned by another process: {owner}")
                self._writer.is_of(self._membership.member)
                self._tenure += 1
                self._committer.drop(self._others())
                self._membership.begin()
                self._handed.anew()
                if self.lost is not None:  # it may have requests from before
                    self.lost(ALL)

    def _tell_of(self, owner: Owner | None) -> None:
        """Log once that this process, a former owner, stands by, and once that it owns again."""
        if owner is None:
            if self._follows is not None:
                log_event(OUTBOX_TAKEN_OVER, seconds=round(trio.current_time() - self._since, 1))
            self._follows = None
        elif self._follows != str(owner):
            if self._follows is None:
                self._since = trio.current_time()
            self._follows = str(owner)
            log_event(OUTBOX_STANDS_BY, owner=self._follows)

    async def _give_back(self) -> None:
        """Give up ownership, so that a standby takes over at once, not after the lease."""
        try:
            await self._in_thread(self._membership.leave, self._lasting)
        except psycopg.Error as error:
            log_event(OUTBOX_FAILED, error=self.place.words(error))

    async def _apart(
        self, do: Callable[[Connection], T], account: str | None = None, *, seqs: Sequence[int] = ()
    ) -> T:
        """Call `do` between two batches, in a transaction of its own."""
        wall = self._wall()
        return await self._transacted(lambda: self._writer.apart(do, wall, account, seqs))

    async def _transacted(self, do: Callable[[], T]) -> T:
        tenure = self._tenure
        async with self._turn:
            if tenure != self._tenure:  # it would undo what another owner has written since
                raise self._others()
            try:
                return await self._in_thread(do, self._writing)
            except Fenced as fenced:
                raise self._fenced(fenced) from fenced
            except Unknown as unknown:
                with trio.CancelScope(shield=True):
                    committed = await self._decided(unknown)
                self._writer.settle(committed=committed)
                if committed:
                    return unknown.done  # type: ignore[return-value]  # what `do` would have given
                raise self.place.failed("lost a COMMIT", unknown.error) from unknown
            except (psycopg.Error, OSError) as error:
                raise self.place.failed("cannot write", error) from error

    async def _decided(self, unknown: Unknown) -> bool:
        """Whether the transaction is committed; waiting callers are refused while nobody knows."""
        pause = 0.05
        while True:
            try:
                return await self._in_thread(
                    lambda: self._writer.decide(unknown.number), self._writing
                )
            except (psycopg.Error, OSError) as error:
                why = self.place.failed("does not say whether a COMMIT succeeded", error)
            self._committer.refuse(why)
            if self._committer.closing and pause >= LONGEST_PAUSE:
                raise why
            await trio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _watch(self) -> None:
        """Break connections that do not answer in time, so that their callers get an error."""
        while True:
            await trio.sleep(LATE)
            for link in self._links:
                link.sever_if_late()

    async def _in_thread(self, do: Callable[[], T], limiter: trio.CapacityLimiter) -> T:
        return await trio.to_thread.run_sync(do, limiter=limiter, abandon_on_cancel=False)

    async def _read(self, do: Callable[[Connection], T]) -> T:
        """Read once all earlier reports are written, including the batch being written now."""
        if not self._committer.idle:
            await self.flush()
        return await self._look(do)

    async def _look(self, do: Callable[[Connection], T]) -> T:
        with typed(self.place, "cannot be read"):
            return await self._in_thread(lambda: self._reader.call(do), self._reading)


def _log_end(trouble: Trouble, now: float) -> None:
    """Log once that a standby reads the database again after failures."""
    if (seconds := trouble.works(now, wrote=True, ends=True)) is not None:
        log_event(OUTBOX_WORKS, seconds=round(seconds, 3))
