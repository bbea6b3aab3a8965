"""Files of earlier schema versions are brought up to date, and nothing in them is lost."""

from itertools import product
from pathlib import Path

import apsw
import pytest
import trio

from gateway_contrib.durable.rows import entry_row, part_of
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.schema import CHANGES, VERSION, number
from gateway_core import Call, Delete, Edit, KeyRef, MessageRef, PartRef, Send
from gateway_core.outboxes import Entry, Part
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall

pytestmark = pytest.mark.usefixtures("seldom")

STORED = sorted(
    Path(__file__).with_name("stored").glob("v*.sql"), key=lambda file: int(file.stem[1:])
)


@pytest.fixture(params=STORED, ids=[file.stem for file in STORED])
def path(request, tmp_path):
    """A file of that version."""
    database = apsw.Connection(str(tmp_path / "outbox.db"))
    database.execute(request.param.read_text())
    assert int(request.param.stem[1:]) == number(database, "PRAGMA user_version")
    database.close()
    return tmp_path / "outbox.db"


def opened(path):
    settings = SqliteSettings(in_thread=False, integrity_check=True)
    return SqliteOutbox(path, settings, wall_clock=virtual_wall)


def test_every_version_but_the_present_one_is_stored():
    assert [f"v{n}" for n in range(1, VERSION)] == [file.stem for file in STORED]


@pytest.mark.parametrize(
    ("end", "fields"),
    [
        ([], {}),
        ([[1, 0]], {"files": (1, 0)}),
        ([[0], 3], {"files": (0,), "cost": 3}),
        ([[], 1, True, False], {"fixed": True}),
        ([[0], 2, False, True], {"files": (0,), "cost": 2, "repeated": True}),
        ([[0, 1], 2, False, False, 1, "later"], {"files": (0, 1), "cost": 2, "captioned": 1}),
    ],
)
def test_a_part_is_read_as_any_release_writes_it(end, fields):
    """Each release writes more at its end, and leaves out defaults there."""
    part = Part(payload={"text": "x"}, span=(0, 1), digest="d", **fields)
    assert part == part_of([{"text": "x"}, [0, 1], "d", [], *end])


async def test_a_file_of_an_earlier_version_goes_on_where_it_was(path, autojump_clock):
    """One in flight, others behind it, a scheduled one, a failed one, two that are too late."""
    channel = FakeChannel()
    async with open_test_gateway(
        channel, outbox=opened(path), instances=("bot", "gone"), drain_timeout=0.0
    ) as gateway:
        assert 7 == gateway.statistics().stored
        done = KeyRef(instance_id="bot", external_room_id="other", key="done")
        bad = KeyRef(instance_id="bot", external_room_id="other", key="bad")
        assert (await gateway.status(done)).receipt.delivered
        assert "no" == (await gateway.status(bad)).receipt.verdict.raw
        assert (await gateway.send("bot", "other", "delivered", key="done")).replayed
        await trio.sleep(4000)
        statistics = gateway.statistics()
    assert ["first of the room", "second", "third", "fourth", "scheduled"] == channel.texts("room")
    assert 3600.0 == pytest.approx(channel.times[-1], abs=0.1)
    assert (0, True) == (statistics.stored, statistics.conserved)
    database = apsw.Connection(str(path))
    assert VERSION == number(database, "PRAGMA user_version")
    assert "ok" == database.execute("PRAGMA integrity_check").get
    database.close()


async def test_what_an_earlier_version_kept_expires_in_its_time(path, autojump_clock):
    """Its deadlines are found among those of later ones."""
    channel = FakeChannel(latency=100.0)
    async with open_test_gateway(
        channel, outbox=opened(path), room_bound=1, drain_timeout=0.0
    ) as gateway:
        await trio.sleep(90)
        receipt = (await gateway.status("018bcfe56800000009d6b5a7d524a9")).receipt
    assert "expired" == receipt.disposition


PLACE = {"instance_id": "bot", "external_room_id": "room"}
SENT = MessageRef(**PLACE, envelope_id="1", parts=(PartRef(message_id="1"),))
KEY = KeyRef(**PLACE, key="k")


def test_streams_are_given_to_what_an_earlier_version_kept(tmp_path):
    """As this version would have written them, of every kind, class and order; damaged as well."""
    makes = (
        lambda **fields: Send(text="x", **fields),
        lambda **fields: Call(method="m", **fields),
        lambda **fields: Edit(target=SENT, text="x", **fields),
        lambda **fields: Edit(target=KEY, text="x", **fields),
        lambda **fields: Delete(target=SENT, **fields),
    )
    classes, orders, votes = ("urgent", "normal", "bulk"), ("room", "none"), (None, "bulk")
    entries = [
        Entry(
            id=f"{number:030x}",
            envelope=make(**PLACE, priority=priority, order=order),
            plan=(),
            accepted_at=0.0,
            deadline=1.0,
            priority=vote,
        )
        for number, (make, priority, order, vote) in enumerate(
            product(makes, classes, orders, votes)
        )
    ]
    database = apsw.Connection(str(tmp_path / "outbox.db"))
    for change in CHANGES[:3]:
        database.execute(change.make)
    rows = [entry_row(entry, seq) for seq, entry in enumerate(entries)]
    insert = "INSERT INTO envelopes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    database.executemany(insert, [row[:13] for row in rows])
    damaged = (len(rows), "damaged", *rows[0][2:4], len(rows), *rows[0][5:10], "{", None, 0)
    database.execute(insert, damaged)
    database.execute(CHANGES[3].make)
    found = [stream for (stream,) in database.execute("SELECT stream FROM envelopes ORDER BY seq")]
    database.close()
    assert [*(row[13] for row in rows), 1] == found
    assert {0, 1, 2, 3, 4, 5} == set(found)
