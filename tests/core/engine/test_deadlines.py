"""Deadlines and schedules: an envelope expires wherever it waits, and starts when it is due."""

from __future__ import annotations

import pytest
import trio

from gateway_core import Disposition, Edit, Limit, Part, Reason, RetrySettings, Ttl, Verdict
from gateway_core.authors import hookimpl
from gateway_core.testing import EPOCH, Failure, FakeChannel

DEFAULTS = {"urgent": 300.0, "normal": 3600.0, "bulk": 86400.0}


async def ended_at(ticket) -> tuple[Disposition, float]:
    receipt = await ticket.receipt()
    assert EPOCH + trio.current_time() == pytest.approx(receipt.ended_at)
    return receipt.disposition, pytest.approx(trio.current_time(), abs=1e-3)


@pytest.mark.parametrize("priority", ["urgent", "normal", "bulk"])
async def test_each_class_has_its_time(engine, say, priority, autojump_clock):
    async with engine() as gateway:
        gateway.suspend("bot")
        ticket = await gateway.submit(say.message(priority=priority))
        assert (Disposition.EXPIRED, DEFAULTS[priority]) == await ended_at(ticket)


async def test_the_times_of_the_classes_are_settings(engine, say, autojump_clock):
    async with engine(ttl=Ttl(normal=7.0)) as gateway:
        gateway.suspend("bot")
        assert (Disposition.EXPIRED, 7) == await ended_at(await gateway.submit(say.message()))


async def test_it_expires_while_its_instance_is_suspended(engine, say, autojump_clock):
    async with engine() as gateway:
        gateway.suspend("bot")
        assert (Disposition.EXPIRED, 9) == await ended_at(await gateway.submit(say.message(ttl=9)))


async def test_it_expires_behind_another_in_its_lane(engine, say, autojump_clock):
    channel = FakeChannel(latency=50)
    async with engine(channel, drain_timeout=100) as gateway:
        await gateway.submit(say.message())
        late = await gateway.submit(say.message(text="late", ttl=9))
        assert (Disposition.EXPIRED, 9) == await ended_at(late)
    assert 1 == len(channel.made)


async def test_behind_another_of_an_unreachable_account_it_says_so(engine, say, autojump_clock):
    """Too few attempts fail for the circuit to open; and once one works, nothing is said."""
    down = Verdict(error_class="retryable", reason="unreachable", scope="instance", raw="no")
    works = trio.Event()

    async def script(_):
        if not works.is_set():
            raise Failure(down)
        await trio.sleep(0 if gateway.statistics().unfinished == 1 else 50)

    channel = FakeChannel(script=script)
    channel.probe_error = Failure(down)
    async with engine(channel, drain_timeout=100) as gateway:
        tickets = [await gateway.submit(say.message(ttl=9)) for _ in range(2)]
        receipts = [await ticket.receipt() for ticket in tickets]
        why = "it waited (queue; the account's newest failure: unreachable)"
        told = [receipt.verdict.raw for receipt in receipts]
        assert ["no", f"its deadline passed while {why}"] == told
        works.set()
        assert (await gateway.send("bot", "r", "x")).delivered
        await gateway.submit(say.message())
        receipt = await (await gateway.submit(say.message(ttl=9))).receipt()
        assert "its deadline passed while it waited (queue)" == receipt.verdict.raw


async def test_it_expires_while_it_waits_for_a_limit(engine, say, autojump_clock):
    channel = FakeChannel(limits=lambda *_: [Limit("account", 1, 60.0)])
    async with engine(channel) as gateway:
        await gateway.send("bot", "a", "x")
        late = await gateway.submit(say.message("b", ttl=9))
        next_one = await gateway.submit(say.message("b", "next", ttl=100))
        assert (Disposition.EXPIRED, 9) == await ended_at(late)
        assert (Disposition.DELIVERED, 60) == await ended_at(next_one)


async def test_it_expires_while_it_waits_for_a_retry(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.busy(retry_after=8), say.busy(retry_after=0.5)))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", ttl=8.25, raises=False)
        assert Disposition.EXPIRED is receipt.disposition
        assert 8 == pytest.approx(trio.current_time())  # the second wait would be too long
        assert 2 == receipt.attempts


async def test_it_expires_while_it_waits_for_a_closed_gate(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.limited(50)))
    async with engine(channel) as gateway:
        first = await gateway.submit(say.message(ttl=100))
        await trio.sleep(1)
        second = await gateway.submit(say.message(text="second", ttl=9))
        assert (Disposition.EXPIRED, 10) == await ended_at(second)
        assert (Disposition.DELIVERED, 50) == await ended_at(first)


async def test_it_expires_while_its_outcome_is_in_doubt(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.unknown()))
    channel.probe_error = say.refused()
    async with engine(channel) as gateway:
        assert (Disposition.EXPIRED, 9) == await ended_at(await gateway.submit(say.message(ttl=9)))


async def test_it_expires_before_it_is_due(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message(ttl=9, not_before=EPOCH + 60))
        assert (Disposition.EXPIRED, 9) == await ended_at(ticket)
        await trio.sleep(100)
    assert [] == channel.made


async def test_an_edit_expires_while_it_waits_for_its_message(engine, say, autojump_clock):
    async with engine() as gateway:
        send = await gateway.submit(say.message(not_before=EPOCH + 60))
        edit = Edit(instance_id="bot", external_room_id="r", target=send.ref, text="y", ttl=9)
        assert (Disposition.EXPIRED, 9) == await ended_at(await gateway.submit(edit))
        assert (Disposition.DELIVERED, 60) == await ended_at(send)


async def test_an_attempt_in_flight_is_not_disturbed(engine, say, autojump_clock):
    channel = FakeChannel(latency=20)
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message(ttl=9))
        assert (Disposition.DELIVERED, 20) == await ended_at(ticket)


async def test_an_attempt_that_fails_after_the_deadline_is_not_repeated(
    engine, say, autojump_clock
):
    async def fails(attempt):
        await trio.sleep(20)
        raise say.busy(retry_after=0.0)

    channel = FakeChannel(script=fails)
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message(ttl=9))
        assert (Disposition.EXPIRED, 20) == await ended_at(ticket)
    assert 1 == len(channel.made)


class Words(FakeChannel):
    """Cuts a text into its words: one part each."""

    @hookimpl
    def chunk(self, envelope):
        return [Part(payload={"text": word}) for word in envelope.text.split()]


async def test_an_attempt_of_unknown_outcome_that_outlasts_the_deadline_ends_it_at_once(
    engine, say, autojump_clock
):
    """Its lane keeps quiet for the quarantine; the envelope, of which a part is left, does not."""

    async def lost(_):
        await trio.sleep(5)
        raise say.unknown()

    channel = Words(script=lost)
    async with engine(channel, retries=RetrySettings(quarantine=4)) as gateway:
        ticket = await gateway.submit(say.message(text="one two", ttl=3, on_unknown="give_up"))
        assert (Disposition.EXPIRED, 5) == await ended_at(ticket)
        assert ["unknown", "not_sent"] == [p.outcome for p in (await ticket.receipt()).parts]
        channel.script = None
        assert (Disposition.DELIVERED, 9) == await ended_at(await gateway.submit(say.message()))


async def test_a_ttl_of_zero_is_over_before_it_begins(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        assert (Disposition.EXPIRED, 0) == await ended_at(await gateway.submit(say.message(ttl=0)))
    assert [] == channel.made


async def test_stale_messages_expire_instead_of_delaying_fresh_ones(engine, say, autojump_clock):
    channel = FakeChannel(limits=lambda *_: [Limit("account", 1, 1.0)])
    async with engine(channel) as gateway:
        gateway.suspend("bot")
        for n in range(500):
            await gateway.submit(say.message(f"room {n}", ttl=60))
        await trio.sleep(100)
        gateway.resume("bot")
        assert (await gateway.send("bot", "fresh", "x")).delivered
        assert 100 == trio.current_time()
    assert 1 == len(channel.made)


async def test_the_receipt_says_what_it_waited_for(engine, say, autojump_clock):
    async with engine() as gateway:
        ticket = await gateway.submit(say.message(ttl=9, not_before=EPOCH + 60))
        receipt = await ticket.receipt()
        assert Reason.EXPIRED is receipt.verdict.reason
        assert "schedule" in receipt.verdict.raw


# -- schedules


async def test_it_is_sent_when_it_is_due_and_not_before(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message(not_before=EPOCH + 60))
        assert (Disposition.DELIVERED, 60) == await ended_at(ticket)


async def test_the_scheduled_delay_nobody(engine, say, autojump_clock):
    """A scheduled envelope enters its lane when it is due: behind what came before that."""
    channel = FakeChannel(latency=1)
    async with engine(channel) as gateway:
        scheduled = await gateway.submit(say.message("r", "scheduled", not_before=EPOCH + 10))
        assert (await gateway.send("bot", "r", "now")).delivered
        assert 1 == trio.current_time()
        await scheduled.receipt()
    assert ["now", "scheduled"] == channel.texts("r")


async def test_the_default_time_to_live_of_a_scheduled_one_counts_from_when_it_is_due(
    engine, say, autojump_clock
):
    """A message for tomorrow needs no explicit ttl."""
    day = 86_400.0
    async with engine() as gateway:
        ticket = await gateway.submit(say.message(not_before=EPOCH + day))
        assert (Disposition.DELIVERED, day) == await ended_at(ticket)


async def test_what_was_due_already_goes_at_once(engine, say, autojump_clock):
    async with engine() as gateway:
        ticket = await gateway.submit(say.message(not_before=EPOCH - 60))
        assert (Disposition.DELIVERED, 0) == await ended_at(ticket)


async def test_scheduled_ones_of_one_moment_keep_their_order(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel, drain_timeout=100) as gateway:
        for n in range(5):
            await gateway.submit(say.message("r", str(n), not_before=EPOCH + 60))
    assert ["0", "1", "2", "3", "4"] == channel.texts("r")
