"""An outbox that is full for a while, or has done what it was asked after its caller gave up."""

import pytest
import trio

from gateway_core import OutboxError
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway


class Late(MemoryOutbox):
    """It has what it was asked to store at once, and says so after so many seconds."""

    appending = recording = 0.0
    full = False

    async def append(self, entry, on_stored):
        self._check()
        await super().append(entry, lambda: None)
        await trio.sleep(self.appending)
        on_stored()

    async def attempt_started(self, envelope_id, record):
        self._check()
        await super().attempt_started(envelope_id, record)
        await trio.sleep(self.recording)

    def _check(self):
        if self.full:
            raise OutboxError("the disk is full")


async def test_a_key_is_free_as_its_caller_gives_up_whatever_the_outbox_has(autojump_clock):
    """The next who comes with it is accepted, and is one message."""
    outbox, channel = Late(), FakeChannel()
    outbox.appending = 5.0
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        with trio.move_on_after(1) as given_up:
            await gateway.enqueue("bot", "room", "given up", key="k")
        assert given_up.cancelled_caught
        assert 0 == gateway.statistics().stored == len(outbox)
        ticket = await gateway.enqueue("bot", "room", "again", key="k")
        assert 6.0 == pytest.approx(trio.current_time())
        assert (await ticket.receipt()).delivered
        assert (1, True) == (gateway.statistics().accepted, gateway.statistics().conserved)
    assert ["again"] == channel.texts("room")


async def test_who_joins_a_key_whose_caller_gives_up_takes_its_place(autojump_clock):
    """It waits for the first one's entry, which is taken back: then it is the first."""
    outbox, channel = Late(), FakeChannel()
    outbox.appending = 5.0
    async with (
        open_test_gateway(channel, outbox=outbox) as gateway,
        trio.open_nursery() as nursery,
    ):

        async def gives_up() -> None:
            with trio.move_on_after(2):
                await gateway.enqueue("bot", "room", "same", key="k")

        nursery.start_soon(gives_up)
        await trio.sleep(1)
        ticket = await gateway.enqueue("bot", "room", "same", key="k")
        assert 7.0 == pytest.approx(trio.current_time())
        assert (await ticket.receipt()).delivered
        assert (1, 1) == (gateway.statistics().accepted, len(channel.made))


async def test_an_attempt_that_is_recorded_too_late_is_no_possible_duplicate(autojump_clock):
    """Whoever restores the envelope must not believe that it may have been sent."""
    outbox, channel = Late(), FakeChannel()
    outbox.recording = 7.0
    async with open_test_gateway(channel, outbox=outbox, attempt_timeout=5.0) as gateway:
        ticket = await gateway.enqueue("bot", "room", "hello")
        await trio.sleep(4)
        assert [True] == [each.started for each in await records(outbox)]
        await trio.sleep(1.5)
        assert [False] == [each.started for each in await records(outbox)]
        assert [] == channel.made
        outbox.recording = 0.0
        receipt = await ticket.receipt()
    assert (True, 1, False) == (receipt.delivered, receipt.attempts, receipt.possible_duplicate)
    assert ["hello"] == channel.texts("room")


async def records(outbox):
    (stored,) = await outbox.page("bot")
    return stored.records


async def test_an_outbox_that_is_full_for_a_while_delays_what_was_accepted_and_no_more(
    autojump_clock,
):
    """What it refuses meanwhile leaves nothing; in the end each stands once, in its order."""
    outbox, channel = Late(), FakeChannel(latency=0.5)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        tickets = [await gateway.enqueue("bot", "room", f"{n}", key=f"{n}") for n in range(3)]
        await trio.sleep(0.25)
        outbox.full = True
        for n in range(10):
            with pytest.raises(OutboxError, match="full"):
                await gateway.enqueue("bot", "room", f"{n + 3}", key=f"{n + 3}")
            await trio.sleep(1)
        assert (["0"], 2) == (channel.texts("room"), gateway.statistics().stored)
        outbox.full = False
        tickets += [await gateway.enqueue("bot", "room", f"{n}", key=f"{n}") for n in (12, 4)]
        assert [True] * 5 == [(await ticket.receipt()).delivered for ticket in tickets]
        assert gateway.statistics().conserved
    assert ["0", "1", "2", "12", "4"] == channel.texts("room")
