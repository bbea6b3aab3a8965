"""What tests of groups share."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager

import trio

from gateway_core import Limit
from gateway_core.testing import FakeChannel

RATE = 30


def rooms(count, start=0):
    """So many rooms' ids, one after the other."""
    return (f"room{number}" for number in range(start, start + count))


def paced(rate=RATE, **settings):
    """A channel whose account sends so many a second."""
    return FakeChannel(
        limits=lambda _room, _operation: [Limit("account", count=rate, per=1.0)], **settings
    )


def got(channel):
    """How many messages stand in each room."""
    return Counter({room: len(texts) for room, texts in channel.rooms.items() if texts})


@asynccontextmanager
async def watched(gateway, every=0.5):
    """Looks again and again: conservation holds, and the most that is in memory is remembered."""
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
