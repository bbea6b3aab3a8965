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
import time
from pathlib import Path

import apsw
import attrs
import pytest
import trio
from amounts import long_run
from sealed import FIRST

from gateway_contrib.sqlite import SqliteOutbox
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_contrib.sqlite.schema import VERSION, number
from gateway_core import Disposition, OutboxError
from gateway_core.deliveries.idempotency import fingerprint
from gateway_core.outboxes import Request
from gateway_core.testing.outbox_contract import Entries, receipt_of
from gateway_core.testing.records_contract.making import (
    Stored,
    chunks,
    group_of,
    member_of,
    rooms,
)

ROOT = Path(__file__).parents[3]
BEFORE = "df78c073f595bbf306febbc81f5e845e4cbf0e9b"
"""The last commit whose files have the version before this one."""
PACKAGES = ("core", "contrib", "plugins/discord", "plugins/slack", "plugins/telegram")
"""The plugins too: the gateway imports those installed, and they go with the core of their day."""

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
        timeout=300,
        check=False,
    )


def life(root, path, name, *, kill, known=()):
    """One process run by the code in `root`: what it tells at its end."""
    done = run(root, LIFE, f"sqlite://{path}", name, "kill" if kill else "end", *known)
    assert (0, True) == (done.returncode, bool(done.stdout)), done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@long_run
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


SEALED = """
import sys
import trio
from gateway_contrib.sqlite import SqliteOutbox
from gateway_core import Secret

async def main(path, *keys):
    async with SqliteOutbox(path, keys=[Secret(key) for key in keys]) as outbox:
        print([stored.entry.envelope.text for stored in await outbox.page("bot")])

trio.run(main, *sys.argv[1:])
"""


async def test_it_reads_what_is_sealed_with_its_keys_and_refuses_it_without(before, tmp_path):
    path = tmp_path / "outbox.db"
    async with SqliteOutbox(path, keys=[FIRST]) as outbox:
        await outbox.append(Entries()("sealed"), lambda: None)
    done = run(before, SEALED, str(path))
    assert 1 == done.returncode
    assert "its texts are sealed with key" in done.stderr
    done = run(before, SEALED, str(path), FIRST.reveal())
    assert "['sealed']\n" == done.stdout, done.stderr[-2000:]


GROUP = """
import sys
import trio
from gateway_contrib.sqlite import SqliteOutbox
from gateway_core import Disposition, Receipt

async def main(path):
    ends = dict(zip(("room0", "room1", "room2"), ("delivered", "expired", "cancelled")))
    async with SqliteOutbox(path) as outbox:
        for stored in await outbox.page("bot"):
            entry = stored.entry
            outbox.finished(Receipt(
                envelope_id=entry.id, instance_id="bot",
                external_room_id=entry.envelope.external_room_id,
                disposition=Disposition(ends[entry.envelope.external_room_id]),
                accepted_at=entry.accepted_at, ended_at=entry.accepted_at,
            ))

trio.run(main, sys.argv[1])
"""


async def test_what_it_ends_of_a_group_is_counted_when_the_newer_one_comes_back(before, tmp_path):
    """And what was needed for that alone is gone."""
    path, entry, stored = tmp_path / "outbox.db", Entries(), Stored(Stored.LARGE)
    group = group_of(entry, 3, key="k", files=(stored.digest,))
    entries = [
        attrs.evolve(member_of(entry, group, number), files=(stored.digest,)) for number in range(3)
    ]
    async with SqliteOutbox(path) as outbox:
        await outbox.store_bytes(stored.digest, stored.pieces())
        await outbox.append_group(group, chunks(rooms(3)), lambda: None)
        for one in entries:
            await outbox.append(one, lambda: None)
        outbox.grew(entries[0].id, "text", 1)
        outbox.finished(receipt_of(entries[1], Disposition.FATAL, ended_at=time.time()))
    with Operator(path) as operator:
        operator.ask("retry", 0.0, envelope_id=entries[1].id)
    async with SqliteOutbox(path) as outbox:
        outbox.requested = lambda _request: None
        while (await outbox.find(group.id)).group.counts:  # noqa: ASYNC110 - the owner looks by itself
            await trio.sleep(0.05)
    done = run(before, GROUP, str(path))
    assert 0 == done.returncode, done.stderr[-2000:]
    async with SqliteOutbox(path) as outbox:
        state = (await outbox.find(group.scope)).group
        assert {"delivered": 1, "expired": 1, "cancelled": 1} == dict(state.counts)
        assert state.ended
        assert [entries[1].id] == [r.envelope_id for r in await outbox.failed(group.id)]
        assert stored.whole == await outbox.read_bytes(stored.digest, 0, 1 << 20)
        request = Request(kind="erase", number=1, instance_id="bot", room="room1")
        await outbox.erase(request, 0)
        with pytest.raises(OutboxError):
            await outbox.read_bytes(stored.digest, 0, 1)
    database = apsw.Connection(str(path))
    for table in ("members", "uses", "bytes", "grown", "turns"):
        assert 0 == number(database, f"SELECT count(*) FROM {table}")  # noqa: S608 - constants
    database.close()


MOVED = """
import sys
import trio
from gateway_core import GatewayConfig, Instance, KeyRef, open_gateway
from gateway_core.testing import FakeChannel, FakeSettings

async def main(url):
    channel = FakeChannel()
    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())], outbox=url)
    async with open_gateway(config, plugins=[("fake", channel)]) as gateway:
        again = await gateway.send("bot", "asked for", "text", key="k")
        print("told:", again.external_room_id, channel.texts("room"))

trio.run(main, sys.argv[1])
"""
"""A later call with the key of what was moved; whatever comes first is what there is of it."""


async def test_it_sends_where_a_policy_moved_it_and_finds_it_by_its_key(before, tmp_path):
    """The newer one, which comes back, has both rooms of what the older one left."""
    path, entry = tmp_path / "outbox.db", Entries()
    wall = time.time()
    moved, late = (
        attrs.evolve(
            entry("text", key=key), asked_room="asked for", accepted_at=wall, deadline=wall + 600
        )
        for key in ("k", "other")
    )
    moved = attrs.evolve(moved, fingerprint=fingerprint(moved.envelope))
    late = attrs.evolve(late, due=wall + 300)
    async with SqliteOutbox(path) as outbox:
        for one in (moved, late):
            await outbox.append(one, lambda: None)
    done = run(before, MOVED, f"sqlite://{path}")
    assert "told: room ['text']\n" in done.stdout, done.stderr[-2000:]
    async with SqliteOutbox(path) as outbox:
        found = await outbox.find(moved.scope)
        assert (moved.id, "room") == (found.envelope_id, found.receipt.external_room_id)
        assert late == (await outbox.find(late.scope)).stored.entry
