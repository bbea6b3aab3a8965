"""A poll goes out of each kind of program alike: send, enqueue, reply and broadcast."""

import asyncio  # noqa: TID251 - what is tested

import trio
from bridged import config

from gateway_core import Poll, aio, blocking, open_gateway
from gateway_core.testing import FakeChannel, event

LUNCH = Poll("Lunch?", ["Pizza", "Sushi"], multiple=True, duration=60)
ROOMS = ("sent", "enqueued", "room", "one", "two")


def asked(channel):
    """What stands in each room, and the polls that reached the channel."""
    polls = [attempt.attempt.payload.get("poll") for attempt in channel.made]
    return [channel.texts(room) for room in ROOMS], polls


async def _use(gateway):
    await gateway.send("bot", "sent", "hungry", poll=LUNCH)
    await (await gateway.enqueue("bot", "enqueued", "", poll=LUNCH)).receipt()
    await gateway.reply(event(), "", poll=LUNCH)
    await (await gateway.broadcast("bot", ["one", "two"], "", poll=LUNCH)).wait()


def on_trio():
    channel = FakeChannel()

    async def main():
        async with open_gateway(config(), plugins=[("fake", channel)]) as gateway:
            await _use(gateway)

    trio.run(main)
    return asked(channel)


def on_asyncio():
    channel = FakeChannel()

    async def main():
        async with aio.open_gateway(config(), plugins=[("fake", channel)]) as gateway:
            await _use(gateway)

    asyncio.run(asyncio.wait_for(main(), 20))
    return asked(channel)


def in_code_that_blocks():
    channel = FakeChannel()
    with blocking.open_gateway(config(), plugins=[("fake", channel)]) as gateway:
        gateway.send("bot", "sent", "hungry", poll=LUNCH)
        gateway.enqueue("bot", "enqueued", "", poll=LUNCH).receipt()
        gateway.reply(event(), "", poll=LUNCH)
        gateway.broadcast("bot", ["one", "two"], "", poll=LUNCH).wait()
    return asked(channel)


def test_each_face_sends_the_same_polls():
    texts, polls = on_trio()
    assert [["hungry", "Lunch?"], ["Lunch?"], ["Lunch?"], ["Lunch?"], ["Lunch?"]] == texts
    assert 5 == sum(poll is not None for poll in polls)
    assert (texts, polls) == on_asyncio() == in_code_that_blocks()
