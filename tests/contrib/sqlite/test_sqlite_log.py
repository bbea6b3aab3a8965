"""The log beside the file: its own is taken in, another's is not; one that is gone is noticed."""

from __future__ import annotations

import shutil

import apsw
import pytest
import trio

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import OutboxError, Send
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall
from gateway_core.testing.outbox_contract import Entries

PARTS = ("", "-wal")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def short_logs(monkeypatch):
    """A log is emptied every few changes."""
    monkeypatch.setattr("gateway_contrib.sqlite.files.log.CHECKPOINT", 12)


def opened(path, **settings):
    return SqliteOutbox(path, SqliteSettings(in_thread=False, synchronous="NORMAL", **settings))


def copy(path, to, parts=PARTS):
    """As the files are at this moment: what a kill leaves."""
    to.parent.mkdir(exist_ok=True)
    for part in parts:
        shutil.copy(f"{path}{part}", f"{to}{part}")
    return to


async def append(outbox, entries, number=1):
    for n in range(number):
        await outbox.append(entries(f"{n} " + "x" * 300), lambda: None)


async def kept(path):
    """How many entries are found, in a file that is in order."""
    async with opened(path, integrity_check=True) as outbox:
        return sum((await outbox.overview()).unfinished.values())


async def refused(path, log="-wal"):
    """What is said; not a byte is changed."""
    before = {part: path.with_name(path.name + part).read_bytes() for part in PARTS if
              path.with_name(path.name + part).exists()}  # fmt: skip
    with pytest.raises(OutboxError) as caught:
        async with opened(path):
            pass
    for part, content in before.items():
        assert content == path.with_name(path.name + part).read_bytes()
    assert f"{path}{log}" in str(caught.value)
    return str(caught.value)


async def test_a_log_whose_file_is_gone_is_not_taken_into_a_new_one(path, tmp_path):
    """With its file it has all that was accepted."""
    entries = Entries()
    async with opened(path) as outbox:
        await append(outbox, entries, 20)
        left = copy(path, tmp_path / "killed" / "outbox.db")
    file = left.rename(left.with_name("aside"))
    said = await refused(left)
    assert f"{left} does not exist, but {left}-wal does" in said
    assert "Put the file back beside it, or move outbox.db-wal away" in said
    assert {"aside", "outbox.db-wal"} == {each.name for each in left.parent.iterdir()}
    file.rename(left)
    assert 20 == await kept(left)


async def test_a_log_is_not_taken_into_a_file_that_was_put_in_its_files_place(path, tmp_path):
    """A backup that is copied over the file, or another outbox: the log belongs to neither."""
    entries = Entries()
    async with opened(path) as outbox:
        await append(outbox, entries, 20)
    backup = copy(path, tmp_path / "backup.db", [""])
    async with opened(path) as outbox:
        await append(outbox, entries, 20)
    async with opened(path) as outbox:
        await append(outbox, entries, 20)
        left = copy(path, tmp_path / "killed" / "outbox.db")
    async with opened(tmp_path / "other.db"):
        pass
    whole = left.read_bytes()
    for stranger in (backup, tmp_path / "other.db"):
        left.write_bytes(
            stranger.read_bytes()
        )  # as `cp` does: the file is the same, not its content
        said = await refused(left)
        assert f"{left}-wal does not belong to {left}" in said
        assert "Put that file back, or move outbox.db-wal away and keep it" in said
    left.write_bytes(whole)
    assert 60 == await kept(left)
    left.write_bytes(backup.read_bytes())
    assert 20 == await kept(left)  # closed in order, it had left no log


async def test_a_file_that_is_older_than_its_log_is_refused(path, tmp_path, short_logs):
    """Of the same outbox, but changes are missing between the two."""
    entries = Entries()
    async with opened(path) as outbox:
        await append(outbox, entries, 10)
        old = copy(path, tmp_path / "old" / "outbox.db")
        await append(outbox, entries, 60)
        left = copy(path, tmp_path / "killed" / "outbox.db")
    assert 70 == await kept(copy(left, tmp_path / "whole" / "outbox.db"))
    copy(old, left, [""])
    assert "does not belong to" in await refused(left)


@pytest.mark.parametrize("reading", [True, False], ids=["read", "unread"])
async def test_whenever_it_is_killed_its_own_log_is_taken_in(path, tmp_path, short_logs, reading):
    """Through many logs, in one run and over several, while others read and ask or not."""
    entries, appended = Entries(), 0
    reader = None
    for life in range(3):
        async with opened(path) as outbox:
            for n in range(25):
                await append(outbox, entries)
                appended += 1
                if reading and n % 10 == 0:
                    reader = apsw.Connection(str(path))
                    reader.execute("BEGIN")
                    reader.execute("SELECT count(*) FROM envelopes").fetchall()
                elif reading and n % 10 == 5:
                    reader.close()
                    other = apsw.Connection(str(path))
                    sql = "INSERT INTO requests (kind, asked_at) VALUES ('none', 0)"
                    other.execute(sql)
                    other.close()
                left = copy(path, tmp_path / f"killed{life}-{n}" / "outbox.db")
                assert appended == await kept(left)
            following = copy(path, tmp_path / f"life{life}" / "outbox.db")
        if reader is not None:
            reader.close()
        path = following  # the next one comes after a kill


async def test_a_log_that_outlives_several_kills_is_taken_in_each_time(path, tmp_path):
    """It never grew so long that it was emptied: all of it is of the first run still."""
    entries = Entries()
    for life in range(4):
        async with opened(path) as outbox:
            await append(outbox, entries, 5)
            left = copy(path, tmp_path / f"killed{life}" / "outbox.db")
        path = left
    assert 20 == await kept(path)


async def test_what_moved_elsewhere_with_its_log_goes_on(path, tmp_path):
    entries = Entries()
    async with opened(path) as outbox:
        await append(outbox, entries, 20)
        there = copy(path, tmp_path / "there" / "moved.db")
    assert 20 == await kept(there)


async def test_a_log_that_cannot_be_read_is_no_reason(path):
    """SQLite passes over what is none, and makes it anew."""
    async with opened(path) as outbox:
        await append(outbox, Entries(), 5)
    path.with_name("outbox.db-wal").write_bytes(b"no log at all " * 1000)
    assert 5 == await kept(path)


# -- what is taken away while it is in use


@pytest.mark.parametrize("part", ["-wal", "-shm"])
async def test_a_log_that_is_taken_away_is_noticed_and_nothing_accepted_is_lost(
    path, part, autojump_clock, capsys
):
    """What was accepted until then is put where it belongs at once: a kill may follow."""

    async def hold(attempt):
        await trio.sleep_forever()

    def waits(n):
        return Send(instance_id="bot", external_room_id=f"room{n}", text="waits")

    outbox = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
    async with open_test_gateway(
        FakeChannel(script=hold), outbox=outbox, drain_timeout=0.0
    ) as gateway:
        for n in range(10):
            await gateway.submit(waits(n))
        path.with_name(f"outbox.db{part}").unlink()
        await gateway.submit(waits(10))  # nobody has looked yet
        await trio.sleep(3)
        said = f"{path}{part} was taken away while it was in use; restart the gateway"
        with pytest.raises(OutboxError, match=said):
            await gateway.submit(waits(11))
        killed = copy(path, path.parent / "killed" / "outbox.db", [""])
    assert 1 == capsys.readouterr().out.count("was taken away")
    assert 11 == await kept(killed)
    assert 11 == await kept(path)


async def test_a_file_that_is_taken_away_is_noticed(path, autojump_clock):
    outbox = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        await gateway.send("bot", "room", "before")
        path.unlink()
        await trio.sleep(3)
        with pytest.raises(OutboxError, match=r"outbox\.db was taken away.*put the file back"):
            await gateway.send("bot", "room", "after")
