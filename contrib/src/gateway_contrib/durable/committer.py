"""Group commit: reports fill a batch, one worker writes it, and the waiting callers are told.

While a commit runs, the next batch fills; it is written as soon as the commit has ended. So the
more callers there are, the more rows share one write to the disk. Batches are swapped on trio's
thread, inside a shield; then all callers that wait for the written batch are told, in order. If
fewer callers wait for the next batch, those that were told come first, since many of them have
another change at once: one large batch costs less than two small ones.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio

from gateway_contrib.durable.batch import WHOEVER_WAITS, Batch, Waiter
from gateway_contrib.durable.group_rows import Claim
from gateway_contrib.durable.rows import Row
from gateway_core.outboxes import OUTBOX_FAILED, OUTBOX_WORKS, OutboxError, log_event

LONGEST_PAUSE = 2.0
TURNS = 4
"""Turns of the loop, at most, in which callers that were just told may add to the next batch."""
COUNTED = 64
"""Changes that may come in before the batch's changes are counted anew."""
QUIET = 60.0
"""Seconds without a failure after which a new failure counts as a new trouble."""
MOST_CAUSES = 16
"""Causes of failures that are counted separately."""
POLL = 1.0
"""Seconds between two looks for operators' requests, and for history to forget."""


class Committer:
    """Holds the current batch, and has one batch after the other written.

    write   writes a batch; if it raises `OutboxError`, nothing of the batch is written
    queue   changes that may wait for the disk; a caller that adds more waits, in order
    linger  seconds that changes may wait for further ones if no caller waits for them

    failing  the parts of the outbox that fail now; None: nothing else writes or reads
    tending  decides which failures between the batches are logged
    closing  whether `close` was called
    """

    def __init__(
        self,
        write: Callable[[Batch], Awaitable[None]],
        *,
        queue: int,
        linger: float,
        failing: Failing | None = None,
    ) -> None:
        self._write = write
        self._queue = queue
        self._linger = linger
        self._filled = trio.Event()
        self._urgent = trio.Event()
        self._outside: deque[Waiter] = deque()
        self._places = 0
        self._called = False
        self.closing = False
        self._written: Batch | None = None
        self._told = 0
        self._dropped = False
        self._dead: OutboxError | None = None
        self._error: OutboxError | None = None
        self._trouble = Trouble(failing)
        self.tending = Trouble()
        self._clock = _RetryClock()
        self.batch = Batch()
        self.patience = POLL
        self.between: Callable[[], Awaitable[None]] | None = None

    async def run(self) -> None:
        """Commit batch after batch until it is closed and done, or closed and the disk fails.

        `between` is called after each batch, and every `patience` seconds. Only this task is
        shielded, not its nursery, since the code that has entered the outbox runs inside that.
        """
        with trio.CancelScope(shield=True):
            await self._on_and_on()

    async def _on_and_on(self) -> None:
        while not (self.closing and (self.batch.empty or self._clock.pause >= LONGEST_PAUSE)):
            await self._company()
            batch, self.batch = self.batch, Batch()
            self._filled, self._urgent = trio.Event(), trio.Event()
            self._places, self._called = 0, False
            self._let_in()
            self._written, self._dropped = batch, False
            error = await self._outcome(batch)
            self._written, self._told = None, len(batch.told)
            _tell(batch, error)
            self._error = error
            if error is None:
                self._clock = _RetryClock()
                self._works(wrote=len(batch) > 0)
                if self.between is not None:
                    await self.between()
                continue
            if not self._dropped:
                self._keep_rest(batch)
            self._refuse_outside(error)
            await self._pause(error)
        if self._error is None:
            self._works(wrote=False, ends=True)
        self._refuse_rest()

    async def _pause(self, error: OutboxError) -> None:
        """Pause after a failure, until the next attempt is due or a caller waits for one."""
        now = trio.current_time()
        self._clock.strike(now)
        if times := self._trouble.fails(str(error), now):
            waiting, wait = len(self.batch), self._clock.pause
            log_event(OUTBOX_FAILED, error=str(error), waiting=waiting, wait=wait, times=times)
        with trio.move_on_after(self._clock.at - now):
            if self.closing:
                await trio.sleep_forever()
            await self._urgent.wait()

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Log a failure of the disk outside the batches as theirs are; it is raised all the same.

        An `OutboxError` that has no cause is a refusal, and not a failure of the disk.
        """
        try:
            yield
        except OutboxError as error:
            failed = error.__cause__ is not None
            if failed and (times := self._trouble.fails(str(error), trio.current_time())):
                log_event(OUTBOX_FAILED, error=str(error), times=times)
            raise

    def _works(self, *, wrote: bool, ends: bool = False) -> None:
        """Nothing failed, so an alert of an earlier failure ends once something is written."""
        seconds = self._trouble.works(trio.current_time(), wrote=wrote, ends=ends)
        if seconds is not None:
            log_event(OUTBOX_WORKS, seconds=round(seconds, 3))

    async def _company(self) -> None:
        """Wait until a caller waits for the batch, or its changes have waited long enough.

        Then wait a few turns of the loop if most callers were told just now.
        """
        if self.batch.empty and not self.closing:
            with trio.move_on_after(self.patience if self.between is not None else math.inf):
                await self._filled.wait()
        if not self.batch.told and not self.closing and len(self.batch):
            with trio.move_on_after(self._linger):
                await self._urgent.wait()
        if 0 < (waiting := len(self.batch.told)) < self._told:
            for _ in range(TURNS):
                await trio.lowlevel.checkpoint()
                if len(self.batch.told) >= waiting + self._told:
                    break

    async def _outcome(self, batch: Batch) -> OutboxError | None:
        try:
            await self._write(batch)
        except OutboxError as error:
            return error
        return None

    def _keep_rest(self, batch: Batch) -> None:
        left = batch.left_over()
        left.follow(self.batch)
        self.batch = left

    def _let_in(self) -> None:
        """Move waiting callers into the batch, as many as it takes, in order of arrival."""
        batch = self.batch
        places = self._queue - len(batch) if self._outside else 0
        while self._outside and places > 0:
            waiter = self._outside.popleft()
            if waiter.task is None:  # cancelled just now, so `forget` will not find it
                batch.give_up(waiter)
                continue
            batch.take(waiter)
            places -= 1
            self._call()

    def refuse(self, error: OutboxError) -> None:
        """Refuse all callers that wait for the next batch; reports stay to be written."""
        batch, self.batch = self.batch, self.batch.left_over()
        self._places = 0
        _tell(batch, error)
        self._refuse_outside(error)

    def drop(self, error: OutboxError) -> None:
        """Drop all unwritten reports, and also those being written now if that write fails.

        All waiting callers get the error.
        """
        batch, self.batch = self.batch, Batch()
        self._places, self._dropped = 0, True
        _tell(batch, error)
        self._refuse_outside(error)

    def _refuse_outside(self, error: OutboxError) -> None:
        """Refuse callers that wait for a slot in the batch, since the disk takes nothing now."""
        for waiter in self._outside:
            if waiter.task is None:  # cancelled just now, as in `_let_in`
                self.batch.give_up(waiter)
            waiter.tell(error)
        self._outside.clear()

    def _refuse_rest(self) -> None:
        """Refuse and drop what is left: the gateway is closed, and the disk still takes nothing."""
        self._dead = OutboxError("the outbox is closed")
        if len(self.batch):
            why = f"closed, and its last {len(self.batch)} changes are lost: {self._error}"
            log_event(OUTBOX_FAILED, error=why, waiting=len(self.batch))
        _tell(self.batch, self._dead)
        self._refuse_outside(self._dead)

    @property
    def idle(self) -> bool:
        """Whether all reports are written."""
        return self.batch.empty and self._written is None

    @property
    def unwritten(self) -> tuple[Batch, ...]:
        """The batches with reports that are not on the disk yet."""
        return (self.batch,) if self._written is None else (self._written, self.batch)

    def wake(self, *, urgent: bool = False) -> None:
        """Note that the batch has a change; `urgent`: a caller waits for it."""
        if not self._filled.is_set():
            self._filled.set()
        if urgent and not self._urgent.is_set():
            self._urgent.set()

    def forget(self, waiter: Waiter) -> None:
        """Remove a caller that waited for a slot in the batch and was cancelled."""
        if waiter in self._outside:
            self._outside.remove(waiter)
            self.batch.give_up(waiter)

    def close(self) -> None:
        """Write the changes that there are, and then stop."""
        self.closing = True
        self.wake(urgent=True)

    def check_alive(self) -> None:
        """Raises `OutboxError` if nothing is written any more."""
        if self._dead is not None:
            raise self._dead

    async def written(self, seq: int = WHOEVER_WAITS) -> None:
        """Wait until the current batch is written. Raises `OutboxError` if it is not.

        seq  the number of the entry that a report was about; raises as well if that is refused
        """
        waiter = Waiter(trio.lowlevel.current_task(), of=seq)
        self.batch.take(waiter)
        self._call()
        await trio.lowlevel.wait_task_rescheduled(waiter.give_up)

    async def stored(
        self,
        row: Row | None,
        key: Row | None,
        then: Callable[[], None],
        claim: Claim | None = None,
    ) -> None:
        """Put an entry into a batch, and return once it is written. Raises as `add` says."""
        waiter = self.add(row, key, then, claim)
        try:
            await trio.lowlevel.wait_task_rescheduled(waiter.give_up)
        except trio.Cancelled:
            self.forget(waiter)
            raise

    def add(
        self,
        row: Row | None,
        key: Row | None,
        then: Callable[[], None],
        claim: Claim | None = None,
    ) -> Waiter:
        """Put an entry into a batch that has space for it; the current task must wait at once.

        Without a row, it is the group that the claim names. Entries are put in in the order of the
        calls. `then` is called once the entry is written, unless the task was cancelled. Raises
        `OutboxError`; the wait raises it if the batch is not written or the claim cannot be met.
        """
        if self._dead is not None:
            raise self._dead
        waiter = Waiter(trio.lowlevel.current_task(), then, row, key, claim)
        if not self._outside and self._has_place():
            self.batch.take(waiter)
        else:
            self._outside.append(waiter)
        self._call()
        return waiter

    def _call(self) -> None:
        """Wake the worker, since a caller waits; once for each batch is enough."""
        if not self._called:
            self._called = True
            self.wake(urgent=True)

    def _has_place(self) -> bool:
        """Whether the batch takes one more; counted only now and then, since that is costly."""
        if self._places <= 0:
            self._places = min(COUNTED, self._queue - len(self.batch))
        self._places -= 1
        return self._places >= 0


class _RetryClock:
    """When writing is tried again after a failure even if no caller waits.

    pause  seconds between the last two such attempts; at  the next one, in trio's time
    """

    def __init__(self) -> None:
        self.pause = 0.0
        self.at = -math.inf

    def strike(self, now: float) -> None:
        """Note a failure; if the attempt was due by this clock, the next one comes after longer."""
        if now >= self.at:
            self.pause = min(LONGEST_PAUSE, max(0.05, self.pause * 2))
            self.at = now + self.pause


class Failing:
    """The parts of one outbox that fail now, each with its `Trouble`. Sans-I/O.

    parts  those parts
    since  when the first of them failed; of no meaning while none fails
    """

    def __init__(self) -> None:
        self.parts: set[Trouble] = set()
        self.since = -math.inf

    def add(self, part: Trouble, now: float) -> None:
        """Note a part that fails from now on."""
        if not self.parts:
            self.since = now
        self.parts.add(part)


class Trouble:
    """Decides which failures of a disk are logged, however often it is tried. Sans-I/O.

    The first failure is logged at once, then the 10th, 100th and so on of one cause, and once that
    the disk works again. A full disk may take small writes between two failures. So if it failed
    again within `QUIET` seconds, it counts as working only after as many seconds without a failure.

    failing  the parts of the outbox that fail now: it works again once all of them do. None: this
             is its only part
    """

    def __init__(self, failing: Failing | None = None) -> None:
        self._failing = Failing() if failing is None else failing
        self._began: float | None = None
        self._failed = -math.inf
        self._worked: float | None = None
        self._again = False
        self._times: dict[str, int] = {}

    def fails(self, cause: str, now: float) -> int | None:
        """How many times it has failed for that cause; None: this failure is not to be logged."""
        if now - self._failed >= QUIET or len(self._times) >= MOST_CAUSES:
            self._times.clear()
        first = self._began is None
        if first:
            self._began, self._again = now, now - self._failed < QUIET
            self._failing.add(self, now)
        self._failed, self._worked = now, None
        self._times[cause] = times = self._times.get(cause, 0) + 1
        return times if first or str(times).strip("0") == "1" else None

    def works(self, now: float, *, wrote: bool, ends: bool) -> float | None:
        """For how many seconds it did not work; None: it is not to be logged that it works again.

        wrote  something was written; ends: nothing is tried any more
        """
        if self._worked is None and wrote:
            self._worked = now
        if self._began is None or self._worked is None:
            return None
        if self._again and not ends and now - self._failed < QUIET:
            return None
        self._began = None
        self._failing.parts.discard(self)
        return None if self._failing.parts else self._worked - self._failing.since


def _tell(batch: Batch, error: OutboxError | None) -> None:
    refused = batch.refused if error is None else None
    for waiter in batch.told:
        waiter.tell(refused.get(waiter.seq) if refused else error)
