"""The outbox in a database file: group commit in one worker thread, one owner at a time.

Whatever is told goes into the present batch. The committer swaps the batch on trio's thread, has
the worker thread write it inside a shield, and then tells everybody who waits, in order. While a
commit runs the next batch fills: the more callers, the more rows share one write to the disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import time as system_time
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import apsw
import attrs
import structlog
import trio
from outcome import Error, capture

from gateway_contrib.sqlite.batch import Batch
from gateway_contrib.sqlite.failing import logged, typed, unreadable
from gateway_contrib.sqlite.ownership import Ownership, refusal
from gateway_contrib.sqlite.reading import Reader
from gateway_contrib.sqlite.requests import Desk
from gateway_contrib.sqlite.rows import end_row, entry_row, record_row, revision_row, shapes_text
from gateway_contrib.sqlite.writing import Writer, connect
from gateway_core import (
    Entry,
    Found,
    Kept,
    OutboxError,
    Overdue,
    Receipt,
    Recovery,
    Request,
    StepRecord,
    StepShape,
    frees_its_key,
    position_of,
    scope_of,
)

T = TypeVar("T")
log: Any = structlog.get_logger("gateway")

LONGEST_PAUSE = 2.0
POLL = 1.0
"""Seconds between two looks for what operators ask, and for history to forget."""


@attrs.frozen(kw_only=True)
class SqliteSettings:
    """How the file is used.

    synchronous        `FULL`: what is accepted survives a power cut; `NORMAL`: a killed process
    integrity_check    look through the whole file when it is opened
    owner_wait         seconds to wait for the present owner to leave, before being refused
    history_for        seconds for which ended envelopes are remembered
    key_window         seconds for which an ended envelope's idempotency key is remembered
    queue              changes that may wait for the disk; further appends wait
    linger             seconds that changes which nobody awaits may wait for company
    in_thread          commit in a worker thread; else on trio's, for virtual worlds
    """

    synchronous: Literal["FULL", "NORMAL"] = attrs.field(
        default="FULL", validator=attrs.validators.in_(("FULL", "NORMAL"))
    )
    integrity_check: bool = False
    owner_wait: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    history_for: float = attrs.field(default=604_800.0, validator=attrs.validators.ge(0))
    key_window: float = attrs.field(default=86_400.0, validator=attrs.validators.ge(0))
    queue: int = attrs.field(default=4_096, validator=attrs.validators.ge(1))
    linger: float = attrs.field(default=0.02, validator=attrs.validators.ge(0))
    in_thread: bool = True


class SqliteOutbox:
    """Keeps entries in the database file at `path`; made at first use, never made anew.

    Entering it raises `OutboxError` where the file is damaged, is not an outbox, was written by a
    later release, cannot be opened, or has another owner.
    """

    durable = True

    def __init__(
        self,
        path: Path | str,
        settings: SqliteSettings = SqliteSettings(),
        *,
        wall_clock: Callable[[], float] | None = None,
    ) -> None:
        self.path = Path(path)
        self.settings = settings
        self._requested: Callable[[Request], None] | None = None
        self._wall = wall_clock or system_time
        self._batch = Batch()
        self._filled = trio.Event()
        self._urgent = trio.Event()
        self._room = trio.lowlevel.ParkingLot()
        self._closing = False
        self._dead: OutboxError | None = None
        self._stack = ExitStack()
        self._writing = trio.CapacityLimiter(1)
        self._reading = trio.CapacityLimiter(1)
        self._tasks: Any = None

    @property
    def requested(self) -> Callable[[Request], None] | None:
        """Who does what operators ask; until somebody does, nobody looks for it."""
        return self._requested

    @requested.setter
    def requested(self, told: Callable[[Request], None] | None) -> None:
        self._requested = told
        self._wake(urgent=False)  # the committer may be waiting without a limit

    # -- opening and closing

    async def __aenter__(self) -> Self:
        self.__init__(self.path, self.settings, wall_clock=self._wall)  # type: ignore[misc]  # a life of its own each time
        try:
            await self._own()
            with typed(f"outbox {self.path} cannot be opened"):
                await self._in_thread(self._open, self._writing)
        except BaseException:
            self._stack.close()
            raise
        self._tasks = trio.open_nursery()
        nursery = await self._tasks.__aenter__()
        nursery.cancel_scope.shield = True
        nursery.start_soon(self._commit_on_and_on)
        return self

    async def _own(self) -> None:
        """Become the owner, waiting for the present one as long as is allowed."""
        ownership = Ownership(self.path)
        deadline = trio.current_time() + self.settings.owner_wait
        while True:
            with typed(f"outbox {self.path} cannot be opened"):
                owner = ownership.take()
            if owner is None:
                self._stack.callback(ownership.give_back)
                return
            if trio.current_time() >= deadline:
                raise refusal(self.path, owner)
            await trio.sleep(0.1)

    def _open(self) -> None:
        connection = connect(self.path, synchronous=self.settings.synchronous)
        self._stack.callback(connection.close)
        if self.settings.integrity_check:
            found = connection.execute("PRAGMA integrity_check(1)").get
            if found != "ok":
                raise OutboxError(f"outbox {self.path} is damaged: {found}")
        self._reader = Reader(self.path, unreadable)
        self._stack.callback(self._reader.close)
        self._glance = Reader(self.path, unreadable)
        self._stack.callback(self._glance.close)
        self._writer = Writer(connection)
        self._desk = Desk(connection)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing = True
        self._wake(urgent=True)
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            with logged("gateway.outbox_failed"):
                self._stack.close()

    # -- the committer

    async def _commit_on_and_on(self) -> None:
        pause = 0.0
        while not (self._closing and (self._batch.empty or pause >= LONGEST_PAUSE)):
            await self._company()
            batch, self._batch = self._batch, Batch()
            self._filled, self._urgent = trio.Event(), trio.Event()
            self._room.unpark(count=self.settings.queue)
            error = await self._committed(batch)
            for told in batch.told:
                told(error)
            if error is None:
                pause = 0.0
                await self._look_after()
                continue
            pause = min(LONGEST_PAUSE, max(0.05, pause * 2))
            left = batch.left_over()
            left.follow(self._batch)
            self._batch = left
            log.error("gateway.outbox_failed", error=str(error), waiting=len(left), wait=pause)
            await trio.sleep(pause)
        self._refuse_rest()

    async def _company(self) -> None:
        """Until there is something that somebody awaits, or something has waited long enough."""
        if self._batch.empty and not self._closing:
            with trio.move_on_after(POLL if self.requested is not None else math.inf):
                await self._filled.wait()
        if not self._batch.told and not self._closing and len(self._batch):
            with trio.move_on_after(self.settings.linger):
                await self._urgent.wait()

    async def _committed(self, batch: Batch) -> OutboxError | None:
        failure = None
        try:
            with typed("the outbox cannot write"):
                await self._in_thread(lambda: self._writer.commit(batch), self._writing)
        except OutboxError as error:
            failure = error
        return failure

    def _refuse_rest(self) -> None:
        """The gateway is closed, and the disk still does not take what is left."""
        self._dead = OutboxError("the outbox is closed")
        if len(self._batch):
            log.error("gateway.outbox_failed", error="closed", waiting=len(self._batch))
        for told in self._batch.told:
            told(self._dead)

    async def _look_after(self) -> None:
        """Now and then: do what operators asked, forget what is old."""
        if self.requested is None or not self._desk.due(trio.current_time(), POLL):
            return
        wall = self._wall()
        old = (wall - self.settings.history_for, wall - self.settings.key_window)
        with logged("gateway.outbox_failed"):
            asked = await self._in_thread(lambda: self._desk.serve(wall, *old), self._writing)
            for request in asked:
                self.requested(request)

    async def _in_thread(self, do: Callable[[], T], limiter: trio.CapacityLimiter) -> T:
        if not self.settings.in_thread:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return do()
        return await trio.to_thread.run_sync(do, limiter=limiter, abandon_on_cancel=False)

    def _wake(self, *, urgent: bool) -> None:
        self._filled.set()
        if urgent:
            self._urgent.set()

    # -- what the gateway tells

    async def claim(self, partitions: Sequence[int]) -> Sequence[int]:
        """All of them: the file is owned whole, from its opening on."""
        await trio.lowlevel.checkpoint()
        return partitions

    async def append(self, entry: Entry, kept: Callable[[], None]) -> None:
        """Keep the entry; returns once it is on the disk."""
        if self._room or len(self._batch) >= self.settings.queue:
            await self._room.park()
        self._check_alive()
        seq = position_of(entry.id)
        batch = self._batch
        batch.entries[seq] = entry_row(entry, seq)
        scope = scope_of(entry.envelope)
        if scope is not None:
            batch.keys[seq] = (*scope, seq, None)
        try:
            await self._told(kept)
        except trio.Cancelled:
            self.withdraw(entry.id)
            raise

    async def _told(self, then: Callable[[], None] = lambda: None) -> None:
        """Wait for the present batch; `then` runs in order with the others' of the batch.

        Cancelled, it does not run.
        """
        task: trio.lowlevel.Task | None = trio.lowlevel.current_task()

        def told(error: OutboxError | None) -> None:
            if task is not None:
                result = Error(error) if error is not None else capture(then)
                trio.lowlevel.reschedule(task, result)

        def abort(_: object) -> trio.lowlevel.Abort:
            nonlocal task
            task = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._batch.told.append(told)
        self._wake(urgent=True)
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _check_alive(self) -> None:
        if self._dead is not None:
            raise self._dead

    async def flush(self) -> None:
        """Wait until all that was told is on the disk. Raises `OutboxError`."""
        self._check_alive()
        await self._told()

    def withdraw(self, envelope_id: str) -> None:
        """Forget the entry."""
        self._batch.forget(position_of(envelope_id))
        self._wake(urgent=False)

    def classed(self, envelope_id: str, priority: str, deadline: float) -> None:
        """Written with the next batch."""
        seq = position_of(envelope_id)
        self._batch.classes[seq] = (seq, priority, deadline)
        self._wake(urgent=False)

    def entered(self, envelope_id: str, position: int) -> None:
        """A scheduled entry has its place now."""
        seq = position_of(envelope_id)
        self._batch.entered[seq] = (seq, position)
        self._wake(urgent=False)

    def replanned(self, envelope_id: str, shapes: Sequence[StepShape]) -> None:
        """The entry's steps, all of them."""
        seq = position_of(envelope_id)
        self._batch.shapes[seq] = (seq, shapes_text(shapes))
        self._wake(urgent=False)

    async def attempt_started(self, envelope_id: str, record: StepRecord) -> None:
        """Returns once it is on the disk."""
        self._check_alive()
        self._batch.step(record_row(position_of(envelope_id), record), started=True)
        await self._told()

    def attempt_ended(self, envelope_id: str, record: StepRecord) -> None:
        """Written with the next batch."""
        self._batch.step(record_row(position_of(envelope_id), record), started=False)
        self._wake(urgent=False)

    def acknowledged(self, envelope_id: str, record: StepRecord) -> None:
        """Written with the next batch."""
        self.attempt_ended(envelope_id, record)

    def finished(self, receipt: Receipt) -> None:
        """Written with the next batch."""
        seq = position_of(receipt.envelope_id)
        self._batch.end(end_row(seq, receipt), frees=frees_its_key(receipt))
        if receipt.ref is not None and receipt.ref.revision:
            ref = receipt.ref
            self._batch.revisions[ref.envelope_id] = revision_row(ref, receipt.ended_at)
        self._wake(urgent=False)

    def moved(self, instance_id: str, room: str, moved_to: str) -> None:
        """Written with the next batch."""
        self._batch.moves[instance_id, room] = (instance_id, room, moved_to)
        self._wake(urgent=False)

    async def erase(self, request: Request, in_flight: int) -> None:
        """Everything of a room, and the answer to who asked for it."""
        await self.flush()
        wall = self._wall()
        with typed("the outbox cannot erase"):
            await self._in_thread(lambda: self._desk.erase(request, in_flight, wall), self._writing)

    # -- what the gateway asks

    async def recover(self) -> Recovery:
        """What earlier lives left."""
        return await self._read(self._reader.recovery)

    async def page(
        self, instance_id: str, *, room: str | None = None, after: int = -1, limit: int = 1000
    ) -> Sequence[Kept]:
        """Of an instance or a room, by position."""
        if room is not None:
            await self._file()
        return await self._read(lambda: self._reader.page(instance_id, room, after, limit))

    async def scheduled(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Sequence[Kept]:
        """By their times."""
        return await self._read(lambda: self._reader.scheduled(until, after, limit))

    async def overdue(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Overdue:
        """By their deadlines."""
        await self._file()
        return await self._read(lambda: self._reader.overdue(until, after, limit))

    async def find(self, what: str | tuple[str, str, str, str]) -> Found | None:
        """By id or key."""
        since = self._wall() - self.settings.key_window
        with typed("the outbox cannot read"):
            return await self._in_thread(lambda: _found(self._reader, what, since), self._reading)

    def peek(self, what: str | tuple[str, str, str, str]) -> Found | None:
        """The same at once, of what is committed: a look-up on this machine's disk."""
        try:
            return _find(self._glance, what, self._wall() - self.settings.key_window)
        except apsw.Error:  # the worker thread's own reads and writes tell of it
            return None

    async def _file(self) -> None:
        """Put all that is there into the indexes by room and by deadline."""
        if not self._batch.empty:
            await self.flush()
        with typed("the outbox cannot write"):
            while await self._in_thread(self._writer.file, self._writing):
                pass

    async def _read(self, do: Callable[[], T]) -> T:
        """After all that was told before."""
        if not self._batch.empty:
            await self.flush()
        with typed("the outbox cannot read"):
            return await self._in_thread(do, self._reading)


def _find(reader: Reader, what: str | tuple[str, str, str, str], since: float) -> Found | None:
    if not isinstance(what, str):
        return reader.find_key(what, since)
    try:
        found = reader.find(position_of(what))
    except ValueError:  # not an id at all
        return None
    return found if found is not None and found.envelope_id == what else None


def _found(reader: Reader, what: str | tuple[str, str, str, str], since: float) -> Found | None:
    """The same, and what edits made of a message."""
    found = _find(reader, what, since)
    newest = reader.newest(what) if isinstance(what, str) else None
    if newest is None:
        return found
    return attrs.evolve(found or Found(envelope_id=str(what)), newest=newest)
