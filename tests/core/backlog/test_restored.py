"""What is known of an account outlives its instance: whoever takes its name goes on with it."""

from __future__ import annotations

import pytest
import trio

from gateway_core import ErrorClass, Instance, Limit, OutboxError, Reason, Scope, Verdict
from gateway_core.testing import FakeChannel, FakeSettings, MemoryOutbox, open_test_gateway
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


class Owned(MemoryOutbox):
    """Accounts that another process owns still."""

    def __init__(self, *owned):
        super().__init__()
        self.owned = set(owned)
        self.asked = []

    async def recover(self, instance_id):
        self.asked.append(instance_id)
        await trio.lowlevel.checkpoint()
        if instance_id in self.owned:
            raise OutboxError(f"account {instance_id!r} is owned by process 4711")
        return await super().recover(instance_id)


LATE = Instance("late", "fake", FakeSettings())
AT_ONCE = {"priority": "urgent", "order": "none"}


async def test_nothing_of_an_account_is_attempted_before_it_is_owned(autojump_clock):
    """Not even what overtakes; others do not notice."""
    outbox, channel = Owned("late"), FakeChannel()
    async with open_test_gateway(channel, outbox=outbox, room_bound=1) as gateway:
        gateway.add_instance(LATE)
        ticket = await gateway.enqueue("late", "room", "urgent", **AT_ONCE)
        for n in range(5):  # more than memory has room for
            await gateway.enqueue("bot", "other", f"{n}")
        await trio.sleep(10)
        assert ["0", "1", "2", "3", "4"] == [made.attempt.payload["text"] for made in channel.made]
        assert 16 > len(outbox.asked)  # about once a second
        outbox.owned.clear()
        await trio.sleep(2)
        assert (await ticket.receipt()).delivered
    assert ["bot", ""] == outbox.asked[:2]
    assert {"late"} == set(outbox.asked[2:])


async def test_one_that_is_owned_by_another_at_the_opening_is_an_error(autojump_clock):
    with pytest.raises(OutboxError, match="owned by process 4711"):
        async with open_test_gateway(outbox=Owned("bot")):
            pass


async def test_one_that_goes_before_it_was_owned_leaves_nothing(autojump_clock):
    outbox = Owned("late")
    async with open_test_gateway(outbox=outbox) as gateway:
        gateway.add_instance(LATE)
        await trio.sleep(2)
        await gateway.remove_instance("late")
        outbox.owned.clear()
        asked = len(outbox.asked)
        await trio.sleep(10)
        assert asked == len(outbox.asked)


async def test_one_that_is_added_goes_on_as_the_last_run_left_it(autojump_clock):
    """Also an account that this run did not have at its opening."""
    outbox = MemoryOutbox()
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("all", 1, 60.0)])
    async with open_test_gateway(channel, outbox=outbox, instances=("bot", "late")) as gateway:
        await gateway.send("late", "room", "first")
        await trio.sleep(10)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        gateway.add_instance(LATE)
        await gateway.send("late", "other", "next", **AT_ONCE)
        assert 60 == pytest.approx(trio.current_time(), abs=0.1)
