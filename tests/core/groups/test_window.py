"""Few members wait for the account's limits; where there is no slot, none has its turn."""

from __future__ import annotations

import pytest
import trio
from broadcasting import got, paced, rooms, watched

from gateway_core import Limit
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway


@pytest.mark.parametrize("rate", [1, 30, 100])
async def test_so_many_are_ready_as_start_in_a_tenth_of_a_second(opened, rate, autojump_clock):
    async with opened(paced(rate), drain_timeout=0.0) as gateway, watched(gateway, 0.01) as most:
        await gateway.broadcast("bot", rooms(1_000), "news")
        await trio.sleep(5)
    assert max(most) <= max(2, rate // 10) + 1


async def test_at_most_a_thousand_are_unfinished(opened, autojump_clock):
    """Though every room is at a limit of its own, and waits for nothing of the account's."""
    channel = FakeChannel(
        limits=lambda room, _operation: [Limit(f"of {room}", 1, 3_600.0, of="room")], latency=7_200
    )
    settings = {"drain_timeout": 0.0, "attempt_timeout": 9_999.0}
    async with opened(channel, **settings) as gateway, watched(gateway, 1.0) as most:
        for room in rooms(64):
            await gateway.enqueue("bot", room, "before")  # every attempt slot is taken
        await gateway.broadcast("bot", rooms(5_000), "news")
        await trio.sleep(600)
    assert max(most) <= 1_064


async def test_a_full_outbox_holds_the_group_until_there_is_a_slot(autojump_clock):
    channel, outbox = paced(10), MemoryOutbox()
    settings = {"outbox": outbox, "outbox_capacity": 1}
    async with open_test_gateway(channel, **settings) as gateway, watched(gateway) as most:
        job = await gateway.broadcast("bot", rooms(20), "news")
        await job.wait()
    assert dict.fromkeys(rooms(20), 1) == got(channel)
    assert 1 == max(most)


async def test_a_full_partition_holds_it_likewise(opened, autojump_clock):
    channel = paced(10, latency=0.6)
    settings = {"partition_count": 1, "partition_bound": 1, "instance_bound": 1}
    async with opened(channel, **settings) as gateway, watched(gateway) as most:
        job = await gateway.broadcast("bot", rooms(20), "news")
        await job.wait()
    assert dict.fromkeys(rooms(20), 1) == got(channel)
    assert 1 == max(most)


async def test_an_account_that_is_taken_out_has_no_turn_until_it_is_back(autojump_clock):
    channel, outbox = paced(10), MemoryOutbox()
    async with open_test_gateway(channel, outbox=outbox) as gateway, watched(gateway):
        instance = gateway.config.instances[0]
        job = await gateway.broadcast("bot", rooms(50), "news")
        await trio.sleep(2)
        await gateway.remove_instance("bot")
        sent = len(channel.made)
        await trio.sleep(30)
        assert sent == len(channel.made) < 50
        gateway.add_instance(instance)
        progress = await job.wait()
    assert 50 == progress.done
    assert set(got(channel).values()) == {1}
