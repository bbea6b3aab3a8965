"""`gateway.reply`: room, thread, reply and key out of the event, once for each event."""

from functools import partial

import pytest
import trio

from gateway_core import (
    AmbiguousEvent,
    DeliveryError,
    GatewayClosed,
    GatewayConfig,
    HookContractError,
    IdempotencyConflict,
    Instance,
    Invalid,
    UnknownEvent,
    UnknownInstance,
    open_gateway,
)
from gateway_core.authors import Address, ErrorClass, Reason, Verdict, hookimpl
from gateway_core.testing import (
    Failure,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    event,
    open_test_gateway,
)

REFUSED = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.BAD_REQUEST)


async def test_an_answer_goes_back_to_where_the_event_came_from(gateway, channel, autojump_clock):
    receipt = await gateway.reply(event(room="lobby", thread="7", id="e1"), "hello back")
    attempt = channel.made[0].attempt
    assert ("lobby", "7", "e1") == (attempt.room, attempt.thread, attempt.reply)
    assert ("bot", "lobby") == (receipt.instance_id, receipt.external_room_id)


async def test_an_answer_may_leave_the_message_unquoted(gateway, channel, autojump_clock):
    await gateway.reply(event(), "hello back", quote=False)
    assert channel.made[0].attempt.reply is None


async def test_the_fields_of_send_are_those_of_reply(gateway, channel, autojump_clock):
    answer = partial(gateway.reply, priority="urgent", ttl=5, extra={"a": 1}, order="none")
    await answer(event(), "now", format="plain", silent=True, link_previews=True, collapse="x")
    assert {"a": 1} == channel.made[0].attempt.extra


async def test_an_event_that_is_delivered_again_is_answered_once(gateway, channel, autojump_clock):
    """By whatever a model wrote the second time."""
    first = await gateway.reply(event(id="e1"), "one")
    again = await gateway.reply(event(id="e1"), "uno")
    assert ["one"] == channel.texts("room")
    assert (first.envelope_id, True) == (again.envelope_id, again.replayed)


async def test_one_that_is_delivered_again_meanwhile_gets_the_answer_under_way(autojump_clock):
    channel = FakeChannel(latency=3.0)
    receipts = []

    async def handle(delivered, text):
        receipts.append(await gateway.reply(delivered, text))
        receipts.append(await gateway.reply(delivered, f"{text}, more"))

    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(handle, event(id="e1"), "one")
        await trio.sleep(1)
        nursery.start_soon(handle, event(id="e1"), "uno")
    first, second = channel.texts("room")
    assert "one" == first
    assert second in ("one, more", "uno, more")  # both go on at once
    assert 2 == len({receipt.envelope_id for receipt in receipts})


async def test_further_answers_to_one_event_are_other_messages(gateway, channel, autojump_clock):
    for _ in range(2):
        delivered = event(id="e1")
        await gateway.reply(delivered, "one")
        await gateway.reply(delivered, "two")
        await gateway.reply(delivered, "done", key="done")
    assert ["one", "two", "done"] == channel.texts("room")


async def test_an_answer_that_never_left_is_given_when_the_event_comes_again(autojump_clock):
    channel = FakeChannel(limits=lambda *_: ())
    async with open_test_gateway(channel) as gateway:
        gateway.suspend("bot")
        with pytest.raises(DeliveryError):
            await gateway.reply(event(id="e1"), "one", ttl=1)
        gateway.resume("bot")
        await gateway.reply(event(id="e1"), "one")
    assert ["one"] == channel.texts("room")


async def test_a_refused_answer_leaves_the_next_one_its_own_key(autojump_clock):
    async def script(attempt):
        if "bad" in str(attempt.payload):
            raise Failure(REFUSED)

    async with open_test_gateway(FakeChannel(script=script)) as gateway:
        delivered = event(id="e1")
        with pytest.raises(DeliveryError):
            await gateway.reply(delivered, "bad")
        assert (await gateway.reply(delivered, "sorry")).delivered


async def test_another_text_can_be_a_conflict(gateway, autojump_clock):
    await gateway.reply(event(id="e1"), "one")
    with pytest.raises(IdempotencyConflict):
        await gateway.reply(event(id="e1"), "two", on_conflict="raise")


async def test_an_event_is_answered_once_over_a_restart(autojump_clock):
    outbox = MemoryOutbox()
    channel = FakeChannel()
    for _ in range(2):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            await gateway.reply(event(id="e1"), "one")
    assert ["one"] == channel.texts("room")


@pytest.mark.parametrize("other", [None, {}, {"update_id": 1}, "hello", 5])
async def test_an_event_of_no_conversation_raises(gateway, other, autojump_clock):
    with pytest.raises(UnknownEvent, match="'bot'") as raised:
        await gateway.reply(other, "hello?")
    assert ("bot",) == raised.value.instances
    with pytest.raises(UnknownEvent):
        await gateway.reply(other, "hello?", instance="bot")


@pytest.mark.parametrize("named", [None, "bot"])
async def test_what_is_no_event_is_called_what_it_is(gateway, named, autojump_clock):
    """A room's id stands where an event should, say."""
    with pytest.raises(UnknownEvent, match=r"^the event, a str, belongs to no conversation"):
        await gateway.reply("room", "text", instance=named)


async def test_an_event_that_two_instances_know_needs_the_name_of_one(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, instances=["a", "b"]) as gateway:
        with pytest.raises(AmbiguousEvent, match="'a', 'b'"):
            await gateway.reply(event(), "hello back")
        receipt = await gateway.reply(event(), "hello back", instance="b")
        with pytest.raises(UnknownInstance):
            await gateway.reply(event(), "hello back", instance="c")
    assert "b" == receipt.instance_id


class Other(FakeChannel):
    """Another channel, whose events are numbers, and which fails at a text."""

    @hookimpl
    def address(self, event):
        if isinstance(event, str):
            raise ValueError(event)  # noqa: TRY004 - another platform's event breaks it
        return Address(external_room_id="other", key=str(event)) if event == 5 else None


async def test_the_instance_is_the_one_whose_adapter_knows_the_event(autojump_clock):
    """One that fails at what is another platform's does not know it."""
    config = GatewayConfig(
        instances=[
            Instance("one", "fake", FakeSettings()),
            Instance("two", "other", FakeSettings()),
        ]
    )
    one, two = FakeChannel(), Other()
    async with open_gateway(config, plugins=[("fake", one), ("other", two)]) as gateway:
        assert "one" == (await gateway.reply(event(), "hello back")).instance_id
        assert "two" == (await gateway.reply(5, "hello back")).instance_id
        with pytest.raises(UnknownEvent, match="'one', 'two'"):
            await gateway.reply("hello", "hello back")


class Numbers(FakeChannel):
    """Its rooms are numbers, of which it forgets to make texts."""

    @hookimpl
    def address(self, event):
        return Address(external_room_id=event) if isinstance(event, int) else None


@pytest.mark.parametrize("named", [None, "bot"])
async def test_an_address_that_no_answer_could_use_is_the_plugin_s_mistake(named, autojump_clock):
    async with open_test_gateway(Numbers()) as gateway:
        with pytest.raises(HookContractError, match="Numbers: hook address: answered with Address"):
            await gateway.reply(5, "hello back", instance=named)
        with pytest.raises(UnknownEvent):
            await gateway.reply("hello", "hello back", instance=named)


async def test_what_is_no_flag_is_refused(gateway, autojump_clock):
    for name in ("quote", "ephemeral"):
        with pytest.raises(Invalid, match=name):
            await gateway.reply(event(), "hello back", **{name: "no"})


async def test_nobody_is_answered_by_a_closed_gateway(channel, autojump_clock):
    async with open_test_gateway(channel) as gateway:
        pass
    with pytest.raises(GatewayClosed):
        await gateway.reply(event(asked="command"), "too late")
