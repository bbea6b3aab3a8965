"""A long text holds nobody up: it is planned in a worker thread, or refused by its letters."""

from __future__ import annotations

import threading

import attrs
import pytest
import trio

from gateway_core import (
    Edit,
    GatewayClosed,
    GatewayConfig,
    HookContractError,
    Instance,
    Invalid,
    MessageRef,
    Part,
    Problem,
    Send,
    UnknownInstance,
    preview,
)
from gateway_core.authors import hookimpl
from gateway_core.engine.long_texts import LONG
from gateway_core.testing import FakeChannel, FakeSettings, open_test_gateway

TEXT = "word " * (LONG // 5 + 1)
BOT = Instance("bot", "fake", FakeSettings())


class Threaded(FakeChannel):
    """Notes the thread in which it plans; a plan waits until it is let go on."""

    def __init__(self, **given):
        super().__init__(**given)
        self.threads = []
        self.begun = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    @hookimpl
    def chunk(self, envelope):
        self.threads.append(threading.get_ident())
        self.begun.set()
        if len(envelope.text) > LONG:
            assert self.goes_on.wait(10)
        return [Part(payload={"text": envelope.text[:100]}, span=(0, len(envelope.text)))]


class Measured(FakeChannel):
    """Says how much a part holds at most; may not be asked for a plan."""

    @hookimpl
    def traits(self):
        return attrs.evolve(super().traits(), longest_part=1000)

    @hookimpl
    def chunk(self):
        raise AssertionError("it was planned")


async def test_a_long_text_is_planned_in_a_worker_thread():
    channel = Threaded()
    async with open_test_gateway(channel) as gateway:
        receipt = await gateway.send("bot", "r", TEXT)
        await gateway.edit(receipt.ref, TEXT + "more")
    assert len(channel.threads) == 2
    assert threading.get_ident() not in channel.threads


async def test_a_short_text_is_planned_at_once():
    channel = Threaded()
    async with open_test_gateway(channel) as gateway:
        await gateway.send("bot", "r", TEXT[:LONG])
    assert [threading.get_ident()] == channel.threads


async def test_long_texts_of_groups_are_planned_in_a_worker_thread():
    channel = Threaded()
    async with open_test_gateway(channel) as gateway:
        template = Send(instance_id="bot", external_room_id="any", text=TEXT)
        await gateway.broadcast("bot", ["r1", "r2"], TEXT)
        own = [attrs.evolve(template, external_room_id=room) for room in ("r3", "r4")]
        job = await gateway.submit_many(own)
        await job.wait()
    assert threading.get_ident() not in channel.threads
    assert len(channel.threads) >= 3


async def test_others_are_served_while_a_long_text_is_planned():
    channel = Threaded()
    channel.goes_on.clear()
    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(gateway.send, "bot", "r", TEXT)
        await trio.to_thread.run_sync(channel.begun.wait, 10)
        receipt = await gateway.send("bot", "other", "short")
        assert "delivered" == receipt.disposition
        channel.goes_on.set()


async def test_a_caller_that_goes_away_leaves_no_long_text_behind():
    channel = Threaded()
    channel.goes_on.clear()
    async with open_test_gateway(channel) as gateway:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.send, "bot", "r", TEXT)
            await trio.to_thread.run_sync(channel.begun.wait, 10)
            nursery.cancel_scope.cancel()
        channel.goes_on.set()
        assert 0 == gateway.statistics().unfinished
    assert [] == channel.made


async def test_an_account_that_was_taken_out_meanwhile_is_not_known_any_more():
    channel = Threaded()
    channel.goes_on.clear()
    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:

        async def send():
            with pytest.raises(UnknownInstance):
                await gateway.send("bot", "r", TEXT)

        nursery.start_soon(send)
        await trio.to_thread.run_sync(channel.begun.wait, 10)
        await gateway.remove_instance("bot")
        channel.goes_on.set()


async def test_a_plan_for_settings_of_before_is_made_again():
    channel = Threaded()
    channel.goes_on.clear()
    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(gateway.send, "bot", "r", TEXT)
        await trio.to_thread.run_sync(channel.begun.wait, 10)
        gateway.replace_instance(Instance("bot", "fake", FakeSettings()))
        channel.goes_on.set()
    assert 2 == len(channel.threads)


async def test_a_time_to_live_counts_from_the_call():
    channel = Threaded()
    channel.goes_on.clear()
    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        receipts = []

        async def send():
            receipts.append(await gateway.send("bot", "r", TEXT, ttl=5, raises=False))

        nursery.start_soon(send)
        await trio.to_thread.run_sync(channel.begun.wait, 10)
        await trio.sleep(6)
        channel.goes_on.set()
    assert ["expired"] == [receipt.disposition for receipt in receipts]


async def test_what_a_plan_raises_in_its_thread_names_the_plugin():
    class Broken(FakeChannel):
        @hookimpl
        def chunk(self):
            raise KeyError("broken")

    async with open_test_gateway(Broken()) as gateway:
        with pytest.raises(HookContractError, match="Broken: hook chunk: raised KeyError"):
            await gateway.send("bot", "r", TEXT)


@pytest.mark.parametrize("kind", ["send", "edit"])
def test_a_text_whose_letters_alone_are_too_many_is_not_planned(kind):
    envelope = Send(instance_id="bot", external_room_id="r", text="# a\n" * 50_001)
    if kind == "edit":
        target = MessageRef(instance_id="bot", external_room_id="r", envelope_id="e")
        envelope = Edit(instance_id="bot", external_room_id="r", text=envelope.text, target=target)
    found = preview(BOT, envelope, plugins=[("fake", Measured())])
    text = "needs at least 51 messages, at most 50 (`max_parts`)"
    assert (Problem("text", text),) == found.problems


class Unending(FakeChannel):
    """Plans a part for each word; parts after the third one have no usable span."""

    @hookimpl
    def chunk(self, envelope):
        spans = [(0, 1), (1, 1), (1, 1)] + [(0, 10**9)] * (len(envelope.text.split()) - 3)
        return [Part(payload={"text": "a"}, span=span) for span in spans]


@pytest.mark.parametrize("text", ["a " * 2000, "a " * LONG], ids=["short", "long"])
async def test_no_part_is_checked_that_is_one_too_many(text):
    """The plan of such a text may have thousands of parts, and the event loop would check each."""
    async with open_test_gateway(Unending(), max_parts=3) as gateway:
        words = rf"needs {len(text) // 2} messages, at most 3 \(`max_parts`\)"
        with pytest.raises(Invalid, match=words):
            await gateway.send("bot", "r", text)
        template = Send(instance_id="bot", external_room_id="r", text=text)
        with pytest.raises(Invalid, match=words):
            await gateway.submit_many([template])


@pytest.mark.parametrize("text", ["a " * 2000, "a " * LONG], ids=["short", "long"])
async def test_no_part_is_checked_that_a_stream_leaves_out(text):
    channel = Unending()
    opened = open_test_gateway(channel, max_parts=3)
    async with opened as gateway, gateway.stream(("bot", "r")) as out:
        out.write("a ")
        while not channel.made:  # noqa: ASYNC110 - what is looked at has no event
            await trio.sleep(0.01)
        out.write(text)
    assert ("delivered", 3) == (out.receipt.disposition, len(channel.rooms["r"]))


async def test_each_way_in_refuses_it():
    text = "a" * 50_001
    async with open_test_gateway(Measured()) as gateway:
        for ask in (
            lambda: gateway.send("bot", "r", text),
            lambda: gateway.broadcast("bot", ["r"], text),
            lambda: gateway.submit_many([Send(instance_id="bot", external_room_id="r", text=text)]),
        ):
            with pytest.raises(Invalid, match="needs at least 51 messages, at most 50"):
                await ask()


@pytest.mark.parametrize(
    ("text", "form", "most"),
    [("a" * 50_000, "markdown", 50), ("a" * 50_001, "native", 50), ("a" * 50_001, "plain", 51)],
    ids=["just fits", "native", "more parts"],
)
def test_what_may_fit_is_planned(text, form, most):
    envelope = Send(instance_id="bot", external_room_id="r", text=text, format=form)
    config = GatewayConfig(max_parts=most)
    with pytest.raises(HookContractError, match="it was planned"):
        preview(BOT, envelope, plugins=[("fake", Measured())], config=config)


def test_a_policy_that_plans_itself_decides_how_long_a_text_may_be():
    class Shortening:
        @hookimpl
        def chunk(self, envelope):
            return [Part(payload={"text": envelope.text[:10]}, span=(0, len(envelope.text)))]

    envelope = Send(instance_id="bot", external_room_id="r", text="a" * 999_999)
    assert () == preview(BOT, envelope, plugins=[Shortening(), ("fake", Measured())]).problems


async def test_a_closed_gateway_takes_no_long_text_that_is_still_being_planned():
    channel = Threaded()
    channel.goes_on.clear()
    async with trio.open_nursery() as nursery:
        async with open_test_gateway(channel) as gateway:

            async def send():
                with pytest.raises(GatewayClosed):
                    await gateway.send("bot", "r", TEXT)

            nursery.start_soon(send)
            await trio.to_thread.run_sync(channel.begun.wait, 10)
        channel.goes_on.set()
