"""Rooms that policies change and envelopes that they delay, in a file over process runs."""

from __future__ import annotations

import apsw
import attrs
import pytest
import trio

from gateway_contrib.policies import Redirection
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core import KeyRef
from gateway_core.authors import Delay, hookimpl
from gateway_core.testing import EPOCH, FakeChannel, open_test_gateway, virtual_wall

pytestmark = pytest.mark.usefixtures("seldom")

HOUR = 3600.0
KEY = KeyRef(instance_id="bot", external_room_id="r", key="k")


class Quiet:
    """Delays all but what says "now"."""

    until = HOUR

    @hookimpl
    def admit(self, envelope):
        return None if "now" in envelope.text else Delay(EPOCH + self.until)


@pytest.fixture
def opened(tmp_path):
    """Opens gateways with the same file, one after the other."""
    settings = SqliteSettings(in_thread=False)

    def open_one(channel, *policies):
        outbox = SqliteOutbox(tmp_path / "outbox.db", settings, wall_clock=virtual_wall)
        return open_test_gateway(channel, plugins=policies, outbox=outbox, partition_count=8)

    return open_one


async def test_a_key_finds_what_was_moved_in_a_former_run(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, Redirection({"bot": "sandbox"})) as gateway:
        first = await gateway.send("bot", "r", "one", key="k")
    async with opened(channel) as gateway:
        assert first.envelope_id == (await gateway.status(KEY)).envelope_id
        assert (await gateway.send("bot", "r", "one", key="k")).replayed
        await gateway.edit(KEY, "two")
        assert ["two"] == channel.texts("sandbox")
        await gateway.delete(KEY)
    assert {"sandbox": {}} == channel.rooms


@pytest.mark.parametrize("due", [None, EPOCH + HOUR], ids=["ended", "unfinished"])
async def test_operators_are_shown_the_room_that_was_asked_for(
    opened, tmp_path, due, autojump_clock
):
    async with opened(FakeChannel(), Redirection({"bot": "sandbox"})) as gateway:
        moved = await gateway.enqueue("bot", "r", "one", key="k", not_before=due)
        plain = await gateway.enqueue("bot", "sandbox", "two", key="k", not_before=due)
        await trio.sleep(1)
    with Operator(tmp_path / "outbox.db") as operator:
        shown = [operator.show(ticket.id)["asked_room"] for ticket in (moved, plain)]
    assert ["r", None] == shown


async def test_what_is_delayed_keeps_its_time_and_its_order_over_runs(
    opened, tmp_path, autojump_clock
):
    """It is asked about again in the run in which it is due, and its ttl counts from then."""
    channel, policy = FakeChannel(), Quiet()
    async with opened(channel, policy) as gateway:
        for text in ("one", "two now"):
            await gateway.enqueue("bot", "r", text)
    policy.until = 3 * HOUR
    async with opened(channel, policy) as gateway:
        await gateway.enqueue("bot", "r", "three now")
        await trio.sleep(2 * HOUR)
        assert [] == channel.made
    database = apsw.Connection(str(tmp_path / "outbox.db"))
    rows = database.execute("SELECT due, deadline - due FROM envelopes ORDER BY seq").fetchall()
    database.close()
    assert [EPOCH + 3 * HOUR] * 3 == [due for due, _ in rows]
    assert [HOUR] * 3 == [pytest.approx(left) for _, left in rows]
    async with opened(channel, policy) as gateway:
        await trio.sleep(2 * HOUR)
        assert 0 == gateway.statistics().stored
    assert ["one", "two now", "three now"] == channel.texts("r")
    assert [3 * HOUR] * 3 == [pytest.approx(made.at, abs=1) for made in channel.made]


async def test_a_footer_is_stored_with_the_text(opened, tmp_path, autojump_clock):
    class Footer:
        @hookimpl
        def rewrite(self, envelope):
            return attrs.evolve(envelope, text=envelope.text.removesuffix(" - us") + " - us")

    channel = FakeChannel()
    async with opened(channel, Footer()) as gateway:
        await gateway.enqueue("bot", "r", "one", not_before=EPOCH + HOUR)
    async with opened(channel):
        await trio.sleep(2 * HOUR)
    assert ["one - us"] == channel.texts("r")
