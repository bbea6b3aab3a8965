"""Group commit: what is told fills a batch, one worker writes it, and all who wait hear of it.

While a commit runs the next batch fills, and it begins as soon as the one before has ended: the
more callers, the more rows share one write to the disk. The batch is swapped on trio's thread,
inside a shield; then everybody who waits is told, in order.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable

import trio

from gateway_contrib.durable.batch import WHOEVER_WAITS, Batch, Waiter
from gateway_contrib.durable.group_rows import Claim
from gateway_contrib.durable.rows import Row
from gateway_core.outboxes import OUTBOX_FAILED, OUTBOX_WORKS, OutboxError, log_event

LONGEST_PAUSE = 2.0
COUNTED = 64
"""Changes that may come in before what the batch has is counted anew."""
QUIET = 60.0
"""Seconds without a failure after which failures are no longer those of the trouble before."""
MOST_CAUSES = 16
"""Causes of failures that are told apart."""
POLL = 1.0
"""Seconds between two looks for what operators ask, and for history to forget."""


class Committer:
    """Holds the present batch and has one after the other written.

    write   writes a batch; raises `OutboxError`: then nothing of it is written
    queue   changes that may wait for the disk; whoever adds more than that waits, in order
    linger  seconds that changes which nobody awaits may wait for company

    tending  what the log hears of failures between the batches
    closing  whether `close` was called
    """

    def __init__(
        self, write: Callable[[Batch], Awaitable[None]], *, queue: int, linger: float
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
        self._dropped = False
        self._dead: OutboxError | None = None
        self._error: OutboxError | None = None
        self._trouble = Trouble()
        self.tending = Trouble()
        self._clock = _RetryClock()
        self.batch = Batch()
        self.patience = POLL
        self.between: Callable[[], Awaitable[None]] | None = None

    async def run(self) -> None:
        """Commit batch after batch until closed and done, or closed and the disk takes no more.

        `between` is called after each, and every `patience` seconds. This task is shielded, not the
        nursery that it is in: whoever has entered the outbox is inside that.
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
            self._written = None
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
        """Until the disk's turn comes again, or somebody waits for it: they are told at once."""
        now = trio.current_time()
        self._clock.strike(now)
        if times := self._trouble.fails(str(error), now):
            waiting, wait = len(self.batch), self._clock.pause
            log_event(OUTBOX_FAILED, error=str(error), waiting=waiting, wait=wait, times=times)
        with trio.move_on_after(self._clock.at - now):
            if self.closing:
                await trio.sleep_forever()
            await self._urgent.wait()

    def _works(self, *, wrote: bool, ends: bool = False) -> None:
        """Nothing failed, so that an alert of what failed before ends once something is written."""
        seconds = self._trouble.works(trio.current_time(), wrote=wrote, ends=ends)
        if seconds is not None:
            log_event(OUTBOX_WORKS, seconds=round(seconds, 3))

    async def _company(self) -> None:
        """Until there is something that somebody awaits, or something has waited long enough."""
        if self.batch.empty and not self.closing:
            with trio.move_on_after(self.patience if self.between is not None else math.inf):
                await self._filled.wait()
        if not self.batch.told and not self.closing and len(self.batch):
            with trio.move_on_after(self._linger):
                await self._urgent.wait()

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
        """As many as the batch takes, in the order in which they came."""
        batch = self.batch
        places = self._queue - len(batch) if self._outside else 0
        while self._outside and places > 0:
            waiter = self._outside.popleft()
            if waiter.task is not None:
                batch.take(waiter)
                places -= 1
                self._call()

    def refuse(self, error: OutboxError) -> None:
        """Whoever waits for the next batch waits no longer; what is told stays to be written."""
        batch, self.batch = self.batch, self.batch.left_over()
        self._places = 0
        _tell(batch, error)
        self._refuse_outside(error)

    def drop(self, error: OutboxError) -> None:
        """Nothing that was told is to be written any more, nor what is being written if it fails.

        Whoever waits hears the error.
        """
        batch, self.batch = self.batch, Batch()
        self._places, self._dropped = 0, True
        _tell(batch, error)
        self._refuse_outside(error)

    def _refuse_outside(self, error: OutboxError) -> None:
        """Who waits for a room in the batch waits for the disk: that takes nothing now."""
        for waiter in self._outside:
            waiter.tell(error)
        self._outside.clear()

    def _refuse_rest(self) -> None:
        """The gateway is closed, and the disk still does not take what is left."""
        self._dead = OutboxError("the outbox is closed")
        if len(self.batch):
            why = f"closed, and its last {len(self.batch)} changes are lost: {self._error}"
            log_event(OUTBOX_FAILED, error=why, waiting=len(self.batch))
        _tell(self.batch, self._dead)
        self._refuse_outside(self._dead)

    @property
    def idle(self) -> bool:
        """Whether all that was told is written."""
        return self.batch.empty and self._written is None

    @property
    def unwritten(self) -> tuple[Batch, ...]:
        """What was told and is not on the disk yet."""
        return (self.batch,) if self._written is None else (self._written, self.batch)

    def wake(self, *, urgent: bool = False) -> None:
        """There is something in the batch; `urgent`: somebody waits for it."""
        if not self._filled.is_set():
            self._filled.set()
        if urgent and not self._urgent.is_set():
            self._urgent.set()

    def forget(self, waiter: Waiter) -> None:
        """Who waited was cancelled."""
        if waiter in self._outside:
            self._outside.remove(waiter)
            self.batch.give_up(waiter)

    def close(self) -> None:
        """Write what there is, and no more."""
        self.closing = True
        self.wake(urgent=True)

    def check_alive(self) -> None:
        """Raises `OutboxError` where nothing is written any more."""
        if self._dead is not None:
            raise self._dead

    async def written(self, seq: int = WHOEVER_WAITS) -> None:
        """Wait for the present batch. Raises `OutboxError` where it is not written.

        seq  of the entry of which something was told: raises as well where that is refused
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
        """Put an entry into a batch that has room for it; the present task waits for it at once.

        Without a row it is the group that has the claim. That is done in the order of the calls,
        and `then` once it is written; cancelled, it is not. Raises `OutboxError`, as the wait does
        where the batch is not written, or the claim cannot be met.
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
        """Somebody waits. Of a batch, one call is enough."""
        if not self._called:
            self._called = True
            self.wake(urgent=True)

    def _has_place(self) -> bool:
        """Whether the batch takes one more: counted now and then, which costs more than to add."""
        if self._places <= 0:
            self._places = min(COUNTED, self._queue - len(self.batch))
        self._places -= 1
        return self._places >= 0


class _RetryClock:
    """When a disk that takes nothing is asked again though nobody waits for it.

    pause  seconds between the two last turns; at  the next one, in trio's time
    """

    def __init__(self) -> None:
        self.pause = 0.0
        self.at = -math.inf

    def strike(self, now: float) -> None:
        """It failed; if it was the disk's turn, the next one comes later than this did."""
        if now >= self.at:
            self.pause = min(LONGEST_PAUSE, max(0.05, self.pause * 2))
            self.at = now + self.pause


class Trouble:
    """What the log hears of a disk that takes nothing, however often it is asked. Sans-I/O.

    The first failure at once, then of one cause the 10th, 100th and so on; and once that it works.
    A full disk may take what is small between two failures. If it failed again within `QUIET`
    seconds, it is said to work only after as many seconds without a failure.
    """

    def __init__(self) -> None:
        self._began: float | None = None
        self._failed = -math.inf
        self._worked: float | None = None
        self._again = False
        self._times: dict[str, int] = {}

    def fails(self, cause: str, now: float) -> int | None:
        """How many times it has failed for that cause, where the log is to hear of it."""
        if now - self._failed >= QUIET or len(self._times) >= MOST_CAUSES:
            self._times.clear()
        first = self._began is None
        if first:
            self._began, self._again = now, now - self._failed < QUIET
        self._failed, self._worked = now, None
        self._times[cause] = times = self._times.get(cause, 0) + 1
        return times if first or str(times).strip("0") == "1" else None

    def works(self, now: float, *, wrote: bool, ends: bool) -> float | None:
        """For how many seconds it did not, where the log is to hear that it works again.

        wrote  something was written; ends: nobody asks any more
        """
        if self._worked is None and wrote:
            self._worked = now
        if self._began is None or self._worked is None:
            return None
        if self._again and not ends and now - self._failed < QUIET:
            return None
        seconds = self._worked - self._began
        self._began = None
        return seconds


def _tell(batch: Batch, error: OutboxError | None) -> None:
    refused = batch.refused if error is None else None
    for waiter in batch.told:
        waiter.tell(refused.get(waiter.seq) if refused else error)
