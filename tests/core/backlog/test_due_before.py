"""What was scheduled and is due comes before what is accepted after that."""

from __future__ import annotations

import pytest
import trio

from gateway_core import Instance
from gateway_core.testing import (
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    open_test_gateway,
    virtual_wall,
)

DUE = 5.0


class Slow(MemoryOutbox):
    """Takes a second to say what is scheduled, once it is `slow`."""

    slow = False

    async def scheduled(self, **query):
        if self.slow:
            await trio.sleep(1)
        return await super().scheduled(**query)


@pytest.fixture
async def outbox(autojump_clock):
    """Three messages of a former run, which are due by now."""
    outbox = Slow()
    async with open_test_gateway(FakeChannel(), outbox=outbox, drain_timeout=0) as gateway:
        for number in range(3):
            due = virtual_wall() + DUE
            await gateway.enqueue("bot", "room", f"due {number}", not_before=due)
    await trio.sleep(2 * DUE)
    outbox.slow = True
    return outbox


EXPECTED = ["due 0", "due 1", "due 2", "new"]


async def test_what_is_due_as_the_gateway_opens_comes_first(outbox):
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await gateway.send("bot", "room", "new")
    assert EXPECTED == channel.texts("room")


async def test_what_is_due_as_an_instance_comes_back_comes_first(outbox):
    channel = FakeChannel()
    async with open_test_gateway(channel, instances=["other"], outbox=outbox) as gateway:
        await trio.sleep(2)
        gateway.add_instance(Instance("bot", "fake", FakeSettings()))
        await gateway.send("bot", "room", "new")
    assert EXPECTED == channel.texts("room")


async def test_an_account_of_which_nothing_is_stored_does_not_wait(outbox):
    async with open_test_gateway(instances=["bot", "other"], outbox=outbox) as gateway:
        begun = trio.current_time()
        await gateway.enqueue("other", "room", "hello")
        assert begun == trio.current_time()
