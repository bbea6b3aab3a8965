"""Policies that delay: until when, what waits for it, and what a restart or an end makes of it."""

from __future__ import annotations

import attrs
import pytest
import trio

from gateway_core import (
    DeliveryError,
    Disposition,
    Edit,
    GatewayConfig,
    Instance,
    open_gateway,
)
from gateway_core.authors import Delay, hookimpl
from gateway_core.testing import (
    EPOCH,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    open_test_gateway,
    virtual_wall,
)

HOUR = 3600.0
DAY = 24 * HOUR


class Quiet:
    """Delays what goes to these rooms until a time (seconds after the start)."""

    def __init__(self, until=HOUR, *rooms):
        self.until = until
        self.rooms = rooms or ("r",)
        self.asked = []

    @hookimpl
    def admit(self, envelope):
        self.asked.append((trio.current_time(), envelope.text))
        if envelope.external_room_id in self.rooms and "now" not in envelope.text:
            return Delay(EPOCH + self.until)
        return None


@pytest.fixture(params=["in memory", "with an outbox"])
def opened(request):
    """Opens gateways: each without an outbox, or all with the same one."""
    outbox = None if request.param == "in memory" else MemoryOutbox()

    def open_one(channel=None, **settings):
        return open_test_gateway(channel or FakeChannel(), outbox=outbox, **settings)

    return open_one


def at(channel, room="r"):
    """When each text arrived, to the second."""
    return [
        (round(made.at), made.attempt.payload["text"])
        for made in channel.made
        if made.attempt.room == room
    ]


async def test_it_is_sent_then_and_asked_about_again(opened, autojump_clock):
    policy, channel = Quiet(), FakeChannel()
    async with opened(channel, plugins=[policy]) as gateway:
        receipt = await gateway.send("bot", "r", "hello")
        assert receipt.delivered
    assert [(HOUR, "hello")] == at(channel)
    assert [(0, "hello"), (HOUR, "hello")] == [(round(t), text) for t, text in policy.asked]


async def test_it_may_be_delayed_again(opened, autojump_clock):
    policy, channel = Quiet(), FakeChannel()
    async with opened(channel, plugins=[policy]) as gateway:
        ticket = await gateway.enqueue("bot", "r", "hello")
        await trio.sleep(HOUR / 2)
        policy.until = 2 * HOUR
        status = await gateway.status(ticket)
        assert ("schedule", HOUR / 2) == (status.cause, round(status.estimate))
        assert (await ticket.receipt()).delivered
    assert [(2 * HOUR, "hello")] == at(channel)


async def test_for_thirty_days_at_the_most(opened, autojump_clock):
    class Never:
        @hookimpl
        def admit(self):
            return Delay(EPOCH + trio.current_time() + 20 * DAY)

    channel = FakeChannel()
    async with opened(channel, plugins=[Never()]) as gateway:
        assert (await gateway.send("bot", "r", "hello")).delivered
    assert [(30 * DAY, "hello")] == at(channel)


async def test_a_scheduled_one_is_asked_about_when_it_is_due(opened, autojump_clock):
    policy, channel = Quiet(3 * HOUR), FakeChannel()
    async with opened(channel, plugins=[policy]) as gateway:
        await gateway.send("bot", "r", "hello", not_before=EPOCH + 2 * HOUR)
        await gateway.send("bot", "r", "late", not_before=EPOCH + 4 * HOUR)
    assert [(3 * HOUR, "hello"), (4 * HOUR, "late")] == at(channel)


async def test_the_latest_of_several_counts_and_a_class_as_well(opened, autojump_clock):
    class Classed:
        @hookimpl
        def admit(self):
            return "bulk"

    channel = FakeChannel()
    policies = [Quiet(HOUR), Classed(), Quiet(2 * HOUR)]
    async with opened(channel, plugins=policies) as gateway:
        await gateway.send("bot", "r", "hello")
    assert [(2 * HOUR, "hello")] == at(channel)


async def test_a_time_that_has_passed_delays_nothing(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, plugins=[Quiet(-HOUR)]) as gateway:
        await gateway.send("bot", "r", "hello")
    assert [(0, "hello")] == at(channel)


async def test_its_room_waits_for_it_and_no_other_one(opened, autojump_clock):
    """In their order, those too that came as it was due."""
    channel = FakeChannel(latency=1.0)
    async with opened(channel, plugins=[Quiet()]) as gateway:
        tickets = [
            await gateway.enqueue("bot", "r", text)
            for text in ("one", "two now", "three", "four now")
        ]
        await gateway.send("bot", "other", "elsewhere")
        await trio.sleep(HOUR - 1.5)
        tickets.append(await gateway.enqueue("bot", "r", "five now"))
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
    assert ["one", "two now", "three", "four now", "five now"] == channel.texts("r")
    assert HOUR == at(channel)[0][0]
    assert [(0, "elsewhere")] == at(channel, "other")


async def test_those_after_one_that_is_delayed_again_stay_after_it(opened, autojump_clock):
    policy, channel = Quiet(), FakeChannel()
    async with opened(channel, plugins=[policy]) as gateway:
        first = await gateway.enqueue("bot", "r", "one")
        second = await gateway.enqueue("bot", "r", "two now")
        policy.until = 2 * HOUR
        await trio.sleep(1.5 * HOUR)
        assert [] == channel.made
        assert (await first.receipt()).delivered
        assert (await second.receipt()).delivered
    assert [(2 * HOUR, "one"), (2 * HOUR, "two now")] == at(channel)


async def test_whatever_their_times_are_each_room_keeps_its_order(opened, autojump_clock):
    """Alarms for one POSIX time differ by roundings."""
    rooms = [f"r{n}" for n in range(50)]
    policy, channel = Quiet(1.0, *rooms), FakeChannel()
    async with opened(channel, plugins=[policy]) as gateway:
        for n, room in enumerate(rooms):
            await gateway.enqueue("bot", room, "first")
            await trio.sleep(0.001 + n * 0.000012345)
        policy.rooms = ()
        for room in rooms:
            await gateway.enqueue("bot", room, "second")
        await trio.sleep(5)
    assert [["first", "second"]] * 50 == [channel.texts(room) for room in rooms]


async def test_a_clock_that_is_set_back_meanwhile_only_makes_it_late(autojump_clock):
    back = 0.0
    channel = FakeChannel()
    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
    plugins = [("fake", channel), Quiet(50.0)]
    wall = lambda: virtual_wall() - back  # noqa: E731 - it changes below
    async with open_gateway(config, plugins=plugins, wall_clock=wall) as gateway:
        await gateway.enqueue("bot", "r", "hello")
        await trio.sleep(5)
        back = 0.25
        await trio.sleep(60)
    assert [(50, "hello")] == at(channel)


async def test_without_an_order_nobody_waits_for_it_nor_it_for_others(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, plugins=[Quiet()]) as gateway:
        await gateway.enqueue("bot", "r", "news", order="none")
        await gateway.send("bot", "r", "talk now")
        await gateway.enqueue("bot", "r", "more")
        await gateway.send("bot", "r", "code now", order="none")
        await trio.sleep(HOUR + 1)
    assert [(0, "talk now"), (0, "code now")] == at(channel)[:2]
    assert {"news", "more"} == set(channel.texts("r")[2:])


async def test_once_it_has_ended_its_room_waits_no_more(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, plugins=[Quiet()]) as gateway:
        ticket = await gateway.enqueue("bot", "r", "news")
        assert await gateway.cancel(ticket)
        await gateway.send("bot", "r", "talk now")
    assert [(0, "talk now")] == at(channel)


@pytest.mark.parametrize("how", ["cancelled", "expired"])
async def test_once_the_first_has_ended_those_after_it_go_on_at_once(opened, how, autojump_clock):
    """In their order, and what comes later after them."""
    channel, fields = FakeChannel(), {"ttl": HOUR / 4} if how == "expired" else {}
    async with opened(channel, plugins=[Quiet()]) as gateway:
        first = await gateway.enqueue("bot", "r", "one", **fields)
        after = [await gateway.enqueue("bot", "r", f"{text} now") for text in ("two", "three")]
        await trio.sleep(HOUR / 4)
        if how == "cancelled":
            assert await gateway.cancel(first)
        with trio.fail_after(5):
            assert (await after[0].receipt()).delivered
            assert (await after[1].receipt()).delivered
            await gateway.send("bot", "r", "four now")
        assert how == (await first.receipt()).disposition
    assert ["two now", "three now", "four now"] == channel.texts("r")


async def test_one_that_is_shed_keeps_nobody_waiting(autojump_clock):
    """Bulk is shed for others as its partition is full."""
    channel, full = FakeChannel(latency=1.0), {"partition_count": 1, "partition_bound": 20}
    async with open_test_gateway(channel, plugins=[Quiet()], shed=True, **full) as gateway:
        first = await gateway.enqueue("bot", "r", "one", priority="bulk")
        await gateway.enqueue("bot", "r", "two now")
        assert not first.ended
        for number in range(20):
            await gateway.enqueue("bot", f"other {number}", "elsewhere")
        assert "shed" == (await first.receipt()).disposition
        await trio.sleep(5)
    assert ["two now"] == channel.texts("r")


async def test_if_the_first_has_ended_the_next_one_s_own_delay_counts(opened, autojump_clock):
    """Until its end, although a policy that is asked earlier would not delay it."""

    class Each:
        @hookimpl
        def admit(self, envelope):
            if trio.current_time() > 1:
                return None
            return {"one": Delay(EPOCH + 3 * HOUR), "two": Delay(EPOCH + HOUR)}.get(envelope.text)

    channel = FakeChannel()
    async with opened(channel, plugins=[Each()]) as gateway:
        first = await gateway.enqueue("bot", "r", "one")
        for text in ("two", "three"):
            await gateway.enqueue("bot", "r", text)
        await trio.sleep(HOUR / 2)
        assert await gateway.cancel(first)
        await trio.sleep(5 * HOUR)
    assert [(HOUR, "two"), (HOUR, "three")] == at(channel)


async def test_one_between_that_ends_lets_those_after_it_go_with_the_first(opened, autojump_clock):
    class Each:
        @hookimpl
        def admit(self, envelope):
            return {"one": Delay(EPOCH + HOUR), "two": Delay(EPOCH + DAY)}.get(envelope.text)

    channel = FakeChannel()
    async with opened(channel, plugins=[Each()]) as gateway:
        await gateway.enqueue("bot", "r", "one")
        second = await gateway.enqueue("bot", "r", "two")
        await gateway.enqueue("bot", "r", "three")
        assert await gateway.cancel(second)
        await trio.sleep(2 * HOUR)
    assert [(HOUR, "one"), (HOUR, "three")] == at(channel)


async def test_many_that_are_cancelled_in_order_let_the_last_go(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, plugins=[Quiet()]) as gateway:
        tickets = [await gateway.enqueue("bot", "r", f"{number}") for number in range(20)]
        await gateway.enqueue("bot", "r", "last now")
        for ticket in tickets:
            assert await gateway.cancel(ticket)
        await trio.sleep(1)
    assert ["last now"] == channel.texts("r")


@pytest.mark.parametrize("how", ["cancelled", "expired", "expired while nobody runs"])
async def test_after_a_restart_too_those_after_an_ended_one_go_on_at_once(how, autojump_clock):
    outbox, channel, policy = MemoryOutbox(), FakeChannel(), Quiet()
    fields = {} if how == "cancelled" else {"ttl": HOUR / 4}
    async with open_test_gateway(channel, outbox=outbox, plugins=[policy]) as gateway:
        first = await gateway.enqueue("bot", "r", "one", **fields)
        for text in ("two now", "three now"):
            await gateway.enqueue("bot", "r", text)
    if how == "expired while nobody runs":
        await trio.sleep(HOUR / 2)
    async with open_test_gateway(channel, outbox=outbox, plugins=[policy]) as gateway:
        if how == "cancelled":
            assert await gateway.cancel(first)
        await trio.sleep(HOUR / 4 + 1)
        assert ["two now", "three now"] == channel.texts("r")
        assert 0 == gateway.statistics().stored
    assert channel.made[0].at < HOUR


async def test_the_ttl_of_a_class_counts_from_then(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, plugins=[Quiet(5 * DAY)]) as gateway:
        assert (await gateway.send("bot", "r", "hello")).delivered


async def test_the_ttl_of_a_class_counts_from_each_delay(opened, autojump_clock):
    policy = Quiet(5 * DAY)
    async with opened(plugins=[policy]) as gateway:
        ticket = await gateway.enqueue("bot", "r", "hello")
        await trio.sleep(DAY)
        policy.until = 10 * DAY
        assert (await ticket.receipt()).delivered


@pytest.mark.parametrize("fields", [{"ttl": HOUR / 2}, {"deadline": EPOCH + HOUR / 2}], ids=str)
async def test_an_own_ttl_does_not_wait(opened, fields, autojump_clock):
    async with opened(plugins=[Quiet()]) as gateway:
        with pytest.raises(DeliveryError) as caught:
            await gateway.send("bot", "r", "hello", **fields)
        assert Disposition.EXPIRED == caught.value.receipt.disposition
        assert HOUR / 2 == pytest.approx(trio.current_time(), abs=1)


async def test_an_edit_of_a_delayed_message_waits_for_it(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, plugins=[Quiet()]) as gateway:
        ticket = await gateway.enqueue("bot", "r", "one")
        receipt = await gateway.edit(ticket, "two now")
        assert receipt.delivered
        assert HOUR == pytest.approx(trio.current_time(), abs=1)
    assert ["two now"] == channel.texts("r")


async def test_an_edit_may_be_delayed_itself(opened, autojump_clock):
    """Whether its message stands, or is under way as the edit is accepted."""

    class Edits:
        @hookimpl
        def admit(self, envelope):
            return Delay(EPOCH + HOUR) if isinstance(envelope, Edit) else None

    channel = FakeChannel(latency=5.0)
    async with opened(channel, plugins=[Edits()]) as gateway:
        first = await gateway.send("bot", "r", "one")
        second = await gateway.enqueue("bot", "r", "two")
        async with trio.open_nursery() as nursery:
            for target in (first.ref, second):
                nursery.start_soon(gateway.edit, target, "changed")
    edits = [made.at for made in channel.made if made.attempt.operation == "edit"]
    assert [pytest.approx(HOUR, abs=15)] * 2 == edits
    assert ["changed", "changed"] == channel.texts("r")


async def test_closing_waits_for_none_and_lists_them(autojump_clock):
    """Without an outbox they end."""
    async with open_test_gateway(plugins=[Quiet()], drain_timeout=1000) as gateway:
        await gateway.enqueue("bot", "r", "one")
        await gateway.enqueue("bot", "r", "two now")
        left = await gateway.drain()
        assert trio.current_time() < 1
    assert [("one", Disposition.CANCELLED), ("two now", Disposition.CANCELLED)] == sorted(
        (each.envelope.text, each.receipt.disposition) for each in left
    )


async def test_an_outbox_has_them_for_the_next_run_which_keeps_their_order(autojump_clock):
    """What comes in the next run waits for them as well, whatever policies say of it."""
    outbox, channel, policy = MemoryOutbox(), FakeChannel(), Quiet()
    async with open_test_gateway(channel, outbox=outbox, plugins=[policy]) as gateway:
        await gateway.enqueue("bot", "r", "one")
        await gateway.enqueue("bot", "r", "two now")
        assert [] == await gateway.drain()
        assert trio.current_time() < 5
    async with open_test_gateway(channel, outbox=outbox, plugins=[policy]) as gateway:
        assert 2 == gateway.statistics().stored
        await gateway.enqueue("bot", "r", "three now")
        await gateway.send("bot", "other", "elsewhere")
        await trio.sleep(2 * HOUR)
    assert [(HOUR, "one"), (HOUR, "two now"), (HOUR, "three now")] == at(channel)
    assert 5 > at(channel, "other")[0][0]


async def test_it_is_asked_about_again_if_it_comes_due_while_nobody_runs(autojump_clock):
    outbox, channel, policy = MemoryOutbox(), FakeChannel(), Quiet()
    async with open_test_gateway(channel, outbox=outbox, plugins=[policy]) as gateway:
        await gateway.enqueue("bot", "r", "one")
    await trio.sleep(2 * HOUR)
    policy.until = 3 * HOUR
    async with open_test_gateway(channel, outbox=outbox, plugins=[policy]) as gateway:
        await trio.sleep(2 * HOUR)
        assert 0 == gateway.statistics().stored
    assert [(3 * HOUR, "one")] == at(channel)


async def test_the_owner_of_an_account_delays_what_another_process_accepted(autojump_clock):
    """Its policies vote as it takes the envelope on."""
    outbox, channel = MemoryOutbox(), FakeChannel()
    async with open_test_gateway(outbox=outbox, drain_timeout=0) as gateway:
        await gateway.enqueue("bot", "r", "one", not_before=EPOCH + 1)
    (row,) = outbox._rows.values()
    row.entry, row.due = attrs.evolve(row.entry, voted=False, due=None), None
    outbox._order.append((row.position, row.entry.id))
    async with open_test_gateway(channel, outbox=outbox, plugins=[Quiet()]) as gateway:
        await trio.sleep(2 * HOUR)
        assert 0 == gateway.statistics().stored
    assert [(HOUR, "one")] == at(channel)


async def test_a_thousand_delayed_take_no_slot_where_an_outbox_has_them(autojump_clock):
    channel = FakeChannel()
    rooms = [f"r{number}" for number in range(300)]
    async with open_test_gateway(
        channel,
        outbox=MemoryOutbox(),
        plugins=[Quiet(HOUR, *rooms)],
        partition_count=1,
        partition_bound=20,
    ) as gateway:
        for room in rooms:
            await gateway.enqueue("bot", room, "news")
        await gateway.send("bot", "other", "elsewhere")
        assert 5 > trio.current_time()
        await trio.sleep(2 * HOUR)
        assert 0 == gateway.statistics().stored
    assert 301 == len(channel.made)


@pytest.mark.parametrize("until", ["tomorrow", -1, 60, float("nan"), None, 1e12])
def test_a_time_that_is_none_is_refused(until):
    with pytest.raises(ValueError, match="until"):
        Delay(until)
