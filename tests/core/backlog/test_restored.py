"""What is known of an account outlives its instance: whoever takes its name goes on with it."""

from __future__ import annotations

import pytest
import trio

from gateway_core import ErrorClass, Limit, Reason, Scope, Verdict
from gateway_core.backlog import restored
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway
from gateway_core.testing.fake_channel import Failure


async def again(gateway, name="bot"):
    """Take the instance out, and in again."""
    instance = gateway.config.instances[0]
    await gateway.remove_instance(name)
    gateway.add_instance(instance)


async def sent_at(gateway, room="other"):
    await gateway.send("bot", room, "next")
    return trio.current_time()


async def test_what_was_spent_of_its_limits(autojump_clock):
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("all", 1, 60.0)])
    async with open_test_gateway(channel, outbox=MemoryOutbox()) as gateway:
        await gateway.send("bot", "room", "first")
        await trio.sleep(10)
        await again(gateway)
        assert 60 == pytest.approx(await sent_at(gateway), abs=0.1)


@pytest.mark.parametrize("scope", [Scope.INSTANCE, Scope.OPERATION])
async def test_what_the_platform_closed(scope, autojump_clock):
    refusals = [
        Verdict(
            error_class=ErrorClass.RETRYABLE,
            reason=Reason.RATE_LIMITED,
            scope=scope,
            retry_after=60.0,
            raw="429",
        )
    ]

    async def refuse(_attempt):
        if refusals:
            raise Failure(refusals.pop())

    async with open_test_gateway(FakeChannel(script=refuse), outbox=MemoryOutbox()) as gateway:
        await gateway.enqueue("bot", "room", "first")
        await trio.sleep(10)
        await again(gateway)
        assert 60 == pytest.approx(await sent_at(gateway), abs=0.1)
        gateway.resume("bot")
        refusals.append(
            Verdict(
                error_class=ErrorClass.RETRYABLE,
                reason=Reason.RATE_LIMITED,
                scope=scope,
                retry_after=1_000.0,
                raw="429",
            )
        )
        await gateway.enqueue("bot", "room", "second")
        await trio.sleep(10)
        gateway.resume("bot")  # an operator lifts it, for whoever comes as well
        await again(gateway)
        assert await sent_at(gateway) < 80


async def test_of_many_that_went_the_last_are_known(monkeypatch, autojump_clock):
    monkeypatch.setattr(restored, "MOST_GONE", 2)
    names = ("a", "b", "c")
    channel = FakeChannel(limits=lambda room, _operation: [Limit(room, 1, 60.0)])
    async with open_test_gateway(channel, outbox=MemoryOutbox(), instances=names) as gateway:
        for name in names:
            await gateway.send(name, name, "first")
        for name in names:
            await gateway.remove_instance(name)
        for instance in gateway.config.instances:
            gateway.add_instance(instance)
        took = {}
        for name in names:
            await gateway.send(name, name, "next")
            took[name] = trio.current_time()
        assert took["a"] < 1
        assert 60 == pytest.approx(took["b"], abs=0.1)
        assert not gateway._pager._restored._gone
