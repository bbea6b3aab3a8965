"""The file forgets what is old or too much, and gets shorter by itself, a little at a time."""

from __future__ import annotations

from itertools import pairwise

import apsw
import pytest
import trio

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.files import shrinking
from gateway_contrib.sqlite.files.shrinking import BREATH, EVERY, FORGET, PAGES, SPARE
from gateway_contrib.sqlite.schema import number
from gateway_core import Disposition
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall
from gateway_core.testing.outbox_contract import Entries, receipt_of

PAGE = 4096


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


def kept_at(path, **settings):
    settings = SqliteSettings(in_thread=False, synchronous="NORMAL", **settings)
    return SqliteOutbox(path, settings, wall_clock=virtual_wall)


async def fill(outbox, entries, number, *, key=None, size=100):
    """Accepted and delivered; a large one failed, for then its content stays."""
    for n in range(number):
        entry = entries("x" * size, key=f"{key}{n}" if key else None)
        await outbox.append(entry, lambda: None)
        how = Disposition.DELIVERED if size <= 100 else Disposition.EXHAUSTED
        outbox.finished(receipt_of(entry, how, ended_at=virtual_wall()))
    await outbox.flush()


def count(outbox, table="history"):
    return number(outbox._connection, f"SELECT count(*) FROM {table}")  # noqa: S608 - a constant


def free(outbox):
    return number(outbox._connection, "PRAGMA freelist_count")


@pytest.fixture
def watched(monkeypatch):
    """What each step did: (rows forgotten, pages given back, when)."""
    steps, step = [], shrinking.Shrinker.step

    def look(self, wall, bounds):
        rows, pages = number(self._db, "SELECT count(*) FROM history"), number(self._db, SIZE)
        more = step(self, wall, bounds)
        done = (
            rows - number(self._db, "SELECT count(*) FROM history"),
            pages - number(self._db, SIZE),
        )
        steps.append((*done, trio.current_time()))
        return more

    monkeypatch.setattr(shrinking.Shrinker, "step", look)
    return steps


SIZE = "PRAGMA page_count"


async def test_what_is_too_old_is_forgotten_and_the_file_gets_shorter(
    path, autojump_clock, watched, monkeypatch
):
    """In steps that nobody waits long for; the file on the disk itself is shorter in the end."""
    monkeypatch.setattr(shrinking, "SPARE", 64)
    entries = Entries()
    outbox = kept_at(path, history_for=100.0)
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        await fill(outbox, entries, 3 * FORGET, size=3000)
        outbox._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        large = path.stat().st_size
        assert large > 300 * PAGE
        await trio.sleep(100 + 2 * EVERY)
        assert 0 == count(outbox)
        assert free(outbox) <= 64
        assert path.stat().st_size <= 120 * PAGE
        assert (await gateway.send("bot", "room", "goes on")).delivered
    assert max(rows for rows, _, _ in watched) <= FORGET
    assert max(pages for _, pages, _ in watched) <= PAGES + 1  # with the page that maps them
    times = [when for rows, pages, when in watched if rows or pages]
    assert len(times) >= 3
    assert all(later - earlier >= BREATH for earlier, later in pairwise(times))


async def test_batches_are_written_between_two_steps(path, autojump_clock, watched, monkeypatch):
    """A caller waits for one step at the most."""
    monkeypatch.setattr(shrinking, "FORGET", 10)
    entries, appended = Entries(), []
    outbox = kept_at(path, history_for=100.0)
    async with open_test_gateway(FakeChannel(), outbox=outbox):
        await fill(outbox, entries, 200)
        await trio.sleep(99)
        del watched[:]
        while count(outbox):
            began = trio.current_time()
            await outbox.append(entries("new"), lambda: None)
            appended.append(trio.current_time())
            assert began == trio.current_time()
            await trio.sleep(BREATH / 4)
    working = [when for rows, _, when in watched if rows]
    assert 20 == len(working)
    assert sum(working[0] < when < working[-1] for when in appended) > 20


async def test_a_few_free_pages_stay_for_what_comes_next(path, autojump_clock):
    """A file that is given back and taken again all day serves nobody."""
    outbox = kept_at(path, history_for=100.0)
    async with open_test_gateway(FakeChannel(), outbox=outbox):
        await fill(outbox, Entries(), 500)
        pages = number(outbox._connection, SIZE)
        await trio.sleep(300)
        assert (0, pages) == (count(outbox), number(outbox._connection, SIZE))
        assert 0 < free(outbox) <= SPARE


async def test_history_is_bounded_by_size_the_oldest_go_first(path, autojump_clock):
    size = 500_000
    outbox, entries = kept_at(path, history_size=size), Entries()
    async with open_test_gateway(FakeChannel(), outbox=outbox):
        await fill(outbox, entries, 3000, size=10)
        first = number(
            outbox._connection, "SELECT seq FROM history ORDER BY seq LIMIT 1 OFFSET 500"
        )
        newest = number(outbox._connection, "SELECT max(seq) FROM history")
        pages = number(outbox._connection, SIZE)
        assert pages * PAGE > 1.3 * size
        await trio.sleep(2 * EVERY)
        used = (number(outbox._connection, SIZE) - free(outbox)) * PAGE
        assert 0.5 * size < used <= size
        assert newest == number(outbox._connection, "SELECT max(seq) FROM history")
        left = count(outbox)
        assert 400 < left < 3000
        ranks = "SELECT count(*) FROM history WHERE seq > (SELECT min(seq) FROM history)"
        assert left - 1 == number(outbox._connection, ranks)
        assert first < number(outbox._connection, "SELECT min(seq) FROM history")


async def test_what_keys_still_stand_for_is_not_forgotten_for_want_of_room(path, autojump_clock):
    """The promise of a key is older than that of a size; others go, wherever they stand."""
    outbox, entries = kept_at(path, history_size=0), Entries()
    async with open_test_gateway(
        FakeChannel(), outbox=outbox, idempotency_window=3600.0
    ) as gateway:
        await fill(outbox, entries, 2 * FORGET, key="k")
        await fill(outbox, entries, 2 * FORGET)
        await trio.sleep(2 * EVERY)
        assert 2 * FORGET == count(outbox)
        assert 2 * FORGET == count(outbox, "keys")
        await trio.sleep(3600 + 2 * EVERY)
        assert (0, 0) == (count(outbox), count(outbox, "keys"))
        assert (await gateway.send("bot", "room", "again", key="k0")).delivered


async def test_what_is_unfinished_is_never_forgotten(path, autojump_clock):
    outbox, entries = kept_at(path, history_size=0, history_for=0.0), Entries()
    async with open_test_gateway(FakeChannel(), outbox=outbox):
        for n in range(100):
            await outbox.append(entries(str(n)), lambda: None)
        await trio.sleep(4 * EVERY)
        assert 100 == count(outbox, "envelopes")


async def test_a_reader_that_stays_keeps_the_file_long_and_nobody_waiting(
    path, autojump_clock, monkeypatch
):
    """Once it has gone, the next round makes the file shorter."""
    monkeypatch.setattr(shrinking, "SPARE", 16)
    outbox = kept_at(path, history_for=100.0)
    async with open_test_gateway(FakeChannel(), outbox=outbox):
        await fill(outbox, Entries(), 1000, size=3000)
        outbox._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        large = path.stat().st_size
        reader = apsw.Connection(str(path))
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM history").fetchall()
        await trio.sleep(100 + 2 * EVERY)
        assert large == path.stat().st_size
        reader.close()
        await fill(outbox, Entries(), 1)
        await trio.sleep(200)
        assert path.stat().st_size < large / 2
