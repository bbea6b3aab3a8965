"""`gateway outbox backup`: a copy beside a running gateway, which opens and delivers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
import trio

from gateway_contrib.cli.app import main
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.files.backup import back_up
from gateway_core import OutboxError, Send
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall
from gateway_core.testing.outbox_contract import Entries

PAGE = Path(__file__).parents[3] / "docs/how-to/back-up.md"
GATEWAY = "import sys; from gateway_contrib.cli.app import main; sys.exit(main())"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def config(tmp_path, path):
    file = tmp_path / "gateway.toml"
    file.write_text(f'outbox = "sqlite://{path}"\n')
    return file


def kept_at(path, **settings):
    return SqliteOutbox(path, SqliteSettings(**settings), wall_clock=virtual_wall)


async def hold(attempt):
    await trio.sleep(1000)


async def append(outbox, entries, number):
    for n in range(number):
        await outbox.append(entries(f"{n} " + "x" * 300), lambda: None)


async def kept(path):
    async with kept_at(path, integrity_check=True) as outbox:
        return sum((await outbox.overview()).unfinished.values())


async def test_a_backup_beside_a_running_gateway_opens_and_delivers(path, tmp_path, config):
    """In a process of its own, while the gateway accepts more: whole, and nobody else's to read."""
    copy = tmp_path / "copy.db"
    command = [sys.executable, "-c", GATEWAY, "outbox", "backup", str(copy)]
    accepted = []
    async with open_test_gateway(
        FakeChannel(script=hold), outbox=kept_at(path), drain_timeout=0.0
    ) as gateway:

        async def accept():
            while True:
                text = str(len(accepted))
                message = Send(instance_id="bot", external_room_id=f"room{text}", text=text)
                await gateway.submit(message)
                accepted.append(text)
                await trio.sleep(0.001)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            await trio.sleep(0.2)
            before = len(accepted)
            done = await trio.run_process([*command, "--config", str(config)], capture_stdout=True)
            nursery.cancel_scope.cancel()
        assert gateway.statistics().unfinished >= before
    found = re.fullmatch(r".*copy\.db: (\d+) unfinished, (\d+) bytes\n", done.stdout.decode())
    assert before <= int(found[1]) <= len(accepted)
    assert int(found[2]) == copy.stat().st_size
    assert 0o600 == copy.stat().st_mode & 0o777
    assert ["copy.db"] == [file.name for file in tmp_path.glob("copy*")]
    channel = FakeChannel()
    settings = {"drain_timeout": 30.0}
    async with open_test_gateway(channel, outbox=kept_at(copy), **settings) as gateway:
        with trio.fail_after(60):
            while gateway.statistics().stored:  # noqa: ASYNC110 - what is looked at has no event
                await trio.sleep(0.05)
    sent = {text for room in channel.rooms for text in channel.texts(room)}
    assert set(accepted[:before]) <= sent <= set(accepted)


async def test_a_backup_is_of_one_moment(path, tmp_path, monkeypatch):
    """What is written between two of its steps is in none of it."""
    monkeypatch.setattr("gateway_contrib.sqlite.files.backup.PAGES", 1)
    entries = Entries()
    async with kept_at(path, in_thread=False) as outbox:
        await append(outbox, entries, 50)
        made = back_up(path, tmp_path / "copy.db")
        await append(outbox, entries, 50)
        assert 50 == made.unfinished
        assert 100 == sum((await outbox.overview()).unfinished.values())
    assert 50 == await kept(tmp_path / "copy.db")
    assert 100 == await kept(path)


async def test_a_backup_of_what_a_kill_left_has_its_log_too(path, tmp_path):
    async with kept_at(path, in_thread=False) as outbox:
        await append(outbox, Entries(), 50)
        for part in ("", "-wal"):
            shutil.copy(f"{path}{part}", tmp_path / f"killed.db{part}")
    assert 50 == back_up(tmp_path / "killed.db", tmp_path / "copy.db").unfinished
    assert 50 == await kept(tmp_path / "copy.db")


async def test_a_log_of_another_file_is_not_taken_in_by_operators_either(path, tmp_path):
    async with kept_at(path, in_thread=False) as outbox:
        await append(outbox, Entries(), 50)
        shutil.copy(f"{path}-wal", tmp_path / "log")
    async with kept_at(tmp_path / "other.db"):
        pass
    (tmp_path / "log").rename(tmp_path / "other.db-wal")
    with pytest.raises(OutboxError, match="does not belong to"):
        back_up(tmp_path / "other.db", tmp_path / "copy.db")
    (tmp_path / "other.db-wal").unlink()
    assert 0 == await kept(tmp_path / "other.db")


@pytest.mark.parametrize("there", ["copy.db", "copy.db-wal"])
async def test_a_backup_overwrites_nothing(path, tmp_path, there, config, capsys):
    async with kept_at(path):
        pass
    (tmp_path / there).write_text("something else")
    words = ["outbox", "backup", str(tmp_path / "copy.db"), "--config", str(config)]
    assert 2 == main(words)
    assert f"{there} exists already, and a backup overwrites nothing" in capsys.readouterr().err
    assert "something else" == (tmp_path / there).read_text()
    assert [there] == [file.name for file in tmp_path.glob("copy*")]


async def test_a_backup_that_cannot_be_made_leaves_nothing(path, tmp_path, config, capsys):
    words = ["outbox", "backup", str(tmp_path / "nowhere" / "copy.db"), "--config", str(config)]
    assert 2 == main(words)
    assert f"there is no outbox at {path}" in capsys.readouterr().err
    async with kept_at(path, in_thread=False) as outbox:
        await append(outbox, Entries(), 20)
    assert 2 == main(words)
    assert "copy.db cannot be written as a backup: its folder is not" in capsys.readouterr().err
    content = bytearray(path.read_bytes())
    content[4096 * 3 :: 7] = b"\x5a" * len(content[4096 * 3 :: 7])
    path.write_bytes(content)
    with pytest.raises(OutboxError, match="damaged"):
        back_up(path, tmp_path / "copy.db")
    assert [] == list(tmp_path.glob("copy*"))


async def test_a_backup_and_the_log_of_the_file_that_it_was_made_of_are_kept_apart(path, tmp_path):
    async with kept_at(path, in_thread=False) as outbox:
        await append(outbox, Entries(), 20)
        back_up(path, tmp_path / "restored.db")
        shutil.copy(f"{path}-wal", tmp_path / "restored.db-wal")
    with pytest.raises(OutboxError, match=r"restored\.db-wal does not belong to .*restored\.db"):
        await kept(tmp_path / "restored.db")
    (tmp_path / "restored.db-wal").unlink()
    assert 20 == await kept(tmp_path / "restored.db")


# -- the page


def shell(heading):
    """The commands under a heading of the page."""
    _, _, rest = PAGE.read_text().partition(f"## {heading}\n")
    return re.search(r"```sh\n(.*?)```", rest, re.DOTALL)[1]


def run(commands, folder):
    """As somebody types them, in a folder of the test's own."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    tool = tools / "gateway"
    tool.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{GATEWAY}' \"$@\"\n")
    tool.chmod(0o755)
    for place in ("/var/lib/app", "/var/backups"):
        (folder / place[1:]).mkdir(parents=True, exist_ok=True)
        commands = commands.replace(place, str(folder / place[1:]))
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(["/bin/bash", "-ec", commands], cwd=folder, env=os.environ | env, check=True)


async def test_the_page_backs_up_restores_and_moves(tmp_path):
    """Restored, the file has what it had then, and what was set aside has all of it."""
    path = tmp_path / "var/lib/app/outbox.db"
    (tmp_path / "var/lib/app").mkdir(parents=True)
    (tmp_path / "gateway.toml").write_text(f'outbox = "sqlite://{path}"\n')
    entries = Entries()
    async with kept_at(path, in_thread=False) as outbox:
        await append(outbox, entries, 10)
        await trio.to_thread.run_sync(run, shell("Back up"), tmp_path)
        await append(outbox, entries, 10)
        for part in ("", "-wal"):  # it is killed before the restoring
            shutil.copy(f"{path}{part}", tmp_path / f"killed{part}")
    for part in ("", "-wal"):
        shutil.copy(tmp_path / f"killed{part}", f"{path}{part}")
    run(shell("Restore"), tmp_path)
    assert 10 == await kept(path)
    assert 0o600 == path.stat().st_mode & 0o777
    assert 20 == await kept(tmp_path / "var/lib/app/set-aside/outbox.db")
    database = apsw.Connection(str(path))
    assert json.loads(database.execute("SELECT entry FROM envelopes LIMIT 1").get)
    database.close()
