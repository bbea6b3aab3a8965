"""An account's backlog ends piece by piece: the others have their turns, and nothing half ended."""

from functools import partial

import pytest
import trio

from gateway_core import ConfigError, Disposition, Instance, UnknownInstance
from gateway_core.deliveries.delivery import Delivery
from gateway_core.engine.instances.stopping import AT_ONCE
from gateway_core.testing import (
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    open_test_gateway,
    virtual_wall,
)

MANY = 300
ROOMS = 7


class Turns:
    """How many tickets end between two turns of a task that does nothing else."""

    def __init__(self, tickets):
        self.tickets = tickets
        self.most = 0

    @property
    def ended(self):
        return sum(ticket.ended for ticket in self.tickets)

    async def count(self, *, task_status):
        before = self.ended
        task_status.started()
        while True:
            await trio.lowlevel.checkpoint()
            now = self.ended
            self.most, before = max(self.most, now - before), now


def held():
    """A channel whose rooms called `room …` never get an answer."""

    async def wait(attempt):
        if attempt.room.startswith("room"):
            await trio.sleep(1000)

    return FakeChannel(script=wait)


async def filled(gateway, say, number=MANY):
    return [await gateway.submit(say.message(f"room {n % ROOMS}")) for n in range(number)]


# -- taken out


@pytest.mark.parametrize("durable", [False, True])
async def test_the_others_have_their_turns_while_an_account_is_taken_out(
    engine, say, autojump_clock, durable
):
    outbox = MemoryOutbox() if durable else None
    async with engine(held(), instances=["bot", "other"], outbox=outbox) as gateway:
        tickets = await filled(gateway, say)
        await trio.sleep(1)
        turns = Turns(tickets)
        async with trio.open_nursery() as nursery:
            await nursery.start(turns.count)
            left = await gateway.remove_instance("bot")
            nursery.cancel_scope.cancel()
        assert 2 * AT_ONCE >= turns.most > 0  # tasks take their turns in any order
        assert all(ticket.ended for ticket in tickets)
        assert sorted(t.id for t in tickets) == sorted(u.receipt.envelope_id for u in left)
        ends = [u.receipt.disposition for u in left]
        assert (ROOMS, MANY - ROOMS) == (
            ends.count(Disposition.UNKNOWN),
            ends.count(Disposition.CANCELLED),
        )
        assert (await gateway.send("other", "busy", "x")).delivered


async def test_what_is_given_back_is_in_order_in_each_room(engine, say, autojump_clock):
    async with engine(held()) as gateway:
        await filled(gateway, say)
        left = await gateway.remove_instance("bot")
    for room in range(ROOMS):
        ids = [u.receipt.envelope_id for u in left if u.envelope.external_room_id == f"room {room}"]
        assert sorted(ids) == ids


@pytest.mark.parametrize("out_of_order", [False, True])
async def test_nothing_of_an_account_begins_while_it_is_taken_out(
    engine, say, autojump_clock, out_of_order
):
    """Its one slot becomes free amid the removal, and other rooms wait for it.

    Where its circuit was open, that answer would close it.
    """
    reached, go_on = trio.Event(), trio.Event()

    async def wait(_attempt):
        reached.set()
        await go_on.wait()

    channel = FakeChannel(script=wait)
    async with engine(channel, attempts_per_instance=1) as gateway:
        tickets = await filled(gateway, say)
        await reached.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.remove_instance, "bot")
            await amid(tickets)
            health = gateway._registry.present("bot").health
            health.open, health.steady = out_of_order, not out_of_order
            go_on.set()
        assert 1 == len(channel.made)


async def amid(tickets):
    """Until some have ended, and not all."""
    await until(lambda: any(ticket.ended for ticket in tickets))
    assert not all(ticket.ended for ticket in tickets)


async def until(true):
    """No time passes on the clock meanwhile, only turns."""
    for _ in range(10 * MANY):
        if true():
            return
        await trio.lowlevel.checkpoint()
    pytest.fail("it never was")


async def test_an_account_that_is_half_taken_out_is_gone_for_its_callers(
    engine, say, autojump_clock
):
    async with engine(held()) as gateway:
        tickets = await filled(gateway, say)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.remove_instance, "bot")
            await amid(tickets)
            for ask in (
                partial(gateway.send, "bot", "r", "x"),
                partial(gateway.submit, say.message()),
                partial(gateway.remove_instance, "bot"),
                partial(gateway.probe, "bot"),
            ):
                with pytest.raises(UnknownInstance):
                    await ask()
            for do in (gateway.suspend, gateway.resume):
                with pytest.raises(UnknownInstance):
                    do("bot")
            with pytest.raises(ConfigError, match="exists already"):
                gateway.add_instance(Instance("bot", "fake", FakeSettings()))
            assert not all(ticket.ended for ticket in tickets)
        gateway.add_instance(Instance("bot", "fake", FakeSettings()))
        assert (await gateway.send("bot", "busy", "x")).delivered


async def test_a_removal_that_has_begun_to_end_things_cannot_be_cancelled(
    engine, say, autojump_clock
):
    left = []
    async with engine(held()) as gateway:
        tickets = await filled(gateway, say)
        async with trio.open_nursery() as nursery:

            async def remove():
                left.extend(await gateway.remove_instance("bot"))

            nursery.start_soon(remove)
            await amid(tickets)
            nursery.cancel_scope.cancel()
        assert MANY == len(left)
        assert all(ticket.ended for ticket in tickets)
        assert () == gateway.statistics().instances


async def test_what_arrives_amid_a_removal_is_not_given_back(engine, say, autojump_clock):
    """The oldest of a room goes last: its attempt may end before that."""
    reached, go_on = trio.Event(), trio.Event()

    async def wait(_attempt):
        reached.set()
        await go_on.wait()

    async with engine(FakeChannel(script=wait)) as gateway:
        tickets = [await gateway.submit(say.message("room")) for _ in range(MANY)]
        await reached.wait()
        async with trio.open_nursery() as nursery:
            left = []

            async def remove():
                left.extend(await gateway.remove_instance("bot"))

            nursery.start_soon(remove)
            await amid(tickets)
            go_on.set()
        assert (await tickets[0].receipt()).delivered
        assert [ticket.id for ticket in tickets[1:]] == [u.receipt.envelope_id for u in left]


@pytest.mark.parametrize("durable", [False, True])
async def test_a_gateway_may_close_amid_a_removal(say, autojump_clock, durable):
    """In memory all end; what an outbox has is stored for the next run, or has ended."""
    outbox = MemoryOutbox() if durable else None
    left = []
    async with (
        trio.open_nursery() as nursery,
        open_test_gateway(held(), outbox=outbox, drain_timeout=0) as gateway,
    ):
        tickets = await filled(gateway, say)

        async def remove():
            left.extend(await gateway.remove_instance("bot"))

        nursery.start_soon(remove)
        await amid(tickets)
    ended = [ticket for ticket in tickets if ticket.ended]
    assert {t.id for t in ended} >= {u.receipt.envelope_id for u in left} > set()
    stored = [ticket for ticket in tickets if ticket._delivery.stored]
    assert MANY == len(ended) + len(stored)
    assert bool(stored) == durable


# -- suspended, where that ends what waits


async def test_the_others_have_their_turns_while_a_suspension_ends_a_backlog(
    engine, say, autojump_clock
):
    settings = {"when_suspended": "end", "instances": ["bot", "other"]}
    async with engine(held(), **settings) as gateway:
        tickets = await filled(gateway, say)
        await trio.sleep(1)
        turns = Turns(tickets)
        async with trio.open_nursery() as nursery:
            await nursery.start(turns.count)
            gateway.suspend("bot")
            assert (await gateway.send("other", "busy", "x")).delivered
            assert turns.ended < MANY - ROOMS
            await until(lambda: turns.ended == MANY - ROOMS)
            nursery.cancel_scope.cancel()
        # Ended by the suspension, and by the workers that find the next ones of their rooms.
        assert 2 * AT_ONCE + gateway.config.attempts_per_partition >= turns.most > 0
        ends = {(await t.receipt()).disposition for t in tickets if t.ended}
        assert {Disposition.FATAL} == ends


async def test_who_resumes_an_account_amid_that_keeps_the_rest(engine, say, autojump_clock):
    """What is scheduled for later: no worker finds it."""
    async with engine(when_suspended="end") as gateway:
        soon = virtual_wall() + 60
        tickets = [
            await gateway.submit(say.message(f"room {n}", not_before=soon)) for n in range(MANY)
        ]
        gateway.suspend("bot")
        await amid(tickets)
        gateway.resume("bot")
        ends = [(await ticket.receipt()).disposition for ticket in tickets]
    assert {Disposition.FATAL, Disposition.DELIVERED} == set(ends)
    assert ends.count(Disposition.FATAL) <= 2 * AT_ONCE


# -- callers


class Callback:
    """Somebody who waits for an end."""

    compared = 0

    def __call__(self):
        pass

    def __eq__(self, other):
        Callback.compared += 1
        return self is other

    def __hash__(self):
        return id(self)


def test_many_who_wait_for_one_end_may_leave_in_any_order(say):
    """Twenty thousand callers of one key, cancelled together: each looks at itself alone."""
    delivery = Delivery("id", say.message(), ())
    callers = [Callback() for _ in range(2000)]
    for caller in callers:
        delivery.join(caller)
    Callback.compared = 0
    for caller in reversed(callers):
        delivery.leave(caller)
    assert Callback.compared <= len(callers)
    assert 0 == delivery.joined
    delivery.notify()
