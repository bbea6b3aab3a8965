"""Reactions and pins: on the message as it stands when their turn comes, in the room's order."""

from __future__ import annotations

import pytest
import trio

from gateway_core import (
    Call,
    DeliveryError,
    Disposition,
    GatewayClosed,
    Invalid,
    KeyRef,
    Limit,
    MessageRef,
    PartRef,
    UnknownInstance,
    from_json,
    to_json,
)
from gateway_core.authors import (
    ErrorClass,
    Problem,
    Reason,
    Sign,
    TransportError,
    Verdict,
    hookimpl,
)
from gateway_core.testing import (
    EPOCH,
    Failure,
    FakeChannel,
    MemoryOutbox,
    failing,
    open_test_gateway,
)

PLACE = {"instance_id": "bot", "external_room_id": "r"}
GONE = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.MESSAGE_GONE, raw="no message")
THERE = Verdict(error_class=ErrorClass.DONE, reason=Reason.NOT_MODIFIED)


def operations(channel):
    return [made.attempt.operation for made in channel.made]


@pytest.fixture(params=["none", "memory"])
def outbox(request):
    return MemoryOutbox() if request.param == "memory" else None


async def test_they_are_put_on_a_message_and_taken_off(outbox, autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        sent = await gateway.send("bot", "r", "hello", thread="t")
        for emoji in ("👍", "❤", "👍"):
            receipt = await gateway.react(sent.ref, emoji)
            assert (True, None) == (receipt.delivered, receipt.ref)
        assert {("r", "1"): ["❤", "👍"]} == channel.reactions
        await gateway.unreact(sent.ref, "❤")
        await gateway.unreact(sent.ref, "👎")  # which is not there
        await gateway.pin(sent.ref)
        await gateway.pin(sent.ref, silent=True)
        assert [{("r", "1"): ["👍"]}, ["1"]] == [channel.reactions, channel.pins["r"]]
        await gateway.unpin(sent.ref)
        await gateway.unreact(sent.ref, "👍")
    assert [{}, []] == [channel.reactions, channel.pins["r"]]
    assert {"t"} == {made.attempt.thread for made in channel.made}
    assert "call:react" == operations(channel)[1]


@pytest.mark.parametrize("named", ["ticket", "its ref", "key"])
async def test_on_a_message_that_is_not_there_yet_they_wait(outbox, autojump_clock, named):
    """It has its id only then."""
    channel = FakeChannel(latency=5)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        ticket = await gateway.enqueue("bot", "r", "hello", key="k", order="none", thread="t")
        key = KeyRef(**PLACE, key="k")
        targets = {"ticket": ticket, "its ref": ticket.ref, "key": key}
        receipt = await gateway.react(targets[named], "👍")
    assert receipt.delivered
    assert {("r", "1"): ["👍"]} == channel.reactions
    assert ["send", "call:react"] == operations(channel)
    assert ["t", "t"] == [made.attempt.thread for made in channel.made]


async def test_on_a_message_that_is_scheduled_they_wait_for_its_time(outbox, autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        ticket = await gateway.enqueue("bot", "r", "later", not_before=EPOCH + 4_000)
        assert (await gateway.pin(ticket)).delivered
    assert [4_000, 4_000] == pytest.approx(channel.times)
    assert ["1"] == channel.pins["r"]


async def test_they_keep_their_place_among_the_messages_of_the_room(engine, autojump_clock):
    channel = FakeChannel(latency=1)
    async with engine(channel) as gateway, trio.open_nursery() as nursery:
        sent = await gateway.send("bot", "r", "hello")
        await gateway.enqueue("bot", "r", "before")
        nursery.start_soon(gateway.react, sent.ref, "👍")
        await trio.testing.wait_all_tasks_blocked()
        await gateway.enqueue("bot", "r", "after")
    assert ["send", "send", "call:react", "send"] == operations(channel)


async def test_without_an_order_they_wait_for_no_other_message(engine, autojump_clock):
    channel = FakeChannel(latency=10)
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "hello")
        queued = [await gateway.enqueue("bot", "r", f"{n}") for n in range(3)]
        await gateway.react(sent.ref, "👀", order="none")
        assert 20 == trio.current_time()
        assert not queued[2].ended


async def test_of_several_parts_the_first_is_meant(engine, autojump_clock):
    channel = FakeChannel()
    parts = tuple(PartRef(message_id=name) for name in ("7", "8"))
    ref = MessageRef(**PLACE, envelope_id="", parts=parts)
    async with engine(channel) as gateway:
        await gateway.pin(ref)
    assert ["7"] == channel.pins["r"]


async def test_on_a_message_that_was_deleted_nobody_asks_the_platform(engine, autojump_clock):
    """A stale ref: the gateway knows better."""
    channel = FakeChannel()
    async with engine(channel) as gateway:
        first = await gateway.send("bot", "r", "hello")
        await gateway.delete(first.ref)
        receipt = await gateway.react(first.ref, "👍", raises=False)
    assert Disposition.REJECTED == receipt.disposition
    assert Reason.MESSAGE_GONE == receipt.verdict.reason
    assert ["send", "delete"] == operations(channel)


async def test_a_message_that_never_arrived_ends_them(outbox, autojump_clock):
    channel = FakeChannel(script=failing(GONE))
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        ticket = await gateway.enqueue("bot", "r", "refused")
        receipt = await gateway.react(ticket, "👍", raises=False)
        assert Disposition.REJECTED == receipt.disposition
        with pytest.raises(DeliveryError, match="never arrived"):
            await gateway.pin(ticket)
    assert ["send"] == operations(channel)


async def test_one_that_somebody_else_has_deleted_ends_them_too(engine, autojump_clock):
    async def script(attempt):
        if attempt.method is not None:
            raise Failure(GONE)

    async with engine(FakeChannel(script=script)) as gateway:
        sent = await gateway.send("bot", "r", "hello")
        receipt = await gateway.react(sent.ref, "👍", raises=False)
        assert (Disposition.REJECTED, GONE) == (receipt.disposition, receipt.verdict)
        assert (await gateway.edit(sent.ref, "what is known of it stays")).delivered


async def test_what_is_so_already_is_success(engine, autojump_clock):
    async def script(attempt):
        if attempt.method is not None:
            raise Failure(THERE)

    async with engine(FakeChannel(script=script)) as gateway:
        sent = await gateway.send("bot", "r", "hello")
        receipt = await gateway.react(sent.ref, "👍")
    assert (True, ["unchanged"]) == (receipt.delivered, [part.outcome for part in receipt.parts])


async def test_an_unknown_outcome_is_asked_for_again_and_makes_no_copy(engine, autojump_clock):
    """Whatever the channel says of the method: a mark is idempotent."""
    left = [3]

    async def script(attempt):
        if attempt.method is not None and left[0]:
            left[0] -= 1
            raise TransportError("reset", dispatched="unknown")

    channel = FakeChannel(script=script)
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "hello")
        receipt = await gateway.pin(sent.ref)
    assert (True, False, 4) == (receipt.delivered, receipt.possible_duplicate, receipt.attempts)


async def test_the_limits_of_the_method_hold(engine, autojump_clock):
    channel = FakeChannel(
        limits=lambda _room, operation: (
            [Limit("reactions", 1, 10)] if operation == "call:react" else []
        )
    )
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "hello")
        for emoji in "abc":
            await gateway.react(sent.ref, emoji)
    assert [0, 10, 20] == pytest.approx(channel.times[1:])


async def test_a_key_makes_one_of_a_repeated_webhook(outbox, autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        sent = await gateway.send("bot", "r", "hello")
        receipts = [await gateway.react(sent.ref, "👍", key="update-1") for _ in range(2)]
    assert [False, True] == [receipt.replayed for receipt in receipts]
    assert ["send", "call:react"] == operations(channel)


async def test_one_that_was_accepted_before_a_kill_is_put_on_the_message_after_it(autojump_clock):
    """The message is in the outbox as well, and is sent by the next run."""
    outbox, hold = MemoryOutbox(), [True]

    async def script(_attempt):
        if hold[0]:
            await trio.sleep_forever()

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=1) as gateway:
        ticket = await gateway.enqueue("bot", "r", "hello")
        async with trio.open_nursery() as nursery:

            async def react():
                with pytest.raises(GatewayClosed):
                    await gateway.react(ticket, "👍")

            nursery.start_soon(react)
            await trio.testing.wait_all_tasks_blocked()
            gateway.quiet()
            await gateway.drain()
    hold[0] = False
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(10)
    assert [["👍"]] == list(channel.reactions.values())


async def test_a_kill_amid_one_makes_no_possible_duplicate(autojump_clock):
    outbox, hold = MemoryOutbox(), [True]

    async def script(attempt):
        if hold[0] and attempt.method is not None:
            await trio.sleep_forever()

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=1) as gateway:
        sent = await gateway.send("bot", "r", "hello")
        call = Call(**PLACE, method="pin", target=sent.ref, repeat_safe=True, key="k")
        await gateway.submit(call)
        await trio.sleep(1)
    hold[0] = False
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        receipt = await (await gateway.submit(call)).receipt()
    assert (True, False) == (receipt.delivered, receipt.possible_duplicate)
    assert ["1"] == channel.pins["r"]
    assert ["send", "call:pin", "call:pin"] == operations(channel)


class Unmarked(FakeChannel):
    """A channel without reactions and pins, or with a mistake."""

    def __init__(self, answer=None) -> None:
        super().__init__()
        self.answer = answer

    @hookimpl
    def mark(self):
        return self.answer


REF = MessageRef(**PLACE, envelope_id="e", parts=(PartRef(message_id="1"),))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "operation: channel 'fake' has no react"),
        (Problem("emoji", "is unknown here"), "emoji: is unknown here"),
    ],
)
async def test_a_channel_without_them_refuses(engine, autojump_clock, answer, words):
    async with engine(Unmarked(answer)) as gateway:
        with pytest.raises(Invalid, match=words):
            await gateway.react(REF, "👍")


async def test_a_mark_of_another_type_is_the_adapters_mistake(autojump_clock):
    async with open_test_gateway(Unmarked(Sign(method="a\x00"))) as gateway:
        with pytest.raises(Exception, match="Sign whose method is a name"):
            await gateway.pin(REF)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda g: g.react(REF, ""), "emoji: is empty"),
        (lambda g: g.react(REF, None), "emoji: must be a text"),
        (lambda g: g.react(REF, "a\x00"), "emoji: "),
        (lambda g: g.react(None, "👍"), "target: must be a MessageRef"),
        (lambda g: g.react(MessageRef(**PLACE, envelope_id=""), "👍"), "target: names no message"),
        (lambda g: g.pin(REF, silent="no"), "silent: must be true or false"),
        (lambda g: g.pin(REF, priority="high"), "priority"),
        (lambda g: g.pin(REF, on_cancel="never"), "on_cancel"),
        (lambda g: g.unpin(REF, raises="no"), "raises"),
    ],
)
async def test_bad_input_is_named(engine, autojump_clock, call, words):
    async with engine(FakeChannel()) as gateway:
        with pytest.raises(Invalid, match=words):
            await call(gateway)


async def test_an_unknown_instance_and_a_closed_gateway_refuse(autojump_clock):
    other = MessageRef(instance_id="other", external_room_id="r", envelope_id="e", parts=REF.parts)
    async with open_test_gateway() as gateway:
        with pytest.raises(UnknownInstance):
            await gateway.react(other, "👍")
        gateway.quiet()
        with pytest.raises(GatewayClosed):
            await gateway.react(REF, "👍")


def test_a_call_about_a_message_is_plain_json():
    for target in (REF, KeyRef(**PLACE, key="k")):
        call = Call(**PLACE, method="pin", target=target, repeat_safe=True)
        assert call == from_json(Call, to_json(call))
    assert "target" not in to_json(Call(**PLACE, method="pin"))


async def test_a_call_of_ones_own_may_concern_a_message(engine, autojump_clock):
    """Its thread is the message's, if the call names none; what it names must be one."""
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "hello", thread="t")
        ticket = await gateway.submit(Call(**PLACE, method="look", target=sent.ref))
        assert (await ticket.receipt()).delivered
        with pytest.raises(Invalid, match="target: must be a MessageRef or a KeyRef, not str"):
            await gateway.submit(Call(**PLACE, method="look", target="1"))
        with pytest.raises(Invalid, match="repeat_safe: must be true or false"):
            await gateway.submit(Call(**PLACE, method="look", repeat_safe="yes"))
    assert ("1", "t") == (channel.made[1].attempt.message_id, channel.made[1].attempt.thread)
    assert {} == channel.reactions
