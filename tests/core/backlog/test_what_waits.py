"""What waits in the outbox is counted at the close, and its end says what it waited for."""

from __future__ import annotations

import pytest
import structlog
import trio

from gateway_core import ErrorClass, Reason, Scope, Send, Verdict
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, open_test_gateway, virtual_wall

REVOKED = Verdict(
    error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, scope=Scope.INSTANCE, raw="revoked"
)
TTL = 100.0


async def submit(gateway, text, room="room", **more):
    envelope = Send(instance_id="bot", external_room_id=room, text=text, ttl=TTL, **more)
    return (await gateway.submit(envelope)).id


async def leave(outbox, *texts, **more):
    """A previous run that accepted these, and sent none of them."""
    async with open_test_gateway(FakeChannel(), outbox=outbox, drain_timeout=0) as gateway:
        gateway.suspend("bot")
        return [await submit(gateway, text, **more) for text in texts]


async def words_of(gateway, envelope_id):
    """Why it ended."""
    return str((await gateway.status(envelope_id)).receipt.verdict)


async def test_what_was_restored_of_a_suspended_instance_expires_for_its_suspension(autojump_clock):
    outbox = MemoryOutbox()
    names = await leave(outbox, "first", "second")
    async with open_test_gateway(FakeChannel(), outbox=outbox, drain_timeout=0) as gateway:
        gateway.suspend("bot")
        await trio.sleep(TTL + 5)
        for name in names:
            assert "while it waited (suspension)" in await words_of(gateway, name)


async def test_what_is_accepted_for_a_suspended_instance_waits_for_its_resume(autojump_clock):
    """It is on disk, although memory has space."""
    async with open_test_gateway(FakeChannel(), outbox=MemoryOutbox()) as gateway:
        gateway.suspend("bot")
        name = await submit(gateway, "text")
        assert "suspension" == (await gateway.status(name)).cause
        gateway.resume("bot")


async def test_what_was_restored_without_its_instance_waits_for_that(autojump_clock):
    outbox = MemoryOutbox()
    [name] = await leave(outbox, "text")
    async with open_test_gateway(FakeChannel(), outbox=outbox, instances=()) as gateway:
        assert "no instance" == (await gateway.status(name)).cause


async def test_what_was_scheduled_waits_for_its_instance_once_its_time_has_come(autojump_clock):
    outbox = MemoryOutbox()
    [name] = await leave(outbox, "text", not_before=virtual_wall() + 50)
    async with open_test_gateway(FakeChannel(), outbox=outbox, instances=()) as gateway:
        await trio.sleep(20)
        status = await gateway.status(name)
        assert ("schedule", 30.0) == (status.cause, status.estimate)
        await trio.sleep(40)
        status = await gateway.status(name)
        assert ("no instance", None) == (status.cause, status.estimate)


async def test_behind_one_that_was_refused_all_of_its_room_wait_for_the_suspension(autojump_clock):
    async def refuse(_):
        raise Failure(REVOKED)

    outbox = MemoryOutbox()
    _, second = await leave(outbox, "first", "second")
    async with open_test_gateway(FakeChannel(script=refuse), outbox=outbox) as gateway:
        await trio.sleep(TTL + 5)
        why = "suspension; the account's newest failure: unauthorized"
        assert f"while it waited ({why})" in await words_of(gateway, second)


async def test_what_had_no_slot_in_memory_expires_for_that(autojump_clock):
    async def hang(_):
        await trio.sleep_forever()

    outbox, bounds = MemoryOutbox(), {"room_bound": 1, "attempt_timeout": 3600.0}
    channel = FakeChannel(script=hang)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0, **bounds) as gateway:
        _, second = [await submit(gateway, text) for text in ("first", "second")]
        assert "outbox" == (await gateway.status(second)).cause
        await trio.sleep(TTL + 5)
        assert "while it waited (outbox)" in await words_of(gateway, second)


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_close_counts_what_waits_in_the_outbox(autojump_clock, resumed):
    async def hang(_):
        await trio.sleep_forever()

    outbox = MemoryOutbox()
    await leave(outbox, "first", "second", "third")
    bounds = {"room_bound": 1, "attempt_timeout": 3600.0, "drain_timeout": 0}
    with structlog.testing.capture_logs() as logs:
        async with open_test_gateway(FakeChannel(script=hang), outbox=outbox, **bounds) as gateway:
            if not resumed:
                gateway.suspend("bot")
            await trio.sleep(5)
    [event] = [log for log in logs if log["event"] == "gateway.unfinished_at_close"]
    assert (3, 3) == (event["count"], event["stored"])


async def test_a_close_without_an_outbox_stores_nothing(autojump_clock):
    async def hang(_):
        await trio.sleep_forever()

    with structlog.testing.capture_logs() as logs:
        async with open_test_gateway(FakeChannel(script=hang), drain_timeout=0) as gateway:
            await submit(gateway, "x")
            await trio.sleep(1)
    [event] = [log for log in logs if log["event"] == "gateway.unfinished_at_close"]
    assert (1, 0) == (event["count"], event["stored"])
