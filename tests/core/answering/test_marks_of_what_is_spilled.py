"""Reactions to messages that are in the outbox only: they stay behind them, as edits do."""

from __future__ import annotations

import pytest
import trio

from gateway_core import Call, KeyRef, Send
from gateway_core.testing import EPOCH, FakeChannel, MemoryOutbox, open_test_gateway

PLACE = {"instance_id": "bot", "external_room_id": "room"}
KEY = KeyRef(**PLACE, key="k")


def open_life(outbox, channel):
    """One slot for the room: what comes second is spilled."""
    settings = {"drain_timeout": 0.0, "partition_count": 2, "room_bound": 1}
    return open_test_gateway(channel, outbox=outbox, **settings)


def react(target, **fields):
    arguments = {"emoji": "👍"}
    return Call(**PLACE, method="react", arguments=arguments, target=target, **fields)


@pytest.fixture
def outbox():
    return MemoryOutbox()


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("order", ["room", "none"])
async def test_it_comes_after_its_message_wherever_that_waits(
    outbox, autojump_clock, restarts, by_key, order
):
    channel = FakeChannel(latency=5.0)
    async with open_life(outbox, channel) as gateway:
        await gateway.submit(Send(**PLACE, text="before"))
        ticket = await gateway.submit(Send(**PLACE, text="hello", key="k", order=order))
        mark = await gateway.submit(react(KEY if by_key else ticket.ref, order=order))
        if not restarts:
            await trio.sleep(1_000)
    if restarts:
        channel = FakeChannel()
        async with open_life(outbox, channel) as gateway:
            await trio.sleep(1_000)
            assert (await gateway.status(mark.id)).receipt.delivered
    (place,) = channel.reactions
    assert "hello" == channel.rooms["room"][place[1]]
    operations = [made.attempt.operation for made in channel.made]
    assert "call:react" == operations[-1] or order == "none"


@pytest.mark.parametrize("restarts", [False, True])
async def test_of_a_message_that_is_scheduled_it_waits_for_its_time(
    outbox, autojump_clock, restarts
):
    channel = FakeChannel()
    async with open_life(outbox, channel) as gateway:
        later = Send(**PLACE, text="later", not_before=EPOCH + 1_000)
        ticket = await gateway.submit(later)
        mark = await gateway.submit(react(ticket.ref))
        await trio.sleep(10)
        if not restarts:
            await trio.sleep(2_000)
            assert (await mark.receipt()).delivered
    if restarts:
        async with open_life(outbox, channel) as gateway:
            await trio.sleep(2_000)
            assert (await gateway.status(mark.id)).receipt.delivered
    assert ["send", "call:react"] == [made.attempt.operation for made in channel.made]
    assert all(made.at >= 990 for made in channel.made)


async def test_a_message_of_a_run_before_is_known_by_its_key(outbox, autojump_clock):
    channel = FakeChannel()
    async with open_life(outbox, channel) as gateway:
        sent = await gateway.send("bot", "room", "hello", key="k", thread="t")
    async with open_life(outbox, channel) as gateway:
        assert (await gateway.react(KEY, "👍")).delivered
        await gateway.delete(sent.ref)
        assert "rejected" == (await gateway.react(KEY, "👍", raises=False)).disposition
    assert ["t", "t", "t"] == [made.attempt.thread for made in channel.made]
