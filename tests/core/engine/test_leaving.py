"""Leaving: the block of `open_gateway`, and what is raised out of it; a caller, and what stays."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial

import pytest
import trio

from gateway_core import Disposition, GatewayClosed, KeyRef, Limit, PartitionFailed, Send
from gateway_core.testing import (
    FakeChannel,
    MemoryOutbox,
    open_test_gateway,
    run_seeded,
    virtual_wall,
)


async def test_a_value_is_returned_through_the_block(autojump_clock):
    async def body() -> int:
        async with open_test_gateway():
            return 7

    assert 7 == await body()


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt("^C"), SystemExit(3), ValueError("x"), GeneratorExit()]
)
async def test_whatever_the_body_raises_leaves_as_it_is(error, say, autojump_clock):
    channel = FakeChannel(latency=3)

    async def application() -> None:
        async with open_test_gateway(channel) as gateway:
            await gateway.submit(say.message())
            raise error

    with pytest.raises(type(error)) as caught:
        await application()
    assert error is caught.value
    assert ["hello"] == channel.texts("r")


async def test_a_generator_that_is_closed_around_the_block_drains(say, autojump_clock):
    channel = FakeChannel(latency=3)

    async def sent():
        async with open_test_gateway(channel) as gateway:
            yield await gateway.submit(say.message())
            yield await gateway.submit(say.message())

    async with aclosing(sent()) as tickets:
        async for _ in tickets:
            break
    assert ["hello"] == channel.texts("r")


async def test_a_group_of_one_stays_a_group(autojump_clock):
    group = ExceptionGroup("the application's nursery", [ValueError("one")])
    with pytest.raises(ExceptionGroup) as caught:
        async with open_test_gateway():
            raise group
    assert group is caught.value


async def test_a_message_of_a_later_hour_does_not_hold_the_end(autojump_clock):
    """Without an outbox on disk it is lost with the process, however long the drain waits."""
    channel, due = FakeChannel(latency=2), virtual_wall() + 3600
    async with open_test_gateway(channel, drain_timeout=30) as gateway:
        await gateway.enqueue("bot", "r", "now")
        soon = await gateway.enqueue("bot", "r", "soon", not_before=virtual_wall() + 10)
        later = await gateway.enqueue("bot", "r", "later", not_before=due)
    assert 12 == pytest.approx(trio.current_time())
    assert ["now", "soon"] == channel.texts("r")
    assert (await soon.receipt()).delivered
    assert Disposition.CANCELLED == (await later.receipt()).disposition


async def test_the_applications_error_outlives_the_loss_of_patience(say, autojump_clock):
    """It failed, the gateway drains, and somebody cancels: what failed is what counts."""
    channel = FakeChannel(latency=100)

    async def application() -> None:
        async with open_test_gateway(channel, drain_timeout=30) as gateway:
            await gateway.submit(say.message())
            raise LookupError("the application's own")

    with pytest.raises(LookupError, match="the application's own"), trio.move_on_after(1):
        await application()
    assert 30 == trio.current_time()


async def test_a_group_of_the_application_loses_its_cancelled_part_alone(say, autojump_clock):
    channel = FakeChannel(latency=100)

    async def fails() -> None:
        raise LookupError("the application's own")

    async def application() -> None:
        async with open_test_gateway(channel, drain_timeout=30) as gateway:
            await gateway.submit(say.message())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fails)
                nursery.start_soon(trio.sleep_forever)

    with pytest.raises(ExceptionGroup) as caught, trio.move_on_after(1):
        await application()
    assert caught.group_contains(LookupError, match="the application's own", depth=1)


def _breaks(gateway, monkeypatch) -> None:
    async def dies() -> None:
        raise RuntimeError("at once")

    monkeypatch.setattr(gateway._partitions[0], "_keep_time", dies)
    gateway._partitions[0].workers.nursery.cancel_scope.cancel()


async def test_a_partition_that_fails_leaves_alone(monkeypatch, autojump_clock):
    async def application() -> None:
        async with open_test_gateway(partition_count=1) as gateway:
            await trio.lowlevel.checkpoint()
            _breaks(gateway, monkeypatch)
            await trio.sleep_forever()

    with pytest.raises(PartitionFailed, match=r"after RuntimeError \(test_leav") as it:
        await application()
    assert isinstance(it.value.__cause__, RuntimeError)
    assert "at once" == str(it.value.__cause__)


async def test_an_error_of_the_body_leaves_with_its_own_cause_and_context(autojump_clock):
    async def application(cause) -> None:
        async with open_test_gateway():
            try:
                _ = {}["before"]
            except KeyError:
                raise LookupError("own") from cause

    cause = ValueError("why")
    with pytest.raises(LookupError) as caught:
        await application(cause)
    assert cause is caught.value.__cause__
    assert isinstance(caught.value.__context__, KeyError)


async def test_a_partition_that_fails_while_the_body_is_in_a_nursery_leaves_alone(
    monkeypatch, autojump_clock
):
    async def application() -> None:
        async with open_test_gateway(partition_count=1) as gateway:
            await trio.lowlevel.checkpoint()
            _breaks(gateway, monkeypatch)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                nursery.start_soon(trio.sleep_forever)

    with pytest.raises(PartitionFailed):
        await application()


async def test_both_errors_leave_together(say, monkeypatch, autojump_clock):
    channel = FakeChannel(latency=1000)
    own = LookupError("the application's own")

    async def application() -> None:
        async with open_test_gateway(channel, partition_count=1, drain_timeout=500) as gateway:
            await gateway.submit(say.message())
            await trio.sleep(1)
            _breaks(gateway, monkeypatch)
            raise own

    with pytest.raises(ExceptionGroup) as caught:
        await application()
    assert [LookupError, PartitionFailed] == [type(e) for e in caught.value.exceptions]


# -- at the end


async def test_after_the_block_nothing_is_accepted(say, autojump_clock):
    async with open_test_gateway() as gateway:
        pass
    for wait in (True, False):
        with pytest.raises(GatewayClosed) as caught:
            await gateway.submit(say.message(), wait=wait)
        assert not caught.value.kept
    with pytest.raises(GatewayClosed):
        await gateway.send("bot", "r", "x")
    assert 0 == gateway.statistics().accepted


async def test_the_books_can_be_read_after_the_block(say, autojump_clock):
    async with open_test_gateway(drain_timeout=0) as gateway:
        gateway.suspend("bot")
        ticket = await gateway.submit(say.message())
    assert gateway.statistics().conserved
    assert {Disposition.CANCELLED: 1} == gateway.statistics().dispositions
    assert "ended" == (await gateway.status(ticket)).state
    assert not await gateway.cancel(ticket)


async def test_no_task_is_left_behind(say, autojump_clock):
    before = trio.lowlevel.current_statistics().tasks_living
    channel = FakeChannel(latency=1000, script=say.script(say.unknown(), say.fatal()))
    async with open_test_gateway(channel, drain_timeout=1) as gateway:
        for n in range(20):
            await gateway.submit(say.message(f"room {n}"))
    assert before == trio.lowlevel.current_statistics().tasks_living


async def test_two_gateways_in_one_application(say, autojump_clock):
    one, two = FakeChannel(), FakeChannel()
    async with open_test_gateway(one) as first, open_test_gateway(two) as second:
        await first.send("bot", "r", "to one")
        await second.send("bot", "r", "to two")
        await second.drain()
        assert (await first.send("bot", "r", "still open")).delivered
    assert (["to one", "still open"], ["to two"]) == (one.texts("r"), two.texts("r"))


async def test_drain_by_several_callers_tells_each(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    told = []
    async with engine(channel, drain_timeout=3) as gateway:
        ticket = await gateway.submit(say.message())
        gateway.suspend("bot")
        waiting = await gateway.submit(say.message())

        async def drain() -> None:
            told.append([u.receipt.envelope_id for u in await gateway.drain()])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            nursery.start_soon(drain)
        assert 3 == trio.current_time()
    assert [[ticket.id, waiting.id]] * 2 == told


async def test_a_cancelled_drain_goes_on_draining(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    async with engine(channel, drain_timeout=30) as gateway:
        ticket = await gateway.submit(say.message())
        with trio.move_on_after(1):
            await gateway.drain()
        with pytest.raises(GatewayClosed):
            await gateway.submit(say.message())
        assert (await ticket.receipt()).delivered


# -- a caller that goes away


KEY = KeyRef(instance_id="bot", external_room_id="r", key="k")
VERBS = {
    "send": (("bot", "r", "late"), ["k", "late"]),
    "edit": ((KEY, "edited"), ["edited"]),
    "delete": ((KEY,), []),
    "call": (("bot", "r", "pin"), ["k"]),
}
"""By verb: its words, and what stands in the room once it is done."""


async def _hang_up(verb, *words, **how) -> None:
    """A caller who waits for a second."""
    with trio.move_on_after(1) as waiting:
        await verb(*words, **how)
    assert waiting.cancelled_caught


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("on_cancel", [None, "withdraw", "detach"])
async def test_what_was_accepted_goes_on_without_its_caller_if_that_says_so(
    verb, on_cancel, autojump_clock
):
    words, after = VERBS[verb]
    how = {} if on_cancel is None else {"on_cancel": on_cancel}
    channel = FakeChannel()
    async with open_test_gateway(channel, drain_timeout=60) as gateway:
        await gateway.send("bot", "r", "k", key="k")
        channel.latency = 5.0
        await gateway.enqueue("bot", "r", "busy")
        await _hang_up(getattr(gateway, verb), *words, **how)
        assert (on_cancel == "detach") + 1 == gateway.statistics().unfinished
    goes_on = on_cancel == "detach"
    assert goes_on == (Disposition.CANCELLED not in gateway.statistics().dispositions)
    texts = [text for text in channel.texts("r") if text != "busy"]
    assert (after if goes_on else ["k"]) == texts


async def test_a_detached_caller_counts_as_waiting_for_ever(autojump_clock):
    """Somebody who joined it afterwards and goes away takes nothing back."""
    channel = FakeChannel(latency=5.0)
    async with open_test_gateway(channel, drain_timeout=60) as gateway:
        await gateway.enqueue("bot", "r", "busy")
        async with trio.open_nursery() as nursery:
            for on_cancel in ("detach", "withdraw"):
                send = partial(gateway.send, key="k", on_cancel=on_cancel)
                nursery.start_soon(_hang_up, send, "bot", "r", "confirmed")
                await trio.sleep(0.5)
        assert 2 == gateway.statistics().unfinished
    assert ["busy", "confirmed"] == channel.texts("r")


async def test_who_detaches_from_what_another_waits_for_changes_nothing(autojump_clock):
    channel = FakeChannel(latency=5.0)
    async with open_test_gateway(channel, drain_timeout=60) as gateway:
        await gateway.enqueue("bot", "r", "busy")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(gateway.send, "bot", "r", "confirmed", key="k"))
            await trio.sleep(0.5)
            send = partial(gateway.send, key="k", on_cancel="detach")
            await _hang_up(send, "bot", "r", "confirmed")
    assert ["busy", "confirmed"] == channel.texts("r")


@pytest.mark.parametrize("on_cancel", ["withdraw", "detach"])
async def test_a_caller_that_goes_away_before_acceptance_leaves_no_trace(on_cancel, autojump_clock):
    """The promise is about what was accepted: it waited for a slot."""
    channel = FakeChannel(latency=5.0)
    async with open_test_gateway(channel, room_bound=1, drain_timeout=60) as gateway:
        await gateway.enqueue("bot", "r", "busy")
        await _hang_up(gateway.send, "bot", "r", "late", on_cancel=on_cancel)
        statistics = gateway.statistics()
        assert (1, 0) == (statistics.accepted, sum(p.waiting for p in statistics.partitions))
    assert ["busy"] == channel.texts("r")


class _Hesitating(MemoryOutbox):
    """A durable outbox whose appends take two seconds."""

    async def append(self, entry, kept):
        await trio.sleep(2)
        await super().append(entry, kept)


@pytest.mark.parametrize("on_cancel", ["withdraw", "detach"])
async def test_a_caller_that_goes_away_as_the_outbox_takes_it_leaves_no_trace(
    on_cancel, autojump_clock
):
    channel, outbox = FakeChannel(), _Hesitating()
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=60) as gateway:
        await _hang_up(gateway.send, "bot", "r", "late", key="k", on_cancel=on_cancel)
        assert 0 == gateway.statistics().accepted
    assert (0, []) == (len(outbox), channel.texts("r"))


@pytest.mark.parametrize("on_cancel", ["withdraw", "detach"])
async def test_what_a_durable_outbox_has_outside_memory_goes_on_likewise(on_cancel, autojump_clock):
    channel, outbox = FakeChannel(latency=5.0), MemoryOutbox()
    async with open_test_gateway(channel, outbox=outbox, room_bound=1, drain_timeout=60) as gateway:
        await gateway.enqueue("bot", "r", "busy")
        await _hang_up(gateway.send, "bot", "r", "late", on_cancel=on_cancel)
        goes_on = on_cancel == "detach"
        assert goes_on == (Disposition.CANCELLED not in gateway.statistics().dispositions)
        await trio.sleep(20)
        assert (["busy", "late"] if goes_on else ["busy"]) == channel.texts("r")
        assert 0 == gateway.statistics().stored


# -- an application whose whole life is cancelled, at every await


class _Cut(trio.abc.Instrument):
    """Cancels a scope before the nth step of any task."""

    def __init__(self, scope: trio.CancelScope, at: int) -> None:
        self.scope, self.at, self.seen = scope, at, 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.seen += 1
        if self.seen == self.at:
            self.scope.cancel()


class _Application:
    """Opens a gateway, sends this and that, and drains."""

    def __init__(self) -> None:
        self.channel = FakeChannel(
            limits=lambda room, _: [Limit(f"room {room}", 1, 0.5)], latency=0.25
        )
        self.gateway = None
        self.tickets = []
        self.cut: _Cut | None = None

    async def main(self, at: int) -> None:
        with trio.CancelScope() as scope:
            self.cut = _Cut(scope, at)
            trio.lowlevel.add_instrument(self.cut)
            try:
                await self._live()
            finally:
                trio.lowlevel.remove_instrument(self.cut)

    async def _live(self) -> None:
        async with open_test_gateway(self.channel, room_bound=2, drain_timeout=5) as gateway:
            self.gateway = gateway
            async with trio.open_nursery() as nursery:
                for n in range(4):
                    nursery.start_soon(self._submit, gateway, f"{n}")
                await gateway.send("bot", "b", "x", key="k")
            await gateway.edit(self.tickets[0], "edited")
            await gateway.drain()

    async def _submit(self, gateway, text: str) -> None:
        envelope = Send(instance_id="bot", external_room_id="a", text=text, key=text)
        self.tickets.append(await gateway.submit(envelope))


def _life(at: int) -> int:
    """One life that is cut at the nth step of all; how many steps it had."""
    application = _Application()
    run_seeded(f"cut at {at}", application.main, at)
    gateway = application.gateway
    if gateway is not None:
        statistics = gateway.statistics()
        assert statistics.conserved
        assert 0 == statistics.unfinished
        assert all((0, 0) == (p.depth, p.waiting) for p in statistics.partitions)
        assert len(application.tickets) <= statistics.accepted
        assert all(ticket.ended for ticket in application.tickets)
    made = [m.attempt.key for m in application.channel.made if m.attempt.operation == "send"]
    assert len(set(made)) == len(made)
    return application.cut.seen


def test_a_life_that_is_cut_at_any_step_ends_in_order():
    steps = _life(1 << 30)
    assert 60 < steps
    for at in range(1, steps + 1):
        _life(at)
