"""Hands over rows in batches, each row exactly once even if a connection breaks.

This module waits for the server, on the connection that writes.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import attrs
import psycopg
import trio

from gateway_contrib.durable.committer import Trouble
from gateway_contrib.postgres.connections.connecting import Link
from gateway_contrib.postgres.connections.failing import Place, is_of_its_row
from gateway_contrib.postgres.producing import calls
from gateway_contrib.postgres.producing.calls import Connection, Handing
from gateway_contrib.postgres.sealing.handing import HandingKeys
from gateway_core.outboxes import OUTBOX_FAILED, OutboxError, log_event

T = TypeVar("T")

AT_ONCE = 500
"""Rows of one statement."""
LONGEST_PAUSE = 2.0
"""Seconds, at most, between two attempts to learn what became of a statement."""
LAST = 5.0
"""Seconds that closing may take to write rows that still wait."""


@attrs.define(eq=False)
class Pending:
    """A row that waits to be handed over, and its caller, who waits for that.

    left  whether the caller no longer waits
    """

    row: Handing
    done: trio.Event = attrs.field(factory=trio.Event)
    handed_id: str | None = None
    error: OutboxError | None = None
    left: bool = False

    def end(self, outcome: str | OutboxError) -> None:
        """The row is handed over with that id, or it is not, with the error that says why."""
        if isinstance(outcome, str):
            self.handed_id = outcome
        else:
            self.error = outcome
        self.done.set()


class HandingOver:
    """Hands over one member's rows, and decides what became of them if an answer is lost.

    If an answer is lost with its connection, the same tokens are handed over again. Until an answer
    comes, nobody knows whether the rows are stored, so their callers wait and others are refused.

    troubled  decides which failures are logged
    fails     whether the last attempt failed, and not because of its rows or the role
    """

    def __init__(
        self, link: Link, place: Place, member: UUID, keys: HandingKeys, troubled: Trouble
    ) -> None:
        self._link = link
        self._place = place
        self._member = member
        self._keys = keys
        self._limiter = trio.CapacityLimiter(1)
        self._pending: deque[Pending] = deque()
        self._leaving: deque[str] = deque()
        self._filled = trio.Event()
        self._trouble: OutboxError | None = None
        self._troubled = troubled
        self.fails = False
        self._closing = False
        self._sent = 0

    async def hand_over(self, row: Handing) -> str:
        """Hand the row over; returns its id. Raises `OutboxError`: it never will be handed over."""
        if self._closing:
            raise OutboxError(f"outbox {self._place} is closed")
        if self._trouble is not None:
            raise self._trouble
        pending = Pending(row)
        self._pending.append(pending)
        self._filled.set()
        try:
            await pending.done.wait()
        except trio.Cancelled:
            self._give_up(pending)
            raise
        if pending.error is not None:
            raise pending.error
        assert pending.handed_id is not None  # noqa: S101 - one of the two
        return pending.handed_id

    def _give_up(self, pending: Pending) -> None:
        """Drop the row, since its caller was cancelled."""
        pending.left = True
        if pending in self._pending:
            self._pending.remove(pending)
        elif pending.handed_id is not None:
            self.leave(pending.handed_id)

    def leave(self, handed_id: str) -> None:
        """Note that nobody waits for it any more; the owner learns of it in a moment."""
        self._leaving.append(handed_id)
        self._filled.set()

    async def call(self, do: Callable[[Connection], T]) -> T:
        """Call `do` between two batches; returns its result. Raises `psycopg.Error`."""
        return await trio.to_thread.run_sync(
            partial(self._link.call, do), limiter=self._limiter, abandon_on_cancel=False
        )

    # -- the task

    async def run(self) -> None:
        """Hand over until closed, and then the rows that are left."""
        with trio.CancelScope(shield=True):
            while not (self._closing and not self._pending and not self._leaving):
                await self._filled.wait()
                self._filled = trio.Event()
                await self._leave_all()
                while self._pending:
                    await self._hand_over_some()
                    await self._leave_all()

    def close(self) -> None:
        """Take nothing more."""
        self._closing = True
        self._filled.set()

    async def _hand_over_some(self) -> None:
        some = [self._pending.popleft() for _ in range(min(AT_ONCE, len(self._pending)))]
        await self._try(some)
        for each in some:
            if each.left and each.handed_id is not None:
                self.leave(each.handed_id)

    async def _try(self, some: Sequence[Pending], *, unknown: bool = False) -> None:
        """Hand these over, and tell their callers the outcome.

        unknown  whether an earlier attempt may have handed them over
        """
        pause, deadline = 0.05, trio.current_time() + LAST
        while True:
            self._sent = 0
            try:
                ids = await self.call(partial(self._send, some=some))
            except OutboxError as error:  # no key of this process is known to the owner
                self._end(some, [error] * len(some))
                return
            except (psycopg.Error, OSError) as error:
                unknown = unknown or self._sent > 1  # a connection broke, and a new one was tried
                rejected = bool(self._sent) and _is_answer(error, final=unknown)
                if rejected and len(some) > 1:
                    for each in some:
                        await self._try([each], unknown=unknown)
                    return
                unknown = unknown or bool(self._sent and not rejected)
                why = self._place.failed("cannot take messages", error)
                if rejected or not unknown or (self._closing and trio.current_time() > deadline):
                    if not _is_refusal(error):
                        self._note(why)
                    self._end(some, [why] * len(some))
                    return
                self._refuse(why)
            else:
                self.fails = False
                self._end(some, [ids[each.row.token] for each in some])
                return
            await trio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _end(self, some: Sequence[Pending], outcomes: Sequence[str | OutboxError]) -> None:
        """Tell the callers of these rows the outcomes, which are known now."""
        self._trouble = None
        for each, outcome in zip(some, outcomes, strict=True):
            each.end(outcome)

    def _send(self, connection: Connection, some: Sequence[Pending]) -> dict[Any, str]:
        if _is_readable(connection):  # the server has ended the idle connection, or says something
            connection.pgconn.consume_input()
        self._sent += 1
        rows = [each.row for each in some]
        return calls.hand_all(connection, self._member, rows, self._keys)

    def _refuse(self, why: OutboxError) -> None:
        """Refuse waiting and new rows while nobody knows what became of a batch."""
        self._trouble = why
        self._note(why)
        while self._pending:
            self._pending.popleft().end(why)

    def _note(self, why: OutboxError) -> None:
        """Note that the server fails; log it, but not each time."""
        self.fails = True
        if (times := self._troubled.fails(str(why), trio.current_time())) is not None:
            log_event(OUTBOX_FAILED, error=str(why), times=times)

    async def _leave_all(self) -> None:
        """Say which rows nobody waits for any more; try again if that could not be said."""
        pause, deadline = 0.05, trio.current_time() + LAST
        while self._leaving:
            some = list(self._leaving)
            try:
                await self.call(partial(calls.leave, handed_ids=some))
            except (psycopg.Error, OSError) as error:
                if self._pending or (self._closing and trio.current_time() > deadline):
                    if self._closing:
                        why = self._place.failed("was not told which waiters have left", error)
                        log_event(OUTBOX_FAILED, error=str(why))
                        self._leaving.clear()
                    return
                await trio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            else:
                for _ in some:
                    self._leaving.popleft()


def _is_readable(connection: Connection) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _is_refusal(error: Exception) -> bool:
    """Whether the server refuses these rows, this role or its keys, while it works for others."""
    if not isinstance(error, psycopg.Error):
        return False
    return is_of_its_row(error) or (error.sqlstate or "").startswith(("42", "GW"))


def _is_answer(error: Exception, *, final: bool) -> bool:
    """Whether the server has refused the statement, and not only ended the connection.

    final  count only refusals that would come each time; another one, such as a lock that an
           earlier attempt still holds, does not tell what becomes of that attempt
    """
    state = getattr(error, "sqlstate", None)
    if state is None or state.startswith(("57P", "08")):
        return False
    return not final or state.startswith(("22", "23", "42", "54"))
