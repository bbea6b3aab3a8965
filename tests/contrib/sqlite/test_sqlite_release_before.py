"""The code before the last change of the file's format goes on with what today's code has written.

Both run as processes of their own, in turn, on one file. That code is in the repository's history.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import apsw
import pytest
from sealed import FIRST

from gateway_contrib.sqlite import SqliteOutbox
from gateway_contrib.sqlite.schema import SEALED_FROM, VERSION, number

ROOT = Path(__file__).parents[3]
BEFORE = "1daf596e0f55919397978bbc7f74715acbf9ddd6"
"""The last commit whose files have the version before this one."""
PACKAGES = ("core", "contrib")

LIFE = """
import json, os, sys
import trio
from gateway_contrib.sqlite.schema import VERSION
from gateway_core import GatewayConfig, Instance, KeyRef, Send, open_gateway
from gateway_core.testing import FakeChannel, FakeSettings

async def main(url, name, kill):
    async def script(attempt):
        if kill and attempt.payload["text"] == f"hangs {name}":
            await accepted.wait()
            print(json.dumps({"version": VERSION, "texts": channel.texts("room")}), flush=True)
            os._exit(0)

    accepted = trio.Event()
    channel = FakeChannel(script=script, limits=lambda *_: [])
    instance = Instance("bot", "fake", FakeSettings())
    config = GatewayConfig(instances=[instance], outbox=url, drain_timeout=0.0)
    async with open_gateway(config, plugins=[("fake", channel)]) as gateway:
        stored = gateway.statistics().stored
        again = [
            bool((await gateway.send("bot", "room", f"sent {n}", key=n)).replayed)
            for n in sys.argv[4:]
        ]
        await gateway.send("bot", "room", f"sent {name}", key=name)
        await gateway.enqueue("bot", "room", f"hangs {name}")
        for number in range(3):
            await gateway.enqueue("bot", "room", f"waits {name} {number}")
        accepted.set()
        with trio.fail_after(60):
            while gateway.statistics().stored:
                await trio.sleep(0.02)
    told = {"version": VERSION, "texts": channel.texts("room"), "stored": stored, "again": again}
    print(json.dumps(told), flush=True)

trio.run(main, sys.argv[1], sys.argv[2], sys.argv[3] == "kill")
"""


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """The packages as they were."""
    asked = ["git", "-C", str(ROOT), "archive", BEFORE, *PACKAGES]
    try:
        packed = subprocess.run(asked, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the history has no {BEFORE[:9]} here: {error}")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def run(root, program, *words):
    """A process with the code in `root`."""
    source = os.pathsep.join(str(root / package / "src") for package in PACKAGES)
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def life(root, path, name, *, kill, known=()):
    """One process run by the code in `root`: what it tells at its end."""
    done = run(root, LIFE, f"sqlite://{path}", name, "kill" if kill else "end", *known)
    assert (0, True) == (done.returncode, bool(done.stdout)), done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_there_and_back_again_with_traffic_between_nothing_is_lost(before, tmp_path):
    path = tmp_path / "outbox.db"
    first = life(ROOT, path, "new", kill=True)
    assert (VERSION, ["sent new"]) == (first["version"], first["texts"])
    second = life(before, path, "old", kill=True, known=["new"])
    assert VERSION - 1 == second["version"]
    third = life(ROOT, path, "newest", kill=False, known=["new", "old"])
    assert (VERSION, [True, True]) == (third["version"], third["again"])
    arrived = [*second["texts"], *third["texts"]]
    for name in ("new", "old", "newest"):
        waits = [f"waits {name} {number}" for number in range(3)]
        assert waits == [text for text in arrived if text in waits]
        assert arrived.count(f"hangs {name}") == 1
    fourth = life(before, path, "last", kill=False, known=["new", "old", "newest"])
    assert (0, [True] * 3) == (fourth["stored"], fourth["again"])
    database = apsw.Connection(str(path))
    assert VERSION == number(database, "PRAGMA user_version")
    assert "ok" == database.execute("PRAGMA integrity_check").get
    database.close()


OPEN = """
import sys
import trio
from gateway_contrib.sqlite import SqliteOutbox

async def main(path):
    async with SqliteOutbox(path):
        pass

trio.run(main, sys.argv[1])
"""


async def test_it_refuses_a_file_in_which_texts_are_sealed(before, tmp_path):
    path = tmp_path / "outbox.db"
    async with SqliteOutbox(path, keys=[FIRST]):
        pass
    content = path.read_bytes()
    done = run(before, OPEN, str(path))
    assert 1 == done.returncode
    assert f"which needs a release that knows version {SEALED_FROM}" in done.stderr
    assert content == path.read_bytes()
