"""Helpers for tests of groups: rooms, a paced channel, and a watch on memory."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager

import trio

from gateway_core import Limit
from gateway_core.testing import FakeChannel

RATE = 30


def rooms(count, start=0):
    """The ids of `count` rooms, one by one."""
    return (f"room{number}" for number in range(start, start + count))


def paced(rate=RATE, **settings):
    """A channel whose account may send `rate` messages a second."""
    return FakeChannel(
        limits=lambda _room, _operation: [Limit("account", count=rate, per=1.0)], **settings
    )


def got(channel):
    """How many messages are in each room."""
    return Counter({room: len(texts) for room, texts in channel.rooms.items() if texts})


@asynccontextmanager
async def watched(gateway, every=0.5):
    """Check conservation again and again, and note how many envelopes are in memory."""
    most = []

    async def look():
        while True:
            statistics = gateway.statistics()
            assert statistics.conserved
            most.append(statistics.unfinished)
            await trio.sleep(every)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        yield most
        nursery.cancel_scope.cancel()
