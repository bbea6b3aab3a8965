"""A hook that holds the event loop is named and counted; one that waits is not."""

from __future__ import annotations

import gc
import time
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from structlog.testing import capture_logs

from gateway_core import HookContractError, Invalid
from gateway_core.authors import Answer, hookimpl
from gateway_core.plugins import calling
from gateway_core.testing import FakeChannel, open_test_gateway


class Hours:
    """Real time, as far as the tests let it pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def hold(self, seconds: float) -> None:
        """Hold the loop for so long."""
        self.now += seconds


@pytest.fixture
def hours(monkeypatch):
    hours = Hours()
    monkeypatch.setattr(calling, "perf_counter", hours)
    return hours


def slow(lines):
    return [
        (line["plugin"], line["hook"], line["seconds"], line["times"])
        for line in lines
        if line["event"] == "gateway.hook_slow"
    ]


SYNC = (
    "rewrite", "validate", "chunk", "rate_limit", "admit", "after_attempt", "after_disposition",
    "after_refusal", "classify_error", "address", "pressure_changed", "instance_suspended",
)  # fmt: skip


def _holding(hours, hook, seconds, *, fails):
    def held(self):
        hours.hold(seconds)
        if fails:
            raise KeyError("afterwards")

    return type("Slow", (), {hook: hookimpl(held)})()


async def _use_all(gateway, channel):
    """Each hook is asked at least once."""
    await gateway.send("bot", "r", "hello", raises=False)
    channel.script = _broken
    await gateway.send("bot", "r", "hello", raises=False)
    with pytest.raises(Invalid):
        await gateway.send("bot", "r", "")
    with suppress(HookContractError):
        gateway.address("bot", {})
    gateway.suspend("bot")
    gateway.resume("bot")


async def _broken(_):
    raise KeyError("broken")


@pytest.mark.parametrize("fails", [False, True], ids=["", "raises"])
@pytest.mark.parametrize("hook", SYNC)
async def test_a_sync_hook_that_holds_the_loop_is_named(hours, hook, fails, autojump_clock):
    channel = FakeChannel()
    policy = _holding(hours, hook, 0.25, fails=fails)
    settings = {"partition_count": 1, "partition_bound": 2, "room_bound": 2, "drain_timeout": 0}
    with capture_logs() as lines:
        async with open_test_gateway(channel, plugins=[policy], **settings) as gateway:
            if not (fails and hook in ("rewrite", "validate", "chunk")):
                await _use_all(gateway, channel)
            else:
                with pytest.raises(Exception, match="hook"):
                    await gateway.send("bot", "r", "hello")
            counted = gateway.statistics().hook_slow
    assert ("Slow", hook, 0.25, 1) == slow(lines)[0]
    assert {("fake", "Slow", hook)} == set(counted)
    assert counted["fake", "Slow", hook] >= 1


async def test_a_tenth_of_a_second_less_a_little_is_not_slow(hours, autojump_clock):
    policy = _holding(hours, "after_disposition", 0.099, fails=False)
    with capture_logs() as lines:
        async with open_test_gateway(plugins=[policy]) as gateway:
            await gateway.send("bot", "r", "hello")
            assert {} == gateway.statistics().hook_slow
    assert [] == slow(lines)


async def test_of_several_the_one_that_held_the_loop_is_named(hours, autojump_clock):
    class Quick:
        @hookimpl
        def chunk(self):
            return None

        @hookimpl
        def validate(self):
            return None

    class Slow(Quick):
        @hookimpl
        def validate(self):
            hours.hold(0.5)

        @hookimpl
        def chunk(self):
            hours.hold(0.5)

    with capture_logs() as lines:
        async with open_test_gateway(plugins=[Quick(), Slow()]) as gateway:
            await gateway.send("bot", "r", "hello")
    assert [("Slow", "validate", 0.5, 1), ("Slow", "chunk", 0.5, 1)] == slow(lines)


async def test_the_1st_10th_and_100th_time_is_logged_and_each_is_counted(hours, autojump_clock):
    policy = _holding(hours, "after_disposition", 0.125, fails=False)
    with capture_logs() as lines:
        async with open_test_gateway(plugins=[policy]) as gateway:
            for number in range(250):
                await gateway.send("bot", f"room {number}", "hello")
            counted = gateway.statistics().hook_slow
    assert [1, 10, 100] == [times for _, _, _, times in slow(lines)]
    assert {("fake", "Slow", "after_disposition"): 250} == counted


# -- what the garbage collector takes is none of the hook's


@pytest.fixture
def collect(hours, monkeypatch):
    """Collects garbage, for so many seconds."""
    takes = [0.0]

    def during(phase, _info):
        if phase == "start":
            hours.hold(takes[0])

    def collect(seconds):
        gc.callbacks.append(during)  # behind whoever measures
        takes[0] = seconds
        gc.collect(0)  # only young objects: all those of the suite would take half a second
        gc.callbacks.remove(during)

    return collect


async def test_a_hook_is_not_slow_for_a_collection_that_came_meanwhile(
    hours, collect, autojump_clock
):
    class Innocent(FakeChannel):
        @hookimpl
        def after_disposition(self):
            hours.hold(0.05)
            collect(0.25)

        @hookimpl
        async def send(self):
            collect(0.25)
            await trio.lowlevel.checkpoint()
            collect(0.25)
            return Answer(message_id="1")

    with capture_logs() as lines:
        async with open_test_gateway(Innocent()) as gateway:
            assert (await gateway.send("bot", "r", "hello")).delivered
            assert {} == gateway.statistics().hook_slow
    assert [] == slow(lines)


async def test_a_slow_hook_is_told_without_the_collections_and_these_beside_it(
    hours, collect, autojump_clock
):
    class Slow:
        @hookimpl
        def after_disposition(self):
            collect(0.5)
            hours.hold(0.15)
            collect(0.25)

    with capture_logs() as lines:
        async with open_test_gateway(plugins=[Slow()]) as gateway:
            collect(4.0)  # before the hook
            await gateway.send("bot", "r", "hello")
            collect(4.0)
    (line,) = (line for line in lines if line["event"] == "gateway.hook_slow")
    assert (0.15, 0.75) == (line["seconds"], line["gc"])


async def test_collections_are_measured_only_while_a_gateway_is_open(autojump_clock):
    before = list(gc.callbacks)
    async with open_test_gateway(), open_test_gateway():
        assert len(before) + 2 == len(gc.callbacks)
    assert before == gc.callbacks


def test_of_many_collections_the_newest_are_remembered(hours, collect):
    collections = calling.Collections()
    gc.callbacks.append(collections)
    for _ in range(calling.REMEMBERED + 10):
        collect(0.5)
    gc.callbacks.remove(collections)
    assert 0.5 * calling.REMEMBERED == collections.within(10_000)
    assert 0.25 == collections.within(0.25)
    hours.hold(1)
    assert 0.0 == collections.within(1)


# -- async hooks: only the time in which they hold the loop


async def test_an_async_hook_that_waits_is_not_slow(hours, autojump_clock):
    async def waits(_):
        for _ in range(3):
            hours.hold(0.05)
            await trio.sleep(60)

    with capture_logs() as lines:
        async with open_test_gateway(FakeChannel(script=waits), attempt_timeout=500) as gateway:
            assert (await gateway.send("bot", "r", "hello")).delivered
            assert {} == gateway.statistics().hook_slow
    assert [] == slow(lines)


@pytest.mark.parametrize("at", ["start", "middle", "end", "raising"])
async def test_a_step_of_an_async_hook_that_holds_the_loop_is_named(hours, at, autojump_clock):
    async def holds(_):
        hours.hold(0.3 if at == "start" else 0)
        await trio.sleep(1)
        hours.hold(0.3 if at == "middle" else 0)
        await trio.sleep(1)
        hours.hold(0.3 if at in ("end", "raising") else 0)
        if at == "raising":
            raise KeyError("x")

    with capture_logs() as lines:
        async with open_test_gateway(FakeChannel(script=holds)) as gateway:
            await gateway.send("bot", "r", "hello", raises=False)
    assert [("FakeChannel", "send", 0.3, 1)] == slow(lines)


@pytest.mark.parametrize("hook", ["edit", "delete", "call", "probe", "open", "close"])
async def test_every_async_hook_and_a_session_is_measured(hours, hook, autojump_clock):
    class Channel(FakeChannel):
        @hookimpl
        def open_session(self):
            @asynccontextmanager
            async def session():
                hours.hold(0.4 if hook == "open" else 0)
                await trio.lowlevel.checkpoint()
                try:
                    yield "session"
                finally:
                    hours.hold(0.4 if hook == "close" else 0)

            return session()

        @hookimpl
        async def probe(self):
            hours.hold(0.4 if hook == "probe" else 0)

    async def holds(attempt):
        await trio.lowlevel.checkpoint()
        hours.hold(0.4 if attempt.operation.partition(":")[0] == hook else 0)

    with capture_logs() as lines:
        async with open_test_gateway(Channel(script=holds)) as gateway:
            receipt = await gateway.send("bot", "r", "hello")
            await gateway.edit(receipt.ref, "changed")
            await gateway.delete(receipt.ref)
            await gateway.call("bot", "r", "react", {})
            await gateway.probe("bot")
    named = "open_session" if hook in ("open", "close") else hook
    assert [("Channel", named, 0.4, 1)] == slow(lines)


# -- what is measured is not changed


async def test_a_cancellation_passes_through_and_cleans_up(autojump_clock):
    seen = []

    async def performing():
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            seen.append("cancelled")
            raise
        finally:
            seen.append("finally")

    with trio.move_on_after(1) as scope:
        await calling.in_steps(performing(), seen.append)
    assert scope.cancelled_caught
    assert ["cancelled", "finally"] == seen


async def test_what_is_thrown_in_may_be_caught_and_waited_after(autojump_clock):
    async def performing():
        with trio.move_on_after(1):
            await trio.sleep_forever()
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return "done"

    assert "done" == await calling.in_steps(performing(), pytest.fail)
    assert 2 == trio.current_time()


async def test_an_error_comes_out_with_its_own_traceback():
    async def performing():
        await trio.lowlevel.checkpoint()
        raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        await calling.in_steps(performing(), pytest.fail)
    assert "performing" == caught.traceback[-1].name
    assert caught.value.__context__ is None


def test_a_coroutine_that_is_dropped_is_closed():
    seen = []

    async def performing():
        try:
            await trio.lowlevel.checkpoint()
        finally:
            seen.append("closed")

    async def outer():
        await calling.in_steps(performing(), pytest.fail)

    waiting = outer()
    waiting.send(None)
    waiting.close()
    assert ["closed"] == seen


async def test_real_time_is_measured(monkeypatch):
    """With a hook that really blocks."""
    monkeypatch.setattr(calling, "perf_counter", time.perf_counter)

    class Blocking(FakeChannel):
        @hookimpl
        async def send(self):
            time.sleep(0.12)  # noqa: ASYNC251, TID251 - what no adapter should do
            await trio.sleep(0.01)
            return Answer(message_id="1")

    with capture_logs() as lines:
        async with open_test_gateway(Blocking()) as gateway:
            await gateway.send("bot", "r", "hello")
    found = [line for line in slow(lines) if line[:2] == ("Blocking", "send")]
    assert found
    assert 0.12 <= found[0][2] < 5
