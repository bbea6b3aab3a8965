"""Quiet, drain, cancel; callers that are cancelled; an application that is, at every await."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from structlog.testing import capture_logs

from gateway_core import Disposition, Edit, GatewayClosed, Limit, Reason, Send
from gateway_core.authors import hookimpl
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway, run_seeded


async def _note(do, *args, **kwargs):
    """What came of it: the answer or the exception's type."""
    try:
        return await do(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return type(error)


def gather(nursery, found: dict, name: str, do, *args, **kwargs) -> None:
    async def run() -> None:
        found[name] = await _note(do, *args, **kwargs)

    nursery.start_soon(run)


# -- quiet, drain, cancel


async def test_leaving_the_block_drains(engine, say, autojump_clock):
    channel = FakeChannel(latency=2)
    async with engine(channel, drain_timeout=60) as gateway:
        tickets = [await gateway.submit(say.message("r", str(n))) for n in range(5)]
    assert ["0", "1", "2", "3", "4"] == channel.texts("r")
    assert all(ticket.ended for ticket in tickets)
    assert 10 == trio.current_time()


async def test_what_does_not_end_within_the_grace_is_told_and_counted(engine, say, autojump_clock):
    channel = FakeChannel(latency=100)
    async with engine(channel, drain_timeout=30) as gateway:
        running = await gateway.submit(say.message("r", "flying"))
        waiting = await gateway.submit(say.message("r", "waiting"))
    assert 30 == trio.current_time()
    assert Disposition.UNKNOWN is (await running.receipt()).disposition
    assert "unknown" == (await running.receipt()).parts[0].outcome
    assert Disposition.CANCELLED is (await waiting.receipt()).disposition
    assert "not_sent" == (await waiting.receipt()).parts[0].outcome


async def test_what_closing_cut_off_says_so_in_its_receipt_and_in_the_log(
    engine, say, autojump_clock
):
    """Whatever its attempts before came to; what only waited was cancelled, and needs no reason."""
    busy = say.busy()

    async def slow_after_one(attempt):
        if attempt.room == "tried" and attempt.number == 1:
            raise busy
        await trio.sleep(100)

    with capture_logs() as logs:
        async with engine(FakeChannel(script=slow_after_one), drain_timeout=30) as gateway:
            first = await gateway.submit(say.message("fresh"))
            waiting = await gateway.submit(say.message("fresh"))
            tried = await gateway.submit(say.message("tried"))
    raw = "the gateway closed while the attempt was under way"
    for ticket in (first, tried):
        receipt = await ticket.receipt()
        verdict = receipt.verdict
        assert Disposition.UNKNOWN is receipt.disposition
        assert (Reason.OUTCOME_UNKNOWN, "unknown", raw) == (
            verdict.reason, verdict.dispatched, verdict.raw
        )  # fmt: skip
    assert (await waiting.receipt()).verdict is None
    failed = [log for log in logs if log["event"] == "gateway.envelope_failed"]
    assert {(log["envelope"], log["reason"], log["raw"]) for log in failed} == {
        (ticket.id, "outcome_unknown", raw) for ticket in (first, tried)
    }


async def test_drain_returns_every_undelivered_envelope(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    async with engine(channel, drain_timeout=15) as gateway:
        done = await gateway.send("bot", "before", "x")
        for n in range(4):
            await gateway.submit(say.message("r", str(n)))
        left = await gateway.drain()
        assert ["1", "2", "3"] == [item.envelope.text for item in left]
        assert [Disposition.UNKNOWN, Disposition.CANCELLED, Disposition.CANCELLED] == [
            item.receipt.disposition for item in left
        ]
        assert done.delivered
        with pytest.raises(GatewayClosed):
            await gateway.send("bot", "r", "late")
    assert 25 == trio.current_time()


async def test_a_drained_gateway_stops_at_once(engine, autojump_clock):
    async with engine(drain_timeout=1000) as gateway:
        await gateway.send("bot", "r", "x")
        assert [] == await gateway.drain()
    assert 0 == trio.current_time()


async def test_quiet_lets_what_was_accepted_go_on(engine, say, autojump_clock):
    channel = FakeChannel(latency=1)
    async with engine(channel, drain_timeout=10) as gateway:
        ticket = await gateway.submit(say.message())
        gateway.quiet()
        gateway.quiet()
        with pytest.raises(GatewayClosed):
            await gateway.submit(say.message())
        assert (await ticket.receipt()).delivered


@pytest.mark.parametrize("outbox", [None, MemoryOutbox], ids=["memory", "outbox"])
async def test_after_quiet_nothing_is_accepted(engine, say, outbox, autojump_clock):
    """Refused at once and whole: no slot is taken, nothing is stored, no key stands for it."""
    stored = outbox and outbox()
    channel = FakeChannel()
    async with engine(channel, outbox=stored) as gateway:
        gateway.quiet()
        for key in (None, "key"):
            for wait in (True, False):
                with trio.fail_after(1), pytest.raises(GatewayClosed):
                    await gateway.submit(say.message(key=key), wait=wait)
        statistics = gateway.statistics()
        assert (0, 0) == (statistics.accepted, statistics.unfinished)
        assert 4 == statistics.refused
    assert [] == channel.made
    assert stored is None or 0 == len(stored)


async def test_quiet_wakes_those_who_wait_for_room(engine, say, autojump_clock):
    found: dict[str, object] = {}
    channel = FakeChannel(latency=5)
    async with engine(channel, room_bound=1, drain_timeout=10) as gateway:
        async with trio.open_nursery() as nursery:
            first = await gateway.submit(say.message())
            gather(nursery, found, "submit", gateway.submit, say.message())
            gather(nursery, found, "send", gateway.send, "bot", "r", "x")
            await trio.sleep(1)
            assert {} == found
            gateway.quiet()
        assert {"submit": GatewayClosed, "send": GatewayClosed} == found
        assert 1 == trio.current_time()
        assert (await first.receipt()).delivered


async def test_the_rest_ends_newest_first_so_that_nothing_starts_meanwhile(
    engine, say, autojump_clock
):
    """An edit behind a send that is given up ends as well, once, and the close goes on."""
    channel = FakeChannel(latency=100)
    async with engine(channel, partition_count=1) as gateway:
        send = await gateway.submit(say.message())
        blocked = await gateway.submit(say.message(text="behind"))
        ref = blocked.ref
        edit = await gateway.submit(
            Edit(instance_id="bot", external_room_id="r", target=ref, text="new")
        )
        other = await gateway.submit(say.message("other", ttl=1.0))
        await trio.sleep(0.5)
    assert Disposition.UNKNOWN is (await send.receipt()).disposition
    assert Disposition.CANCELLED is (await blocked.receipt()).disposition
    assert (await edit.receipt()).disposition in (Disposition.CANCELLED, Disposition.REJECTED)
    assert Disposition.UNKNOWN is (await other.receipt()).disposition
    assert 2 == len(channel.made)


async def test_waiting_lanes_end_without_waking_each_other(engine, say, autojump_clock):
    """Ending a waiting send lets the edit behind it see that its message never comes."""
    async with engine(partition_count=1) as gateway:
        gateway.suspend("bot")
        tickets = []
        for n in range(3):
            send = await gateway.submit(say.message(text=str(n)))
            edit = Edit(instance_id="bot", external_room_id="r", target=send.ref, text="new")
            tickets += [send, await gateway.submit(edit)]
        tickets.append(await gateway.submit(say.message(ttl=0.5)))
        await trio.sleep(1)
    ends = [(await ticket.receipt()).disposition for ticket in tickets]
    assert [Disposition.CANCELLED] * 6 + [Disposition.EXPIRED] == ends


async def test_a_removed_instance_ends_what_waits_in_the_same_way(engine, say, autojump_clock):
    async with engine(partition_count=1) as gateway:
        gateway.suspend("bot")
        send = await gateway.submit(say.message())
        edit = Edit(instance_id="bot", external_room_id="r", target=send.ref, text="new")
        await gateway.submit(edit)
        left = await gateway.remove_instance("bot")
        assert [Disposition.CANCELLED] * 2 == [item.receipt.disposition for item in left]
        assert send.id == left[0].receipt.envelope_id


async def test_a_removal_that_is_cancelled_has_removed_nothing(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    async with engine(channel, drain_timeout=60) as gateway:
        ticket = await gateway.submit(say.message())
        with trio.move_on_after(1):
            await gateway.remove_instance("bot", drain=100)
        assert (await gateway.send("bot", "other", "x")).delivered
        assert (await ticket.receipt()).delivered
        assert [] == await gateway.remove_instance("bot", drain=100)


async def test_an_exception_of_the_body_leaves_unwrapped_after_the_drain(say, autojump_clock):
    channel = FakeChannel(latency=3)

    async def body() -> None:
        async with open_test_gateway(channel, drain_timeout=10) as gateway:
            await gateway.submit(say.message())
            raise LookupError("the application's own")

    with pytest.raises(LookupError, match="the application's own"):
        await body()
    assert ["hello"] == channel.texts("r")


async def test_a_group_of_the_body_stays_a_group(say, autojump_clock):
    async def body() -> None:
        async with open_test_gateway():
            raise ExceptionGroup("the application's own", [ValueError("a"), KeyError("b")])

    with pytest.raises(ExceptionGroup, match="the application's own") as caught:
        await body()
    assert 2 == len(caught.value.exceptions)


async def test_a_cancelled_application_still_drains(say, autojump_clock):
    channel = FakeChannel(latency=5)
    tickets = []
    with trio.move_on_after(1):
        async with open_test_gateway(channel, drain_timeout=20) as gateway:
            tickets = [await gateway.submit(say.message("r", str(n))) for n in range(6)]
            await trio.sleep_forever()
    assert 21 == trio.current_time()
    assert ["0", "1", "2", "3"] == channel.texts("r")
    assert all(ticket.ended for ticket in tickets)


async def test_what_is_scheduled_for_after_the_grace_is_not_waited_for(engine, say, autojump_clock):
    async with engine(drain_timeout=5) as gateway:
        ticket = await gateway.submit(say.message(not_before=1_700_000_100.0, ttl=1000.0))
    assert 0 == trio.current_time()
    assert Disposition.CANCELLED is (await ticket.receipt()).disposition


# -- on a durable outbox: only what is in flight is waited for


async def test_a_suspended_account_holds_up_no_close_on_a_durable_outbox(say, autojump_clock):
    channel, outbox = FakeChannel(), MemoryOutbox()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        gateway.suspend("bot")
        for n in range(10):
            await gateway.submit(say.message(f"room{n}"))
        await trio.sleep(5)
    assert 5 == trio.current_time()
    assert 10 == len(outbox)


async def test_a_room_limit_holds_up_no_close_and_the_next_run_goes_on(say, autojump_clock):
    outbox = MemoryOutbox()
    channel = FakeChannel(limits=lambda room, _: [Limit(f"r {room}", 1, 60.0)], latency=0.1)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        for n in range(3):
            await gateway.submit(say.message(text=str(n)))
        await trio.sleep(0.05)
    assert trio.current_time() < 0.2
    assert ["0"] == channel.texts("r")
    async with open_test_gateway(channel, outbox=outbox, seed="next"):
        await trio.sleep(200)
    assert ["0", "1", "2"] == channel.texts("r")


async def test_an_attempt_in_flight_is_waited_for_and_nothing_begins_after_it(say, autojump_clock):
    channel, outbox = FakeChannel(latency=7), MemoryOutbox()
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=30) as gateway:
        for n in range(3):
            await gateway.submit(say.message(text=str(n)))
        await trio.sleep(1)
    assert 7 <= trio.current_time() < 7.1
    assert ["0"] == channel.texts("r")
    assert 1 == len(channel.made)
    assert 2 == len(outbox)


async def test_what_needs_no_wait_goes_on_for_a_moment_of_the_close(say, autojump_clock):
    """A program that hands over a few messages and ends has them delivered."""
    channel, outbox = FakeChannel(latency=0.1), MemoryOutbox()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        for n in range(5):
            await gateway.submit(say.message(text=str(n)))
    assert ["0", "1", "2", "3", "4"] == channel.texts("r")
    assert trio.current_time() < 0.6


async def test_an_endless_backlog_holds_up_no_close_on_a_durable_outbox(say, autojump_clock):
    channel, outbox = FakeChannel(latency=0.3), MemoryOutbox()
    async with open_test_gateway(channel, outbox=outbox, attempts_per_partition=4) as gateway:
        for n in range(200):
            await gateway.submit(say.message(f"room{n % 20}", text=str(n)))
    assert 1 <= trio.current_time() < 1.5
    arrived = len(channel.made)
    assert 200 == arrived + len(outbox), "an attempt was broken off, or one was lost"
    async with open_test_gateway(channel, outbox=outbox, seed="next"):
        await trio.sleep(100)
    assert 200 == len(channel.made)


async def test_a_session_that_does_not_open_holds_up_no_close_on_a_durable_outbox(
    say, autojump_clock
):
    """Nothing was sent of what waits for it."""

    class Hanging(FakeChannel):
        @hookimpl
        def open_session(self):
            @asynccontextmanager
            async def session():
                await trio.sleep_forever()
                yield

            return session()

    outbox = MemoryOutbox()
    async with open_test_gateway(Hanging(), outbox=outbox) as gateway:
        await gateway.submit(say.message())
        await trio.sleep(1)
    assert trio.current_time() < 3
    assert 1 == len(outbox)


# -- cancelled callers


async def test_a_cancelled_caller_withdraws_what_has_not_started(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    async with engine(channel, drain_timeout=60) as gateway:
        await gateway.submit(say.message(text="first"))
        with trio.move_on_after(1):
            await gateway.send("bot", "r", "second")
        assert {Disposition.CANCELLED: 1} == gateway.statistics().dispositions
        await gateway.send("bot", "r", "third")
        assert ["first", "third"] == channel.texts("r")


async def test_what_has_started_finishes_and_is_counted(engine, autojump_clock):
    channel = FakeChannel(latency=10)
    async with engine(channel, drain_timeout=60) as gateway:
        with trio.move_on_after(1):
            await gateway.send("bot", "r", "started")
        await trio.sleep(10)
        assert {Disposition.DELIVERED: 1} == gateway.statistics().dispositions
    assert ["started"] == channel.texts("r")


async def test_a_caller_cancelled_before_it_came_leaves_no_trace(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        with trio.CancelScope() as scope:
            scope.cancel()
            await gateway.submit(say.message())
        assert scope.cancelled_caught
        assert 0 == gateway.statistics().accepted
        with trio.CancelScope() as scope:
            scope.cancel()
            await gateway.send("bot", "r", "x")
        assert scope.cancelled_caught
        await trio.sleep(1)
        assert [] == channel.made


async def test_a_submit_that_returns_was_accepted_even_if_cancelled_meanwhile(
    engine, say, autojump_clock
):
    async with engine() as gateway:
        with trio.CancelScope() as scope:
            ticket = await gateway.submit(say.message())
            scope.cancel()
        assert (await ticket.receipt()).delivered


async def test_another_sender_of_the_key_keeps_it_going(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    found: dict[str, object] = {}
    async with engine(channel, drain_timeout=60) as gateway:
        await gateway.submit(say.message(text="before"))
        async with trio.open_nursery() as nursery:
            gather(nursery, found, "other", gateway.send, "bot", "r", "x", key="k")
            await trio.sleep(1)
            with trio.move_on_after(1):
                await gateway.send("bot", "r", "x", key="k")
        assert found["other"].delivered


@pytest.mark.parametrize("first", ["submit", "send"])
async def test_a_ticket_in_somebodys_hands_keeps_it_going(engine, say, first, autojump_clock):
    """Who joined by `submit` was told "accepted": a cancelled `send` of the key changes nothing."""
    channel = FakeChannel(latency=5)
    async with engine(channel, drain_timeout=60) as gateway:
        await gateway.submit(say.message(text="before"))
        ticket = None
        if first == "submit":
            ticket = await gateway.submit(say.message(text="x", key="k"))
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(_send_within, scope, gateway)
                await trio.sleep(1)
                ticket = ticket or await gateway.submit(say.message(text="x", key="k"))
            scope.cancel()
        assert (await ticket.receipt()).delivered
        assert ["before", "x"] == channel.texts("r")


async def _send_within(scope: trio.CancelScope, gateway) -> None:
    with trio.move_on_after(2):
        await gateway.send("bot", "r", "x", key="k")


async def test_a_waiter_that_gives_up_on_a_ticket_changes_nothing(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel, drain_timeout=60) as gateway:
        await gateway.submit(say.message(text="before"))
        ticket = await gateway.submit(say.message(text="x"))
        with trio.move_on_after(1):
            await ticket.receipt()
        assert not ticket._delivery._on_end
        assert (await ticket.receipt()).delivered


async def test_cancel_by_ticket_and_by_id(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel, drain_timeout=60) as gateway:
        started = await gateway.submit(say.message(text="started"))
        by_ticket = await gateway.submit(say.message(text="one"))
        by_id = await gateway.submit(say.message(text="two"))
        await trio.sleep(1)
        assert not await gateway.cancel(started)
        assert await gateway.cancel(by_ticket)
        assert await gateway.cancel(by_id.id)
        assert not await gateway.cancel(by_id.id)
        assert not await gateway.cancel("unknown")
        assert (await started.receipt()).delivered
        assert Disposition.CANCELLED is (await by_ticket.receipt()).disposition


async def test_a_cancelled_scheduled_envelope_is_gone(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message(not_before=1_700_000_050.0))
        assert await gateway.cancel(ticket)
        await trio.sleep(100)
        assert [] == channel.made


async def test_many_cancelled_behind_one_that_waits_take_no_memory(engine, say, autojump_clock):
    channel = FakeChannel(latency=1000)
    async with engine(channel) as gateway:
        await gateway.submit(say.message())
        await trio.sleep(1)
        for n in range(500):
            await gateway.cancel(await gateway.submit(say.message(text=str(n))))
        index = gateway._partition_of("bot", "r").index
        room = gateway._partitions[index].scheduler.rooms["bot", "r"]
        assert len(room.lanes[None].queue) < 50


async def test_an_ending_may_end_others_as_it_is_reported(engine, say, autojump_clock):
    """What happens while observers hear of an ending may end more."""

    class Domino:
        def __init__(self) -> None:
            self.gateway = None
            self.tickets = []

        @hookimpl
        def after_disposition(self):
            if self.tickets:
                self.gateway._lookup.withdraw_held(self.tickets.pop()._delivery)

    policy = Domino()
    channel = FakeChannel(latency=5)
    async with engine(channel, plugins=[policy], drain_timeout=60) as gateway:
        policy.gateway = gateway
        first = await gateway.submit(say.message(text="first"))
        policy.tickets = [await gateway.submit(say.message(text=str(n))) for n in range(9)]
        last = policy.tickets[0]
        assert (await first.receipt()).delivered
        assert Disposition.CANCELLED is (await last.receipt()).disposition
        assert 1 == len(channel.made)


# -- an application that is cancelled, at every await


async def _scenario(gateway) -> None:
    """A small application: sends, joins, edits, waits for room, lets go."""
    first = await gateway.submit(Send(instance_id="bot", external_room_id="a", text="first"))
    async with trio.open_nursery() as nursery:
        for n in range(3):
            nursery.start_soon(_keyed, gateway, n)
        await trio.sleep(0.1)
        nursery.start_soon(gateway.edit, first, "edited")
        nursery.start_soon(gateway.send, "bot", "a", "alone")
        nursery.start_soon(partial(gateway.call, "bot", "a", "typing", {}, order="none"))
        await gateway.send("bot", "b", "waits for its room")
        await first.receipt()
        await gateway.edit(first, "edited again")
    await gateway.delete(first)


async def _keyed(gateway, n: int) -> None:
    await gateway.send("bot", "a", f"keyed {n // 2}", key=f"k{n // 2}")


class _CancelAt(trio.abc.Instrument):
    """Cancels a scope before the application's task runs for the nth time."""

    def __init__(self, scope: trio.CancelScope, task: trio.lowlevel.Task, at: int) -> None:
        self.scope, self.task, self.left, self.seen = scope, task, at, 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task or _within(task, self.task):
            self.seen += 1
            if self.seen == self.left:
                self.scope.cancel()


def _within(task: trio.lowlevel.Task, root: trio.lowlevel.Task) -> bool:
    while task.parent_nursery is not None:
        task = task.parent_nursery.parent_task
        if task is root:
            return True
    return False


async def _cancelled_at(step: int, make_engine) -> int:
    """Run the scenario, cancel it at its nth step; how many steps it had."""
    channel = FakeChannel(limits=lambda room, _: [Limit(f"r {room}", 1, 0.5)], latency=0.2)
    counted = 0

    async def application(gateway) -> None:
        nonlocal counted
        with trio.CancelScope() as scope:
            instrument = _CancelAt(scope, trio.lowlevel.current_task(), step)
            trio.lowlevel.add_instrument(instrument)
            try:
                await _scenario(gateway)
            finally:
                trio.lowlevel.remove_instrument(instrument)
                counted = instrument.seen

    async with make_engine(channel, room_bound=3, drain_timeout=30) as gateway:
        await application(gateway)
    texts = [*channel.texts("a"), *channel.texts("b")]
    assert len(set(texts)) == len(texts), "a message stands twice"
    return counted


def test_an_application_cancelled_at_every_await_leaves_clean_books(new_engine):
    """Each step of a small application is once the last one before it is cancelled."""
    steps = run_seeded("whole", _cancelled_at, 1 << 30, new_engine())
    assert steps > 20
    for step in range(1, steps + 1):
        run_seeded(f"cancelled at {step}", _cancelled_at, step, new_engine())


class Lingering(MemoryOutbox):
    """An outbox that takes a few seconds to close."""

    async def __aexit__(self, *_):
        with trio.CancelScope(shield=True):
            await trio.sleep(5)


async def test_what_is_stored_of_an_account_that_goes_as_the_gateway_closes_stays(autojump_clock):
    """Nobody can take it back any more: its account is gone, and the next run has it."""
    outbox, taken_back = Lingering(), []

    async def cancel(gateway, ticket):
        await trio.sleep(4)
        taken_back.append(await gateway.cancel(ticket))

    async with (
        trio.open_nursery() as nursery,
        open_test_gateway(FakeChannel(latency=1_000.0), outbox=outbox, drain_timeout=1) as gateway,
    ):
        await gateway.enqueue("bot", "r", "under way")
        ticket = await gateway.enqueue("bot", "r", "waits")
        await trio.sleep(1)
        nursery.start_soon(partial(gateway.remove_instance, "bot", drain=60))
        nursery.start_soon(cancel, gateway, ticket)
    assert [False] == taken_back
    texts = [stored.entry.envelope.text for stored in await outbox.page("bot")]
    assert ["under way", "waits"] == texts
