"""Envelopes are filed by room and deadline when somebody asks, or when many are not."""

from contextlib import asynccontextmanager

import apsw
import pytest
import trio

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings, writing
from gateway_contrib.sqlite.files import log
from gateway_core.testing.outbox_contract import START, Entries, texts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@asynccontextmanager
async def process_run(path):
    settings = SqliteSettings(in_thread=False, synchronous="NORMAL")
    async with SqliteOutbox(path, settings, wall_clock=lambda: START) as outbox:
        yield outbox


def filed(path):
    database = apsw.Connection(str(path))
    found = [bool(row[0]) for row in database.execute("SELECT filed FROM envelopes ORDER BY seq")]
    database.close()
    return found


async def test_a_log_that_grew_while_somebody_read_is_cut_back(path, monkeypatch):
    monkeypatch.setattr(log, "CHECKPOINT", 10)
    monkeypatch.setattr(log, "LONGEST_LOG", 100_000)
    entry, file = Entries(), path.with_name("outbox.db-wal")
    async with process_run(path) as outbox:
        reader = apsw.Connection(str(path))
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM envelopes").fetchall()
        for n in range(50):
            await outbox.append(entry(str(n)), lambda: None)
        assert file.stat().st_size > 300_000
        reader.close()
        for n in range(20):
            await outbox.append(entry(str(n)), lambda: None)
        assert file.stat().st_size <= 100_000


async def test_the_first_append_files_what_is_there_the_next_nothing_and_a_question_all(path):
    entry = Entries()
    async with process_run(path) as outbox:
        for n in range(3):
            await outbox.append(entry(str(n), room=f"room{n % 2}"), lambda: None)
        assert [True, False, False] == filed(path)
        assert ["0", "2"] == texts(await outbox.page("bot", room="room0"))
        assert [True] * 3 == filed(path)
        await outbox.append(entry("3", room="room1"), lambda: None)
        assert [True] * 3 + [False] == filed(path)
    async with process_run(path) as outbox:
        for n in (4, 5):
            await outbox.append(entry(str(n), room="room1"), lambda: None)
        assert [True] * 5 + [False] == filed(path)
        found = await outbox.overdue(until=START + 1e6)
        assert ["0", "1", "2", "3", "4", "5"] == texts(found.stored)


async def test_of_very_many_some_are_filed_unasked(path, monkeypatch):
    """What a question has to file first is bounded."""
    monkeypatch.setattr(writing, "UNFILED", 10)
    monkeypatch.setattr(writing, "FILED_AT_ONCE", 4)
    entry = Entries()
    async with process_run(path) as outbox:
        for n in range(30):
            await outbox.append(entry(str(n)), lambda: None)
        assert 10 >= filed(path).count(False)
        assert [str(n) for n in range(30)] == texts(await outbox.page("bot", room="room"))


async def test_those_that_an_earlier_life_left_are_filed_and_large_batches_whole(path, monkeypatch):
    """What a question may take stays bounded, however many come together and however often."""
    monkeypatch.setattr(writing, "UNFILED", 10)
    monkeypatch.setattr(writing, "FILED_AT_ONCE", 4)
    entry = Entries()
    for most in (9, 18):
        async with process_run(path) as outbox, trio.open_nursery() as nursery:
            for n in range(9):
                nursery.start_soon(outbox.append, entry(str(n)), lambda: None)
        assert filed(path).count(False) <= 10
        assert len(filed(path)) == most


async def test_one_that_comes_after_later_ones_were_filed_is_found(path):
    """Its append waited for the disk longer than theirs."""
    entry = Entries()
    early, late = entry("early"), entry("late")
    async with process_run(path) as outbox:
        await outbox.append(late, lambda: None)
        assert ["late"] == texts(await outbox.page("bot", room="room"))
        await outbox.append(early, lambda: None)
        assert ["early", "late"] == texts(await outbox.page("bot", room="room"))
        assert ["early", "late"] == texts((await outbox.overdue(until=START + 1e6)).stored)
