"""More callers than the queue takes, and what is told between two commits."""

from __future__ import annotations

from random import Random

import apsw
import pytest
import trio
import trio.testing

from gateway_contrib.durable.batch import Batch
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import OutboxError
from gateway_core.testing import run_seeded
from gateway_core.testing.outbox_contract import Entries

CALLERS = 9


def _settings(**more):
    return SqliteSettings(in_thread=False, synchronous="NORMAL", queue=2, **more)


@pytest.mark.parametrize("seed", range(10))
def test_those_who_wait_at_a_full_queue_are_kept_in_the_order_in_which_they_came(tmp_path, seed):
    """The next life reads them by their ids: in this one they must not have begun otherwise."""
    entries, came, kept = Entries(), [], []

    async def append(outbox):
        entry = entries("text")
        came.append(entry.id)
        await outbox.append(entry, lambda: kept.append(entry.id))

    async def main():
        outbox = SqliteOutbox(tmp_path / "outbox.db", _settings())
        async with outbox, trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(append, outbox)

    run_seeded(f"queue {seed}", main)
    assert sorted(came) == came == kept


@pytest.mark.parametrize("seed", range(10))
def test_no_batch_has_more_entries_than_the_queue_whatever_else_it_has(tmp_path, seed, monkeypatch):
    """Places are counted now and then; meanwhile each caller that was told may bring one change."""
    entries, sizes, queue, rng = Entries(), [], 80, Random(seed)
    take = Batch.take

    def counted(self, waiter):
        already = len(self)
        take(self, waiter)
        sizes.append((len(self.entries), already if waiter.row is not None else 0))

    async def append(outbox):
        for _ in range(3):
            await outbox.append(entries("text"), lambda: None)
            if rng.random() < 0.5:
                outbox.closed("bot", str(rng.random()), 1.0, 1.0)

    async def main():
        settings = SqliteSettings(in_thread=False, synchronous="NORMAL", queue=queue)
        async with SqliteOutbox(tmp_path / "outbox.db", settings) as outbox:
            async with trio.open_nursery() as nursery:
                for _ in range(2 * queue):
                    nursery.start_soon(append, outbox)
            assert len(await outbox.page("bot")) == 6 * queue

    monkeypatch.setattr(Batch, "take", counted)
    run_seeded(f"sizes {seed}", main)
    assert max(entries for entries, _ in sizes) == queue
    assert max(already for _, already in sizes) <= 2 * queue


async def test_whoever_gives_up_at_a_full_queue_leaves_nothing(tmp_path, autojump_clock):
    entries, kept = Entries(), []
    first, second, third, last = (entries(text) for text in ("1", "2", "3", "4"))
    async with SqliteOutbox(tmp_path / "outbox.db", _settings()) as outbox:

        async def append(entry, scope):
            with scope:
                await outbox.append(entry, lambda: kept.append(entry.id))

        gives_up = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            for entry in (first, second, third, last):
                scope = gives_up if entry is third else trio.CancelScope()
                nursery.start_soon(append, entry, scope)
            gives_up.cancel()
        page = await outbox.page("bot")
    assert {first.id, second.id, last.id} == set(kept) == {found.entry.id for found in page}


async def test_whoever_waits_as_the_disk_takes_no_more_hears_of_it(
    tmp_path, monkeypatch, autojump_clock
):
    """The gateway closes on a full disk: nobody waits at the door for ever."""
    entries, refused = Entries(), []

    async def full(_self, _batch):
        await trio.sleep(1)
        raise OutboxError("the disk is full")

    async def append(outbox, entry):
        with pytest.raises(OutboxError):
            await outbox.append(entry, lambda: None)
        refused.append(entry.id)

    monkeypatch.setattr(SqliteOutbox, "_write", full)
    wanted = [entries(str(number)) for number in range(CALLERS)]
    with trio.fail_after(60):
        outbox = SqliteOutbox(tmp_path / "outbox.db", _settings())
        async with trio.open_nursery() as nursery, outbox:
            outbox.withdraw(entries("earlier").id)
            for entry in wanted:
                nursery.start_soon(append, outbox, entry)
            await trio.testing.wait_all_tasks_blocked()
    assert {entry.id for entry in wanted} == set(refused)


async def test_a_full_disk_refuses_those_who_wait_at_a_full_queue_as_well(
    tmp_path, monkeypatch, autojump_clock
):
    """They would wait for a room that only the disk can make: two tries tell them all."""
    entries, refused, tried = Entries(), [], []

    async def full(_self, _batch):
        tried.append(trio.current_time())
        await trio.sleep(1)
        raise OutboxError("the disk is full")

    async def append(outbox):
        with pytest.raises(OutboxError, match="the disk is full"):
            await outbox.append(entries("text"), lambda: None)
        refused.append(len(tried))

    monkeypatch.setattr(SqliteOutbox, "_write", full)
    outbox = SqliteOutbox(tmp_path / "outbox.db", _settings())
    with trio.fail_after(60):
        async with outbox, trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(append, outbox)
    assert CALLERS == len(refused)
    assert 2 >= max(refused)


async def test_of_a_withdrawn_entry_no_text_that_grew_is_left(tmp_path, autojump_clock):
    entries, path = Entries(), tmp_path / "outbox.db"
    one, other = entries("one"), entries("other")
    async with SqliteOutbox(path, _settings()) as outbox:
        for entry in (one, other):
            await outbox.append(entry, lambda: None)
            outbox.grew(entry.id, f"grown {entry.id}", 1)
        await outbox.flush()
        outbox.withdraw(one.id)
    database = apsw.Connection(str(path))
    assert [(f"grown {other.id}",)] == database.execute("SELECT text FROM grown").fetchall()
    database.close()
