"""The whole way: envelopes through a gateway and this adapter to the emulated Telegram."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from random import Random

import attrs
import pytest
import trio

from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_contrib.emulators.wire import Latency
from gateway_core import (
    DeliveryError,
    Disposition,
    GatewayConfig,
    Invalid,
    Reason,
    Receipt,
    Send,
    open_gateway,
)
from gateway_core.testing import virtual_wall


@pytest.fixture
def opened(network, instance):
    """Opens a gateway to an emulator; a round trip takes 20 to 80 ms."""

    @asynccontextmanager
    async def make(emulator: TelegramEmulator):
        distance = Latency(0.02, 0.08, "wire").halves
        network.mount(instance.settings.base_url, emulator.app, latency=distance)
        config = GatewayConfig(instances=[instance])
        rng = Random("jitter")
        async with open_gateway(config, rng=rng, wall_clock=virtual_wall) as gateway:
            yield gateway

    return make


async def receipts_of(gateway, sends: Sequence[Send]) -> list[Receipt]:
    tickets = [await gateway.submit(send) for send in sends]
    return [await ticket.receipt() for ticket in tickets]


def texts(emulator: TelegramEmulator, room: str) -> list[str]:
    return [message.text for message in emulator.rooms.conversation(room)]


async def test_people_groups_and_topics_without_one_foreseeable_429(opened, autojump_clock):
    """30 rooms of 5 texts: groups and topics keep their order, and no limit is touched."""
    emulator = TelegramEmulator()
    topics = [emulator.create_topic("-1009") for _ in range(3)]
    places = [(str(number), None) for number in range(1, 20)]
    places += [(str(-number), None) for number in range(1, 9)]
    places += [("-1009", topic) for topic in topics]
    sends = [
        Send(instance_id="support", external_room_id=room, thread_id=topic, text=f"{topic} {n}")
        for n in range(5)
        for room, topic in places
    ]
    async with opened(emulator) as gateway:
        receipts = await receipts_of(gateway, sends)
    assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}
    assert (150, 0) == (emulator.counters["stored"], emulator.counters["rate_limited"])
    for room, topic in places:
        arrived = [message.text for message in emulator.rooms.conversation(room)
                   if message.thread == topic]  # fmt: skip
        assert [f"{topic} {n}" for n in range(5)] == arrived


@pytest.mark.parametrize(("priority", "seconds"), [("normal", 1), ("bulk", 2)])
async def test_a_higher_ceiling_is_for_all_classes_but_bulk(
    network, instance, autojump_clock, priority, seconds
):
    """60 rooms at 60 a second; bulk keeps to the 30 that are documented for it."""
    emulator = TelegramEmulator(limits=TelegramLimits(bot_count=60))
    network.mount(instance.settings.base_url, emulator.app)
    settings = attrs.evolve(instance.settings, bot_count=60)
    config = GatewayConfig(instances=[attrs.evolve(instance, settings=settings)])
    sends = [
        Send(instance_id="support", external_room_id=str(n), text="x", priority=priority)
        for n in range(1, 61)
    ]
    async with open_gateway(config, wall_clock=virtual_wall) as gateway:
        before = trio.current_time()
        await receipts_of(gateway, sends)
        assert seconds - 0.1 < trio.current_time() - before < seconds + 0.1
    assert (60, 0) == (emulator.counters["stored"], emulator.counters["rate_limited"])


async def test_a_moved_group_gets_its_message_in_its_new_room(opened, autojump_clock):
    emulator = TelegramEmulator()
    moved = emulator.migrate_room("-7")
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", "-7", "hello")
        edited = await gateway.edit(receipt.ref, "hello again")
    assert (moved, True) == (receipt.moved_to, edited.delivered)
    assert (["hello again"], []) == (texts(emulator, moved), texts(emulator, "-7"))


async def test_a_lost_reply_is_dropped_and_told(opened, autojump_clock):
    emulator = TelegramEmulator()
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", "7", "hello", reply_to="99")
    assert ["hello"] == texts(emulator, "7")
    assert ("without_reply",) == receipt.transforms


async def test_a_blocked_bot_ends_the_room_alone(opened, autojump_clock):
    emulator = TelegramEmulator()
    emulator.remove_room("7")
    async with opened(emulator) as gateway:
        with pytest.raises(DeliveryError) as caught:
            await gateway.send("support", "7", "hello")
        other = await gateway.send("support", "8", "hello")
    assert Disposition.REJECTED == caught.value.receipt.disposition
    assert Reason.ROOM_GONE == caught.value.receipt.verdict.reason
    assert other.delivered


async def test_an_unchanged_edit_counts_as_delivered(opened, autojump_clock):
    """Telegram answers an edit that is already there with an error; nothing was wrong."""
    emulator = TelegramEmulator(faults=FaultPlan(script={1: Fault.RESET_AFTER}))
    async with opened(emulator) as gateway:
        sent = await gateway.send("support", "7", "old")
        edited = await gateway.edit(sent.ref, "new")
    assert (True, 2) == (edited.delivered, edited.attempts)
    assert ["new"] == texts(emulator, "7")


async def test_a_delete_whose_answer_was_lost_is_repeated(opened, autojump_clock):
    emulator = TelegramEmulator(faults=FaultPlan(script={1: Fault.RESET_AFTER}))
    async with opened(emulator) as gateway:
        sent = await gateway.send("support", "7", "soon gone")
        deleted = await gateway.delete(sent.ref)
    assert deleted.delivered
    assert [] == texts(emulator, "7")


async def test_a_revoked_token_suspends_until_it_works_again(opened, autojump_clock, token):
    emulator = TelegramEmulator()
    emulator.revoke(token)
    async with opened(emulator) as gateway:
        ticket = await gateway.submit(
            Send(instance_id="support", external_room_id="7", text="hello")
        )
        await trio.sleep(30)
        assert [] == texts(emulator, "7")
        emulator.restore(token)
        gateway.resume("support")
        receipt = await ticket.receipt()
    assert (True, ["hello"]) == (receipt.delivered, texts(emulator, "7"))


@pytest.mark.parametrize(
    ("room", "text", "place"),
    [("general", "x", "external_room_id"), ("7", "\u200b", "text"), ("7", "", "text")],
)
async def test_bad_input_is_refused_by_field(opened, autojump_clock, room, text, place):
    async with opened(TelegramEmulator()) as gateway:
        with pytest.raises(Invalid) as caught:
            await gateway.send("support", room, text)
    assert place in {problem.place for problem in caught.value.problems}


async def test_faults_lose_nothing_and_tell_of_duplicates(opened, autojump_clock):
    rates = {fault: 0.05 for fault in Fault if fault not in {Fault.TOKEN_REVOKED, Fault.ROOM_GONE}}
    emulator = TelegramEmulator(faults=FaultPlan(seed="t", rates=rates))
    sends = [
        Send(instance_id="support", external_room_id=str(room), text=f"{room}/{n}")
        for n in range(5)
        for room in range(1, 11)
    ]
    async with opened(emulator) as gateway:
        receipts = await receipts_of(gateway, sends)
    assert sum(emulator.faults.counts.values()) > 5
    stored = [text for room in range(1, 11) for text in texts(emulator, str(room))]
    for send, receipt in zip(sends, receipts, strict=True):
        assert receipt.disposition in {Disposition.DELIVERED, Disposition.UNKNOWN}
        assert stored.count(send.text) == 1 or receipt.possible_duplicate
        assert stored.count(send.text) >= 1 or receipt.disposition is Disposition.UNKNOWN
