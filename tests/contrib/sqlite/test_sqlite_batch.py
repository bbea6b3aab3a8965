"""What waits to be written, and what a failed commit leaves of it for the next."""

from __future__ import annotations

from contextlib import suppress

import attrs
import pytest
import trio
import trio.testing

from gateway_contrib.durable.batch import Batch, Waiter
from gateway_contrib.durable.committer import Committer, Failing, Trouble
from gateway_contrib.durable.group_rows import Claim
from gateway_core import OutboxError

BEGAN = (7, 0, 1, 1, 0, 0, "", 5.0, 0.0, None, None)
"""Position, serial, number of the try, whether it began, …"""
NEVER_BEGAN = (7, 0, 0, 0, 0, 0, "", 5.0, 0.0, None, None)


class Disk:
    """Takes a second to write a batch, and does not take the first ones."""

    def __init__(self, *, failures: int) -> None:
        self.failures = failures
        self.batches: list[Batch] = []
        self.meanwhile = lambda: None

    async def write(self, batch: Batch) -> None:
        await trio.sleep(1)
        self.meanwhile()
        if self.failures:
            self.failures -= 1
            raise OutboxError("the disk is full")
        self.batches.append(batch)


def ended(seq):
    return (seq, "expired", "", "", 1.0, "{}")


@pytest.fixture
async def disk(nursery):
    return Disk(failures=1)


@pytest.fixture
async def committer(disk, nursery):
    committer = Committer(disk.write, queue=100, linger=0.0)
    nursery.start_soon(committer.run)
    yield committer
    committer.close()


def test_an_outbox_works_again_once_all_its_parts_do():
    """And not while one of them fails, although another one works again."""
    failing = Failing()
    writes, reads = Trouble(failing), Trouble(failing)
    assert 1 == reads.fails("no connection", 10.0)
    assert 1 == writes.fails("no connection", 12.0)
    assert reads.works(15.0, wrote=True, ends=False) is None
    assert writes.fails("read-only", 16.0) == 1
    assert reads.works(100.0, wrote=True, ends=False) is None
    assert writes.works(110.0, wrote=True, ends=False) == 100.0
    assert writes.works(120.0, wrote=True, ends=False) is None


async def test_a_try_that_could_not_be_recorded_has_not_begun(autojump_clock, disk, committer):
    """Whoever made it hears of the failure and does not begin; the next run must not doubt it."""
    committer.batch.step(BEGAN, started=True)
    with pytest.raises(OutboxError, match="the disk is full"):
        await committer.written()
    await committer.written()
    assert [[NEVER_BEGAN]] == [list(batch.steps.values()) for batch in disk.batches]


async def test_the_end_of_a_try_that_could_not_be_recorded_stays_as_told(
    autojump_clock, disk, committer
):
    committer.batch.step(BEGAN, started=True)
    committer.batch.step(NEVER_BEGAN, started=False)
    with pytest.raises(OutboxError, match="the disk is full"):
        await committer.written()
    await committer.written()
    assert [[NEVER_BEGAN]] == [list(batch.steps.values()) for batch in disk.batches]


async def test_a_key_freed_during_a_commit_that_fails_is_freed_by_the_next(
    autojump_clock, disk, committer
):
    committer.batch.end(ended(1), frees=False)
    committer.wake()
    await trio.sleep(0.5)
    committer.batch.end(ended(2), frees=True)
    committer.wake()
    await trio.sleep(5)
    assert [([1, 2], [2])] == [(list(b.ended), list(b.freed)) for b in disk.batches]


async def test_a_key_freed_in_a_commit_that_fails_is_freed_by_the_next(
    autojump_clock, disk, committer
):
    committer.batch.end(ended(1), frees=True)
    committer.wake()
    await trio.sleep(5)
    assert [([1], [1])] == [(list(b.ended), list(b.freed)) for b in disk.batches]


def batch_of(seq):
    """One change of every kind."""
    batch = Batch()
    for field in attrs.fields(Batch):
        if isinstance(of_kind := getattr(batch, field.name), dict):
            of_kind[seq] = (seq, 0, 1, 1)
    batch.started.add(seq)
    batch.told.append(Waiter(None))
    return batch


def test_all_that_is_told_later_is_taken_in():
    older, newer = batch_of(1), batch_of(2)
    older.steps, newer.steps = {(1, 0): (1, 0, 1, 1)}, {(2, 0): (2, 0, 1, 1)}
    older.started, newer.started = {(1, 0)}, {(2, 0)}
    older.follow(newer)
    sizes = {field.name: len(getattr(older, field.name)) for field in attrs.fields(Batch)}
    assert dict.fromkeys(sizes, 2) == sizes


def test_what_nobody_waits_for_outlives_a_failed_commit():
    """An entry that was not written is its caller's again, and so is what was told of it."""
    batch = batch_of(1)
    del batch.entries[1], batch.keys[1]
    batch.started.clear()
    left = batch.left_over()
    kept = {field.name for field in attrs.fields(Batch) if getattr(left, field.name)}
    assert {field.name for field in attrs.fields(Batch)} - kept == {
        "entries", "keys", "started", "told", "refused",
    }  # fmt: skip
    batch = batch_of(1)
    batch.started.clear()
    left = batch.left_over()
    of_the_entry = ("entries", "keys", "shapes", "ended", "withdrawn", "grown")
    assert {name: {} for name in of_the_entry} == {
        name: getattr(left, name) for name in of_the_entry
    }


def test_what_is_claimed_does_not_outlive_a_failed_commit():
    """Its caller is told; what was told of groups beside it stays, in its order."""
    batch = Batch()
    batch.take(Waiter(None, row=(1,), claim=Claim(1, ("g", 0))))
    batch.beside["cancelled", 5] = True
    batch.take(Waiter(None, key=(2,), claim=Claim(2)))
    batch.beside["paused", 5] = False
    assert [("entry", 1), ("cancelled", 5), ("group", 2), ("paused", 5)] == list(batch.beside)
    assert [("cancelled", 5), ("paused", 5)] == list(batch.left_over().beside)


def test_of_a_text_that_grows_the_highest_number_is_written():
    older, newer = Batch(), Batch()
    for batch, numbers in ((older, (3, 7, 5)), (newer, (6, 2))):
        for number in numbers:
            batch.grow((1, number, f"text {number}"))
    older.follow(newer)
    assert {1: (1, 7, "text 7")} == older.grown


def test_a_claim_is_forgotten_with_its_entry():
    batch = Batch()
    batch.take(Waiter(None, row=(1,), claim=Claim(1, ("g", 0))))
    batch.forget(1)
    assert ({}, {}) == (batch.beside, batch.entries)


@pytest.mark.parametrize("failures", [0, 1])
async def test_whoever_gives_up_at_a_full_queue_as_a_batch_ends_gives_its_bytes_back(
    autojump_clock, nursery, failures
):
    """The task has not run since it was cancelled when its turn in the queue comes."""
    disk, hurried = Disk(failures=failures), trio.CancelScope()
    disk.meanwhile = hurried.cancel
    committer = Committer(disk.write, queue=1, linger=0.0)

    async def stored(seq, scope=None):
        with scope or trio.CancelScope(), suppress(OutboxError):
            await committer.stored((seq,), None, int, Claim(seq, None, ("a digest",)))

    for seq in (1, 2, 3):
        nursery.start_soon(stored, seq, hurried if seq == 3 else None)
        await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(committer.run)
    await trio.sleep(30)
    committer.close()
    claims = [place for batch in disk.batches for place in batch.beside]
    assert ("unused", 3) in claims
    assert ("entry", 3) not in claims


@pytest.mark.parametrize("turns", [1, 2, 3])
async def test_who_was_told_shares_the_next_batch_with_whoever_came_meanwhile(
    autojump_clock, nursery, turns
):
    """Two small batches, one after the other for ever, would cost about twice as much."""
    disk = Disk(failures=0)
    committer = Committer(disk.write, queue=100, linger=0.0)

    async def report_twice():
        await committer.written()
        for _ in range(turns - 1):
            await trio.lowlevel.checkpoint()
        await committer.written()

    for _ in range(8):
        nursery.start_soon(report_twice)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(committer.run)
    await trio.sleep(0.5)
    nursery.start_soon(committer.written)
    await trio.sleep(5)
    committer.close()
    assert [8, 9] == [len(batch.told) for batch in disk.batches]


async def test_who_was_told_and_does_something_else_holds_nobody_up(autojump_clock, nursery):
    """Not even if these tasks keep the loop busy."""
    sizes, written, done = [], trio.Event(), trio.Event()

    async def write(batch):
        sizes.append(len(batch.told))
        await written.wait()

    async def turn_on_and_on():
        await committer.written()
        while not done.is_set():
            await trio.lowlevel.checkpoint()

    async def report():
        await committer.written()
        done.set()

    committer = Committer(write, queue=100, linger=0.0)
    for _ in range(8):
        nursery.start_soon(turn_on_and_on)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(committer.run)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(report)
    await trio.testing.wait_all_tasks_blocked()
    written.set()
    for _ in range(100):
        await trio.lowlevel.checkpoint()
    assert done.is_set()
    committer.close()
    assert [8, 1] == sizes
