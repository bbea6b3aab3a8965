"""What failed is tried again, and held, let go or ended meanwhile."""

from __future__ import annotations

import re

import pytest
import trio
from broadcasting import got, rooms, watched

from gateway_core import Disposition, ErrorClass, Instance, Reason, Send, Verdict
from gateway_core.authors import Part, hookimpl
from gateway_core.outboxes import Request
from gateway_core.testing import (
    Failure,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    open_test_gateway,
)

GONE = Verdict(
    error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE, dispatched="no", raw="gone"
)
CLOSED = Verdict(
    error_class=ErrorClass.RETRYABLE, reason=Reason.RATE_LIMITED, dispatched="no", retry_after=3.0
)
ALL_GOT_IT = dict.fromkeys(rooms(3), 1)


async def refused(_):
    raise Failure(GONE)


@pytest.fixture
def channel():
    return FakeChannel(latency=1.0, script=refused)


async def test_a_group_that_ended_while_it_was_paused_goes_on(opened, channel, autojump_clock):
    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(3), "news")
        await trio.sleep(0.5)
        assert (await job.pause()).paused
        assert 3 == (await job.wait()).failed
        assert not (await job.resume()).paused
        channel.script = None
        assert 3 == await job.retry()
        with trio.fail_after(60):
            assert {Disposition.DELIVERED: 3} == dict((await job.wait()).counts)
    assert ALL_GOT_IT == got(channel)


async def test_it_is_paused_as_soon_as_it_is_tried_again(opened, channel, autojump_clock):
    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(3), "news")
        await job.wait()
        channel.script = None
        await job.retry()
        assert (await job.pause()).paused
        await trio.sleep(30)
        assert {} == got(channel)
        await job.resume()
        assert {Disposition.DELIVERED: 3} == dict((await job.wait()).counts)
    assert ALL_GOT_IT == got(channel)


async def test_it_is_cancelled_as_soon_as_it_is_tried_again(opened, channel, autojump_clock):
    """What failed stays so, or is cancelled if it was to have another turn: nobody gets it."""
    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(3), "news")
        await job.wait()
        channel.script = None
        await job.retry()
        assert (await job.cancel()).cancelled
        with trio.fail_after(60):
            assert 3 == (await job.wait()).done
        await trio.sleep(30)
    assert {} == got(channel)


async def test_the_time_of_envelopes_of_their_own_begins_anew(opened, channel, autojump_clock):
    envelopes = [
        Send(instance_id="bot", external_room_id=room, text=room, ttl=20) for room in rooms(3)
    ]
    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.submit_many(envelopes)
        await job.wait()
        await trio.sleep(60)
        channel.script = None
        await job.retry()
        assert {Disposition.DELIVERED: 3} == dict((await job.wait()).counts)
    assert ALL_GOT_IT == got(channel)


async def test_their_time_is_as_long_as_it_was_although_their_turn_came_too_late(
    opened, channel, autojump_clock
):
    """Their group stood still until long after their end."""

    async def wait(_):
        raise Failure(CLOSED)

    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(3), "news", ttl=20)
        await job.pause()
        await trio.sleep(100)
        await job.resume()
        assert 3 == (await job.wait()).failed
        channel.script = wait
        await job.retry()
        began = trio.current_time()
        await job.wait()
        assert 20 == pytest.approx(trio.current_time() - began, abs=4)


class Early(MemoryOutbox):
    """Its next page shows what is to be tried again before the gateway hears of that."""

    again = ""
    stored = ()

    async def page(self, *asked, **named):
        if self.again:
            _, self.stored = await self.reopen(self.again)
            self.again = ""
        return await super().page(*asked, **named)


async def test_what_a_page_brought_in_is_not_sent_again(autojump_clock):
    async def script(attempt):
        raise Failure(GONE if attempt.part.payload["text"] == "news" else CLOSED)

    channel, outbox = FakeChannel(script=script), Early()
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
        job = await gateway.broadcast("bot", rooms(1), "news")
        assert 1 == (await job.wait()).failed
        await gateway.enqueue("bot", "other", "which is left")
        await trio.sleep(1)
    channel.script = None
    await outbox.retry(job.id)
    outbox.again = job.id
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(20)
        assert ["news"] == channel.texts("room0")
        (stored,) = outbox.stored
        outbox.requested(Request(kind="retry", number=1, stored=stored))
        await trio.sleep(20)
        assert ["news"] == channel.texts("room0")
        assert ["which is left"] == channel.texts("other")
        assert gateway.statistics().conserved
        assert 0 == gateway.statistics().unfinished


def copied(gateway):
    """How many receipts called their message a possible duplicate."""
    (account,) = gateway.statistics().instances
    return account.possible_duplicates


async def never_answers(_):
    await trio.sleep_forever()


@pytest.mark.parametrize("on_unknown", ["give_up", "retry"])
async def test_what_may_have_arrived_is_announced_as_it_is_tried_again(
    opened, on_unknown, autojump_clock
):
    """Whatever the first turn was allowed: the second one is asked for."""
    channel = FakeChannel(script=never_answers)
    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(3), "news", on_unknown=on_unknown)
        assert {Disposition.UNKNOWN: 3} == dict((await job.wait()).counts)
        assert (copies := copied(gateway)) == 3 * (on_unknown == "retry")
        channel.script = None
        await job.retry()
        assert {Disposition.DELIVERED: 3} == dict((await job.wait()).counts)
        assert 3 == copied(gateway) - copies


async def test_what_was_under_way_as_its_instance_was_removed_is_announced_as_well(autojump_clock):
    channel = FakeChannel(script=never_answers)
    async with open_test_gateway(channel, outbox=MemoryOutbox()) as gateway:
        job = await gateway.broadcast("bot", rooms(1), "news")
        await trio.sleep(1)
        await gateway.remove_instance("bot")
        channel.script = None
        gateway.add_instance(Instance("bot", "fake", FakeSettings()))
        assert 1 == await job.retry()
        assert {Disposition.DELIVERED: 1} == dict((await job.wait()).counts)
        assert 1 == copied(gateway)


async def test_an_outbox_knows_of_the_first_doubt_while_it_is_tried_again(autojump_clock):
    """If the process is killed then, the next run announces the copy."""
    channel, outbox = FakeChannel(script=never_answers), MemoryOutbox()
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
        job = await gateway.broadcast("bot", rooms(1), "news", on_unknown="give_up")
        await job.wait()
        await job.retry()
        await trio.sleep(30)
        ((record,),) = [stored.records for stored in await outbox.page("bot")]
        assert (2, True, 1) == (record.number, record.started, record.maybe_sent)


async def test_what_certainly_failed_is_not_called_a_copy(opened, channel, autojump_clock):
    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(3), "news")
        await job.wait()
        channel.script = None
        await job.retry()
        assert {Disposition.DELIVERED: 3} == dict((await job.wait()).counts)
        assert 0 == copied(gateway)


async def nonsense(_):
    return "stored"


async def test_what_was_delivered_with_a_bad_answer_is_not_sent_again(autojump_clock):
    """An outbox remembers that it arrived; a member in memory is repeated, and announced."""
    channel = FakeChannel(script=nonsense)
    async with open_test_gateway(channel, outbox=MemoryOutbox()) as gateway:
        job = await gateway.broadcast("bot", rooms(3), "news")
        assert {Disposition.CRASHED: 3} == dict((await job.wait()).counts)
        assert 3 == await job.retry()
        assert {Disposition.DELIVERED: 3} == dict((await job.wait()).counts)
        assert (3, 0) == (len(channel.made), copied(gateway))


async def test_what_is_tried_again_and_finds_no_slot_in_memory_ends_in_its_time(autojump_clock):
    async def script(attempt):
        if attempt.part.payload["text"] == "news":
            raise Failure(GONE)
        await trio.sleep(50)

    small = {"partition_count": 1, "partition_bound": 1, "attempt_timeout": 60.0}
    channel = FakeChannel(script=script)
    async with open_test_gateway(channel, outbox=MemoryOutbox(), **small) as gateway:
        job = await gateway.broadcast("bot", rooms(1), "news", ttl=10)
        assert 1 == (await job.wait()).failed
        for text in ("which takes long", "which waits outside memory"):
            await gateway.enqueue("bot", "room0", text, priority="bulk")
        await trio.sleep(1)
        began = trio.current_time()
        await job.retry()
        assert {Disposition.EXPIRED: 1} == dict((await job.wait()).counts)
        assert 10 <= trio.current_time() - began < 15


class Words(FakeChannel):
    """Each word is a message."""

    @hookimpl
    def chunk(self, envelope):
        words = re.finditer(r"\S+", envelope.text)
        return [Part(payload={"text": word[0]}, span=word.span()) for word in words]


async def test_what_is_tried_again_goes_after_what_has_begun_meanwhile(autojump_clock):
    """In the next process run as well: nothing comes between the parts of a message."""
    held = Verdict(
        error_class=ErrorClass.RETRYABLE, reason=Reason.RATE_LIMITED, dispatched="no", retry_after=9
    )
    verdicts = {"first": GONE, "later": held}

    async def script(attempt):
        if verdict := verdicts.get(attempt.part.payload["text"]):
            raise Failure(verdict)

    channel, outbox = Words(script=script), MemoryOutbox()
    envelopes = [
        Send(instance_id="bot", external_room_id="room", text=text)
        for text in ("first", "began later")
    ]
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
        job = await gateway.submit_many(envelopes)
        await trio.sleep(2)
        assert 1 == await job.retry()
        await trio.sleep(2)
    channel.script = None
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        again = await gateway.group(job.id)
        assert {Disposition.DELIVERED: 2} == dict((await again.wait()).counts)
    assert ["began", "later", "first"] == channel.texts("room")
