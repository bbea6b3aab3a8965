"""Signs of typing that the owner of an outbox shows for a process that delivers nothing."""

import pytest
import trio
from handing_in_memory import SharedMemory

from gateway_core.answering import handed
from gateway_core.testing import FakeChannel, event, open_test_gateway


@pytest.fixture
def outbox(autojump_clock):
    return SharedMemory()


@pytest.fixture
def channel():
    return FakeChannel()


def owner(channel, outbox):
    return open_test_gateway(channel, outbox=outbox)


def producer(outbox):
    return open_test_gateway(FakeChannel(), outbox=outbox, serve=False, drain_timeout=1)


def times(channel):
    return [round(made.at) for made in channel.typed]


async def test_it_is_shown_for_as_long_as_the_block_runs(channel, outbox):
    async with owner(channel, outbox), producer(outbox) as asking:
        async with asking.typing(event("question", thread="t")):
            await trio.sleep(18)
        await trio.sleep(60)
    assert [0, 5, 10, 15] == times(channel)
    assert {"t"} == {made.attempt.thread for made in channel.typed}


async def test_it_ends_by_itself_once_its_process_is_dead(channel, outbox):
    async with owner(channel, outbox), producer(outbox) as asking, asking.typing(event("question")):
        await trio.sleep(10)
        outbox.desk.dead = True
        await trio.sleep(60)
    assert times(channel)[-1] <= 10 + handed.LASTS


async def test_what_comes_late_is_not_shown(channel, outbox):
    """Nobody owned the outbox as the block began, or it has ended by now."""
    async with producer(outbox) as asking:
        async with asking.typing(event("question")):
            await trio.sleep(1)
        async with asking.typing(event("question")):
            outbox.latency = 1000
            await trio.sleep(60)
            outbox.desk.dead = True
            async with owner(channel, outbox):
                await trio.sleep(60)
    assert [] == channel.typed


async def test_a_stream_shows_it_until_its_message_stands(channel, outbox):
    async with (
        owner(channel, outbox),
        producer(outbox) as asking,
        asking.stream(event("question")) as out,
    ):
        await trio.sleep(3)
        for word in ("The ", "answer ", "is 42"):
            out.write(word)
            await trio.sleep(2)
        await trio.sleep(60)
    assert [0] == times(channel)
    assert ["The answer is 42"] == channel.texts("room")


async def test_of_a_room_without_a_sign_nobody_is_told(channel, outbox):
    asked = event("order", asked="command")
    async with owner(channel, outbox), producer(outbox) as asking, asking.typing(asked):
        await trio.sleep(10)
    assert ([], []) == (channel.typed, outbox.desk.asked)
