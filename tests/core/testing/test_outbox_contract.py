"""The contract of outboxes finds engines with a mistake, and passes one whose store is far away."""

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from gateway_core import OutboxError
from gateway_core.testing import MemoryOutbox
from gateway_core.testing.outbox_contract import Entries, StoreContract


class Far(MemoryOutbox):
    """One whose store may be full, or not answer; whoever waits for it has turns in order."""

    full = False

    def __init__(self):
        super().__init__()
        self.answers = trio.Event()
        self.answers.set()
        self._turn = trio.Lock()

    async def append(self, entry, on_stored):
        self._check()
        await super().append(entry, lambda: None)
        async with self._turn:
            await self.answers.wait()
            on_stored()

    async def attempt_started(self, envelope_id, record):
        self._check()
        await super().attempt_started(envelope_id, record)
        await self.answers.wait()

    def _check(self):
        if self.full:
            raise OutboxError("the store is full")


class Contract(StoreContract):
    @pytest.fixture(autouse=True)
    def far(self):
        self.outbox = Far()

    @asynccontextmanager
    async def process_run(self):
        async with self.outbox:
            yield self.outbox

    killed_run = process_run  # it has all that it was told

    @asynccontextmanager
    async def filled(self, outbox):
        outbox.full = True
        yield
        outbox.full = False

    @asynccontextmanager
    async def stalled(self, outbox):
        outbox.answers = trio.Event()
        yield
        outbox.answers.set()


class TestFar(Contract):
    """What is right passes."""


# -- mistakes


class KeepsWhatItRefused(Far):
    async def append(self, entry, on_stored):
        await MemoryOutbox.append(self, entry, lambda: None)
        self._check()
        on_stored()


class AcceptsWhatItRefused(Far):
    async def append(self, entry, on_stored):
        if self.full:
            on_stored()
        await super().append(entry, on_stored)


class ForgetsEndsAsItIsFull(Far):
    def finished(self, receipt):
        if not self.full:
            super().finished(receipt)


class ForgetsTheFirstEnd(Far):
    forgotten = False

    def finished(self, receipt):
        if self.forgotten:
            super().finished(receipt)
        self.forgotten = True


class RecordsWhatItRefused(Far):
    async def attempt_started(self, envelope_id, record):
        await MemoryOutbox.attempt_started(self, envelope_id, record)
        self._check()


class TellsTwice(Far):
    async def append(self, entry, on_stored):
        await super().append(entry, on_stored)
        on_stored()


class TellsInNoOrder(Far):
    async def append(self, entry, on_stored):
        await MemoryOutbox.append(self, entry, lambda: None)
        self.waiting = [on_stored, *getattr(self, "waiting", [])]
        await self.answers.wait()
        while self.waiting:
            self.waiting.pop(0)()


class TellsTooEarly(Far):
    async def append(self, entry, on_stored):
        on_stored()
        await super().append(entry, lambda: None)


class EndsInNoOrder(Far):
    def finished(self, receipt):
        super().finished(receipt)
        self._numbered.sort()


class WithdrawsNothing(Far):
    def withdraw(self, envelope_id):
        """It is there already."""


class WithdrawsHalf(Far):
    def withdraw(self, envelope_id):
        self._order.remove((self._rows[envelope_id].position, envelope_id))


class WritesAfterAll(Far):
    """What a caller who gave up had asked for is written at last, after what was told meanwhile."""

    async def append(self, entry, on_stored):
        await self._at_last(MemoryOutbox.append(self, entry, lambda: None))
        on_stored()

    async def attempt_started(self, envelope_id, record):
        await self._at_last(MemoryOutbox.attempt_started(self, envelope_id, record))

    async def _at_last(self, writing):
        try:
            await self.answers.wait()
        except trio.Cancelled:
            trio.lowlevel.spawn_system_task(self._late, writing)
            raise
        await writing

    async def _late(self, writing):
        await self.answers.wait()
        await writing

    async def __aexit__(self, *error):
        await trio.testing.wait_all_tasks_blocked()


FULL = StoreContract.test_of_what_a_full_store_refused_nothing_is_there_later
TOLD = StoreContract.test_what_a_full_store_was_told_is_there_once_it_has_room
KILLED = StoreContract.test_killed_as_its_store_is_full_it_has_the_beginning_of_what_it_was_told
SLOW = StoreContract.test_a_slow_store_answers_each_caller_once_and_in_order
LATE = StoreContract.test_an_append_that_is_answered_after_its_caller_gave_up_is_not_there
HALF = StoreContract.test_killed_after_a_caller_gave_up_its_entry_is_whole_or_not_there
BEGUN = StoreContract.test_an_attempt_that_is_recorded_after_its_caller_gave_up_has_not_begun


@pytest.mark.parametrize(
    ("engine", "test", "more"),
    [
        (KeepsWhatItRefused, FULL, ()),
        (AcceptsWhatItRefused, FULL, ()),
        (ForgetsEndsAsItIsFull, TOLD, ()),
        (RecordsWhatItRefused, TOLD, ()),
        (RecordsWhatItRefused, KILLED, ()),
        (ForgetsTheFirstEnd, KILLED, ()),
        (TellsTwice, SLOW, ()),
        (TellsInNoOrder, SLOW, ()),
        (TellsTooEarly, SLOW, ()),
        (EndsInNoOrder, SLOW, ()),
        (WithdrawsNothing, LATE, ("process_run",)),
        (WritesAfterAll, LATE, ("killed_run",)),
        (WithdrawsHalf, HALF, ()),
        (WritesAfterAll, BEGUN, ("attempt_ended",)),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_an_engine_with_a_mistake_is_found(engine, test, more):
    contract, found = Contract(), []
    contract.outbox = engine()
    hook = contract.filled if test in (FULL, TOLD, KILLED) else contract.stalled
    try:
        with trio.fail_after(5):
            await test(contract, Entries(), hook, *more)
    except* AssertionError as failed:
        found.append(failed)
    assert found
