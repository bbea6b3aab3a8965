"""On a full disk callers hear of it at once; the disk's own retry clock holds nobody."""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager, suppress

import apsw
import pytest
import trio
from full_disk import full
from structlog.testing import capture_logs

from gateway_contrib.durable.committer import LONGEST_PAUSE, QUIET
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.files import log
from gateway_core import OutboxError, Send
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall
from gateway_core.testing.outbox_contract import Entries
from gateway_core.testing.records_contract.making import Stored


@pytest.fixture
def outbox(tmp_path):
    settings = SqliteSettings(in_thread=False, synchronous="NORMAL", queue=8)
    return SqliteOutbox(tmp_path / "outbox.db", settings, wall_clock=virtual_wall)


async def refused(outbox, entry):
    """At the very instant, with the path and what to do."""
    began = trio.current_time()
    with pytest.raises(OutboxError, match=r"outbox\.db cannot write: the disk is full; make room"):
        await outbox.append(entry, lambda: None)
    return trio.current_time() - began


@pytest.mark.parametrize("left_over", [0, 1, 20], ids="{} changes to keep".format)
async def test_a_refusal_waits_for_no_clock(outbox, left_over, autojump_clock):
    """Nor does it where what happened fills the queue; and afterwards it goes on at once."""
    entries, text = Entries(), "x" * 100_000
    async with outbox:
        with full(outbox):
            for n in range(left_over):
                outbox.moved("bot", f"room{n}", "y" * 9_000)
            assert [0.0] * 20 == [await refused(outbox, entries(text)) for _ in range(20)]
            await trio.sleep(0.3)
            assert [0.0] * 20 == [await refused(outbox, entries(text)) for _ in range(20)]
        began = trio.current_time()
        await outbox.append(entries(text), lambda: None)
        assert began == trio.current_time()
        assert left_over == len((await outbox.recover("bot")).moves)


async def test_many_who_come_at_once_are_all_told_at_once(outbox, autojump_clock):
    entries = Entries()
    waits = []

    async def one():
        waits.append(await refused(outbox, entries("x" * 100_000)))

    async with outbox:
        with full(outbox):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(one)
    assert [0.0] * 100 == waits


async def test_look_ups_are_answered_or_refused_at_once(outbox, autojump_clock):
    entries = Entries()
    async with outbox:
        entry = entries("there")
        await outbox.append(entry, lambda: None)
        with full(outbox):
            for n in range(50):
                outbox.moved("bot", f"room{n}", "y" * 9_000)
            await refused(outbox, entries("x" * 100_000))
            began = trio.current_time()
            for _ in range(10):
                with pytest.raises(OutboxError, match="the disk is full"):
                    await outbox.recover("bot")
            assert began == trio.current_time()


async def test_a_full_disk_is_asked_by_its_own_clock_and_logged_now_and_then(
    outbox, capsys, autojump_clock
):
    entries = Entries()
    async with outbox:
        with full(outbox):
            for _ in range(100):
                await refused(outbox, entries("x" * 100_000))
                await trio.sleep(0.1)
    lines = re.findall(
        r"gateway.outbox_failed.*times=(\d+).*wait=([\d.]+)", capsys.readouterr().out
    )
    assert ["1", "10", "100"] == [times for times, _ in lines]
    pauses = [float(wait) for _, wait in lines]
    assert (sorted(pauses), 0.05, LONGEST_PAUSE) == (pauses, pauses[0], pauses[-1])


def told(logs):
    """What the log heard of the outbox: of a failure how many times, else the event."""
    return [
        log.get("times", log["event"]) for log in logs if log["event"].startswith("gateway.outbox")
    ]


WORKS = "gateway.outbox_works"
LARGE, SMALL = "x" * 100_000, "x"


@pytest.mark.parametrize("pause", [0.06, 2.5])
async def test_a_thousand_refusals_of_a_full_disk_are_four_lines(outbox, pause, autojump_clock):
    """However often it is asked; and one more says at once that it works again."""
    with capture_logs() as logs:
        async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
            with full(outbox):
                for _ in range(1_000):
                    with pytest.raises(OutboxError, match="the disk is full"):
                        await gateway.send("bot", "room", LARGE)
                    await trio.sleep(pause)
            assert [1, 10, 100, 1_000] == told(logs)
            assert (await gateway.send("bot", "room", SMALL)).delivered
            assert [1, 10, 100, 1_000, WORKS] == told(logs)


async def test_a_disk_that_takes_what_is_small_is_not_said_to_work_each_time(
    outbox, autojump_clock
):
    """Between two failures it works for a moment; it does once nothing has failed for a minute."""
    entries = Entries()
    with capture_logs() as logs:
        async with outbox:
            for _ in range(300):
                with full(outbox):
                    await refused(outbox, entries(LARGE))
                    await refused(outbox, entries(LARGE))
                await outbox.append(entries(SMALL), lambda: None)
                await trio.sleep(0.1)
            assert [1, WORKS, 3, 10, 100] == told(logs)
            await outbox.append(entries(LARGE), lambda: None)
            await trio.sleep(QUIET - 1)
            assert [1, WORKS, 3, 10, 100] == told(logs)
            await outbox.append(entries(LARGE), lambda: None)
            await trio.sleep(2)
            await outbox.append(entries(LARGE), lambda: None)
            assert [1, WORKS, 3, 10, 100, WORKS] == told(logs)
    assert [1, WORKS, 3, 10, 100, WORKS] == told(logs)


async def test_it_is_said_to_work_as_it_is_closed_where_the_last_of_it_was_written(
    outbox, autojump_clock
):
    entries = Entries()
    with capture_logs() as logs:
        async with outbox:
            for _ in range(2):
                with full(outbox):
                    await refused(outbox, entries(LARGE))
                await outbox.append(entries(SMALL), lambda: None)
            assert [1, WORKS, 2] == told(logs)
    assert [1, WORKS, 2, WORKS] == told(logs)


async def test_trouble_after_a_quiet_minute_is_news(outbox, autojump_clock):
    entries = Entries()
    with capture_logs() as logs:
        async with outbox:
            for _ in range(3):
                with full(outbox):
                    await refused(outbox, entries(LARGE))
                await outbox.append(entries(SMALL), lambda: None)
                await trio.sleep(QUIET)
    assert [1, WORKS] * 3 == told(logs)


@contextmanager
def no_new_files(outbox):
    """The database has room, and the folder beside it has none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox._folder, "new", refuse)
        yield


def refuse(digest):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("trouble", "size"), [(full, 100_000), (no_new_files, 300_000)])
async def test_files_that_it_does_not_take_are_logged_likewise(
    outbox, trouble, size, autojump_clock
):
    stored, entries = Stored(bytes(size)), Entries()
    with capture_logs() as logs:
        async with outbox:
            await outbox.append(entries(SMALL), lambda: None)
            with trouble(outbox):
                for _ in range(100):
                    with pytest.raises(OutboxError, match="the disk is full"):
                        await outbox.store_bytes(stored.digest, stored.pieces())
            assert [1, 10, 100] == told(logs)
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.append(entries(SMALL), lambda: None)
            assert [1, 10, 100, WORKS] == told(logs)


async def test_what_cannot_be_forgotten_is_not_logged_each_second(tmp_path, autojump_clock):
    settings = SqliteSettings(in_thread=False, history_for=20.0)
    outbox = SqliteOutbox(tmp_path / "outbox.db", settings, wall_clock=virtual_wall)
    with capture_logs() as logs:
        async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
            for number in range(10):
                await gateway.send("bot", f"room {number}", SMALL)
            await trio.sleep(2)  # until all that happened is written
            database = outbox._writer._db
            database.execute("PRAGMA query_only = 1")
            await trio.sleep(240)
            database.execute("PRAGMA query_only = 0")
    assert [1, 10, 100] == told(logs)


async def test_what_was_refused_leaves_nothing_to_be_written(outbox, capsys, autojump_clock):
    """A disk that takes nothing for hours costs no memory: no call has to be taken back later."""
    send = Send(instance_id="bot", external_room_id="room", text="x")
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        database = outbox._writer._db
        database.execute("PRAGMA query_only = 1")
        for _ in range(60):
            with pytest.raises(OutboxError, match="cannot write"):
                await gateway.submit(send)
            await trio.sleep(0.1)
        waiting = re.findall(r"gateway.outbox_failed.*waiting=(\d+)", capsys.readouterr().out)
        database.execute("PRAGMA query_only = 0")
    assert {"0"} == set(waiting)


async def test_what_is_lost_at_the_end_is_told_with_its_cause(outbox, capsys, autojump_clock):
    async with outbox:
        database = outbox._writer._db
        database.execute("PRAGMA max_page_count = 1")
        for n in range(6):
            outbox.moved("bot", f"room{n}", "y" * 90_000)
    said = capsys.readouterr().out
    assert re.search(
        r"closed, and its last 6 changes are lost: outbox .*outbox\.db cannot write: the disk is "
        r"full.*waiting=6",
        said,
    )
    assert "error=closed" not in said


async def test_an_envelope_is_refused_within_its_time(outbox, autojump_clock):
    """A time to live of an instant is enough to hear that the disk is full."""
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        with full(outbox):
            for _ in range(10):
                began = trio.current_time()
                send = Send(
                    instance_id="bot", external_room_id="room", text="x" * 100_000, ttl=0.01
                )
                with pytest.raises(OutboxError, match="the disk is full"):
                    await gateway.submit(send)
                assert began == trio.current_time()
        assert 0 == gateway.statistics().unfinished
        assert (await gateway.send("bot", "room", "goes on")).delivered


class Crowded(apsw.VFS):
    """A disk with room in the log that is there, and none in the database."""

    def __init__(self):
        self.real = apsw.vfs_names()[0]
        super().__init__("crowded", self.real, makedefault=True)
        self.full = False

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's name
        return CrowdedFile(self, name, flags)


class CrowdedFile(apsw.VFSFile):
    def __init__(self, disk, name, flags):
        super().__init__(disk.real, name, flags)
        self._disk, self._is_database = disk, bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)

    def xWrite(self, data, offset):  # noqa: N802 - SQLite's name
        if self._disk.full and self._is_database:
            raise apsw.FullError
        super().xWrite(data, offset)


async def test_what_is_in_the_log_is_accepted_though_the_file_takes_no_more(
    outbox, autojump_clock, monkeypatch
):
    """The log grows past the length at which it is written to the file, which fails each time."""
    entries, disk = Entries(), Crowded()
    monkeypatch.setattr(log, "CHECKPOINT", 20)
    accepted = []
    try:
        async with outbox:
            disk.full = True
            for _ in range(30):
                with suppress(OutboxError):
                    await outbox.append(one := entries("x" * 4_000), lambda: None)
                    accepted.append(one.id)
            disk.full = False
            assert accepted == [stored.entry.id for stored in await outbox.page("bot")]
            assert 30 == len(accepted)
            await outbox.append(entries("y"), lambda: None)
        async with outbox:
            assert 31 == len(await outbox.page("bot"))
    finally:
        disk.unregister()
