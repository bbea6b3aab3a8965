"""One owner at a time, whatever becomes of the files that say so and of the processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core import OutboxError
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall

OWNER = """
import os, sys, trio
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings

async def main():
    async with SqliteOutbox(sys.argv[1], SqliteSettings(in_thread=False)):
        {then}

trio.run(main)
"""
WAITS = "print(os.getpid(), flush=True); sys.stdin.read()"
LEAVES_A_CHILD = """
        begun, begins = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(begins, b"x")
            sys.stdin.read()
            os._exit(0)
        os.read(begun, 1)
        print(child, flush=True)
        os._exit(0)
"""
LEAVES_A_HANDLE = """
        import subprocess
        handle = next(
            int(name) for name in os.listdir("/proc/self/fd")
            if os.path.realpath("/proc/self/fd/" + name).endswith(".owner")
        )
        child = subprocess.Popen(["cat"], stdout=subprocess.DEVNULL, pass_fds=[handle])
        print(child.pid, flush=True)
        os._exit(0)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@contextmanager
def owner(path, then=WAITS):
    """A process that opened the outbox, and the number that it printed."""
    command = [sys.executable, "-c", OWNER.format(then=then), str(path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        yield process, int(process.stdout.readline())
        process.stdin.close()


def opened(path):
    return SqliteOutbox(path, SqliteSettings(in_thread=False))


async def refused(path):
    with pytest.raises(OutboxError) as caught:
        async with opened(path):
            pass
    return str(caught.value)


async def test_a_deleted_name_of_the_owner_lets_nobody_in(path):
    """Who has it is told by the system."""
    with owner(path) as (process, pid):
        path.with_name("outbox.db.owner").unlink()
        for _ in range(2):
            assert f"owned by process {pid}" in await refused(path)
        assert process.poll() is None
    async with opened(path):
        pass


async def test_a_deleted_name_lets_nobody_in_within_a_process(path):
    async with opened(path):
        path.with_name("outbox.db.owner").unlink()
        assert "open in this process already" in await refused(path)
    async with opened(path):
        pass


async def test_a_running_gateway_is_named_again(path, autojump_clock):
    """Operators find their gateway by that name."""
    outbox = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        path.with_name("outbox.db.owner").unlink()
        with capture_logs() as logs:
            await trio.sleep(3)
        told = [line["event"] for line in logs]
        assert ["gateway.outbox_failed", "gateway.outbox_works"] == told  # an alert ends
        with Operator(path) as operator:
            assert os.getpid() == operator.owner.pid
        assert (await gateway.send("bot", "room", "goes on")).delivered
    async with opened(path):
        pass


async def test_another_name_of_the_file_lets_nobody_in(path, tmp_path):
    """Each name has a log of its own: two of them are two half outboxes."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with owner(path):
        (elsewhere / "other.db").hardlink_to(path)
        assert "the file has 2 names (hard links)" in await refused(elsewhere / "other.db")
    assert "remove the others" in await refused(path)
    assert [] == [file.name for file in elsewhere.iterdir() if file.name != "other.db"]
    (elsewhere / "other.db").unlink()
    async with opened(path):
        pass


async def test_a_symbolic_link_is_the_file_that_it_names(path, tmp_path):
    with owner(path) as (_, pid):
        (tmp_path / "other.db").symlink_to(path)
        assert f"owned by process {pid}" in await refused(tmp_path / "other.db")


async def test_a_forked_child_keeps_nothing(path):
    """The next process opens the file while the child lives on."""
    with owner(path, LEAVES_A_CHILD) as (process, child):
        process.wait()
        os.kill(child, 0)
        async with opened(path):
            pass
        os.kill(child, 0)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="handles have no names here")
async def test_a_child_that_was_handed_the_lock_is_told_of_beside_its_parent_that_has_ended(path):
    with owner(path, LEAVES_A_HANDLE) as (process, _):
        process.wait()
        said = await refused(path)
        assert f"process {process.pid} on " in said
        assert "(it has ended, but a process that it started still has the file open)" in said


async def test_an_owner_that_was_killed_is_none(path):
    with owner(path) as (process, _):
        process.kill()
        process.wait()
        async with opened(path):
            pass


async def test_a_copy_is_another_outbox(path, tmp_path):
    """With a lock of its own: nothing of the owner is copied with it."""
    with owner(path):
        for part in ("", "-wal", ".owner"):
            shutil.copy(f"{path}{part}", tmp_path / f"copy.db{part}")
        async with opened(tmp_path / "copy.db"):
            pass
