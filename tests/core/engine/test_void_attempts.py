"""An attempt that does not begin: its tokens go to others, and its lane goes on, at once."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from gateway_core import Disposition, Limit
from gateway_core.authors import TransportError, hookimpl
from gateway_core.testing import FakeChannel, MemoryOutbox


class Slow(FakeChannel):
    """Opens a session within five seconds; `fails`: not the first time."""

    def __init__(self, *, fails: bool = False, **options) -> None:
        super().__init__(**options)
        self.fails = fails

    @hookimpl
    def open_session(self):
        return self._session()

    @asynccontextmanager
    async def _session(self):
        await trio.sleep(5)
        if self.fails:
            self.fails = False
            raise TransportError("unreachable", dispatched="no")
        yield "session"


class SlowOutbox(MemoryOutbox):
    """Takes five seconds to record that the first attempt begins."""

    waited = False

    async def attempt_started(self, envelope_id, record):
        if not self.waited:
            self.waited = True
            await trio.sleep(5)
        await super().attempt_started(envelope_id, record)


WAYS = {
    "the session opens": (Slow, None, 5),
    "the session does not open": (lambda **options: Slow(fails=True, **options), None, 10),
    "the outbox records it": (FakeChannel, SlowOutbox, 5),
}


@pytest.mark.parametrize(("channel", "outbox", "at"), WAYS.values(), ids=WAYS)
async def test_as_one_is_cancelled_meanwhile_its_lane_and_others_go_on(
    engine, say, autojump_clock, channel, outbox, at
):
    """One slot is all there is, which the next of its room and another room wait for."""
    made, store = channel(), outbox and outbox()
    async with engine(made, outbox=store, partition_count=1, attempts_per_partition=1) as gateway:
        ended = await gateway.submit(say.message(text="ended"))
        others = [await gateway.submit(say.message(room, text=room)) for room in ("r", "other")]
        await trio.sleep(1)
        assert await gateway.cancel(ended)
        assert [True, True] == [(await ticket.receipt()).delivered for ticket in others]
        assert at == trio.current_time()
        assert Disposition.CANCELLED is (await ended.receipt()).disposition
    assert (["r"], ["other"]) == (made.texts("r"), made.texts("other"))


@pytest.mark.parametrize(("channel", "outbox", "at"), WAYS.values(), ids=WAYS)
async def test_its_token_of_a_limit_was_not_spent(engine, say, autojump_clock, channel, outbox, at):
    """Of one message an hour none was sent: another room's goes at once."""
    hourly = Limit("account", 1, 3600.0, of="instance")
    made = channel(limits=lambda _room, _operation: [hourly])
    async with engine(made, outbox=outbox and outbox()) as gateway:
        ended = await gateway.submit(say.message("ended"))
        other = await gateway.submit(say.message("other"))
        await trio.sleep(1)
        assert await gateway.cancel(ended)
        assert (await other.receipt()).delivered
        assert at == trio.current_time()


class BrokenOutbox(MemoryOutbox):
    """Something of ours breaks as it records that the first attempts begin."""

    breaks = 3

    async def attempt_started(self, envelope_id, record):
        await trio.lowlevel.checkpoint()
        if self.breaks:
            self.breaks -= 1
            raise RuntimeError("something of the engine's own breaks")
        await super().attempt_started(envelope_id, record)


async def test_what_broke_before_it_began_has_spent_nothing(engine, say, autojump_clock):
    """One in an hour is all there is, of which none was sent yet."""
    hourly = Limit("account", 1, 3600.0, "window", of="instance")
    channel = FakeChannel(limits=lambda _room, _operation: [hourly])
    async with engine(channel, outbox=BrokenOutbox()) as gateway:
        tickets = [await gateway.submit(say.message(f"{n}")) for n in range(4)]
        await trio.sleep(60)
        assert 1 == len(channel.made)
        for ticket in tickets:
            await gateway.cancel(ticket)


async def test_a_session_that_opens_slowly_keeps_nothing_beyond_its_deadline(
    engine, say, autojump_clock
):
    """Nothing was dispatched; what has the time is sent as the session opens."""
    channel = Slow()
    async with engine(channel, partition_count=1) as gateway:
        begun = trio.current_time()
        short = [await gateway.submit(say.message(f"{n}", ttl=2)) for n in range(30)]
        long = [await gateway.submit(say.message(f"{n}")) for n in range(30)]
        for ticket in short:
            receipt = await ticket.receipt()
            assert (Disposition.EXPIRED, 0) == (receipt.disposition, receipt.attempts)
        assert 2 <= trio.current_time() - begun < 2.1
        for ticket in long:
            assert (await ticket.receipt()).delivered
        assert 5 <= trio.current_time() - begun < 7
