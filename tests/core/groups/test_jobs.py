"""The handle of a group: progress, pause, resume, cancel, wait; found again, and after the end."""

from __future__ import annotations

import json

import pytest
import trio
import trio.lowlevel
from broadcasting import got, paced, rooms, watched
from structlog.testing import capture_logs

from gateway_core import (
    Disposition,
    ErrorClass,
    GatewayClosed,
    Instance,
    Invalid,
    OutboxError,
    Reason,
    Send,
    Verdict,
    to_json,
)
from gateway_core.outboxes.records import Request
from gateway_core.testing import (
    EPOCH,
    Failure,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    failing,
    open_test_gateway,
)

GONE = Verdict(
    error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE, dispatched="no", raw="gone"
)


async def test_progress_tells_how_far_it_is(opened, autojump_clock):
    channel = paced(10, latency=0.5)
    async with opened(channel) as gateway:
        job = await gateway.broadcast("bot", rooms(600), "news", key="june")
        begun = await job.progress()
        assert (600, 600, 0, None) == (begun.members, begun.waiting, begun.done, begun.rate)
        assert 60 == pytest.approx(begun.estimate, rel=0.01)
        assert ("bot", "june", EPOCH) == (begun.instance_id, begun.key, begun.accepted_at)
        await trio.sleep(30)
        now = await job.progress()
        assert 295 == pytest.approx(now.done, abs=3)
        assert 600 == now.waiting + now.in_flight + now.done
        assert 0 < now.in_flight < 12
        assert 10 == pytest.approx(now.rate, rel=0.02)
        assert 30 == pytest.approx(now.estimate, rel=0.03)
        ended = await job.wait()
        assert (True, 0, 0, 0.0) == (ended.ended, ended.waiting, ended.in_flight, ended.estimate)


async def test_nobody_knows_when_a_suspended_account_goes_on(opened, autojump_clock):
    async with opened(paced(10)) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(100), "news")
        await trio.sleep(3)
        gateway.suspend("bot")
        assert (await job.progress()).estimate is None
        gateway.resume("bot")
        assert 7 == pytest.approx((await job.progress()).estimate, abs=1)
        await job.wait()


async def test_what_is_tried_again_takes_its_time_too(opened, autojump_clock):
    channel = paced(10, script=failing(GONE, times=100))
    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(100), "news")
        assert 100 == (await job.wait()).failed == await job.retry()
        progress = await job.progress()
        assert 10 == pytest.approx(progress.estimate, rel=0.1)
        assert {Disposition.DELIVERED: 100} == dict((await job.wait()).counts)


async def test_a_paused_group_stands_and_goes_on(opened, autojump_clock):
    """What had its turn goes on: a few."""
    channel = paced(10)
    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(100), "news")
        await trio.sleep(3)
        progress = await job.pause()
        assert (True, None, None) == (progress.paused, progress.rate, progress.estimate)
        sent = len(channel.made)
        await trio.sleep(60)
        assert sent <= len(channel.made) <= sent + 3
        assert not (await job.resume()).paused
        await job.wait()
    assert dict.fromkeys(rooms(100), 1) == got(channel)
    assert 70 == pytest.approx(channel.times[-1], abs=1)


async def test_a_pause_lasts_over_a_restart(autojump_clock):
    outbox, channel = MemoryOutbox(), paced(10)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        job = await gateway.broadcast("bot", rooms(100), "news", key="june")
        await job.pause()
    sent = len(channel.made)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(60)
        assert sent == pytest.approx(len(channel.made), abs=3)
        job = await gateway.group(instance="bot", key="june")
        assert (await job.progress()).paused
        await job.resume()
        await job.wait()
    assert dict.fromkeys(rooms(100), 1) == got(channel)


async def test_a_pause_is_heeded_while_a_new_run_reads_its_groups(autojump_clock):
    class Slow(MemoryOutbox):
        async def groups(self, *given, **more):
            found = await super().groups(*given, **more)
            await trio.sleep(1)
            return found

    outbox, channel = Slow(), paced(10)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
        job = await gateway.broadcast("bot", rooms(100), "news")
        await trio.sleep(1)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(2.5)
        again = await gateway.group(job.id)
        await again.pause()
        await trio.sleep(2)
        before = got(channel)
        await trio.sleep(30)
        assert before == got(channel)
        await again.resume()
        assert {Disposition.DELIVERED: 100} == dict((await again.wait()).counts)


async def test_a_pause_is_heeded_though_its_group_is_looked_up_meanwhile(autojump_clock):
    class Slow(MemoryOutbox):
        slow = False

        async def find(self, what):
            slow, self.slow = self.slow, False
            found = await super().find(what)
            await trio.sleep(1.0 if slow else 0.0)
            return found

    outbox, channel = Slow(), paced(10)
    async with open_test_gateway(channel, outbox=outbox) as gateway, trio.open_nursery() as nursery:
        job = await gateway.broadcast("bot", rooms(100), "news")
        await trio.sleep(1)
        outbox.slow = True
        nursery.start_soon(job.progress)
        await trio.sleep(0.5)
        await job.pause()
        await trio.sleep(2)
        before = got(channel)
        await trio.sleep(30)
        assert before == got(channel)
        await job.resume()
        assert {Disposition.DELIVERED: 100} == dict((await job.wait()).counts)


async def test_a_cancelled_group_ends_with_what_has_started(opened, autojump_clock):
    channel = paced(10, latency=1.0)
    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(100), "news")
        await trio.sleep(3)
        progress = await job.cancel()
        made = len(channel.made)
        assert (True, 0) == (progress.cancelled, progress.waiting)
        await trio.lowlevel.checkpoint()
        ended = await job.wait()
        counts = {Disposition.DELIVERED: made, Disposition.CANCELLED: 100 - made}
        assert counts == dict(ended.counts)
        assert 0 == ended.failed == await job.retry()
        assert (await job.cancel()).ended
    assert made == len(channel.made) == len(got(channel))


async def test_a_group_that_was_cancelled_first_frees_its_key(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel) as gateway:
        due = EPOCH + 60
        job = await gateway.broadcast("bot", ["a"], "news", key="june", not_before=due)
        await job.cancel()
        other = await gateway.broadcast("bot", ["b"], "other news", key="june")
        await other.wait()
    assert job.id != other.id
    assert {"b": 1} == got(channel)


async def test_groups_are_found_by_id_and_by_key_and_listed(opened, autojump_clock):
    async with opened(paced(10), instances=("bot", "other")) as gateway:
        made = [await gateway.broadcast("bot", rooms(5), f"news {n}", key=f"k{n}") for n in (1, 2)]
        await gateway.broadcast("other", rooms(5), "news", key="k1")
        assert [job.id for job in made] == [job.id for job in await gateway.groups("bot")]
        assert made[0].id == (await gateway.group(made[0].id)).id
        found = await gateway.group(instance="bot", key="k2")
        assert (made[1].id, "k2", "bot") == (found.id, found.key, found.instance_id)
        assert None is await gateway.group(instance="bot", key="k3")
        assert None is await gateway.group("0" * 30)
        await made[0].wait()
        assert (await (await gateway.group(made[0].id)).progress()).ended


@pytest.mark.parametrize(
    "what",
    [{}, {"instance": "bot"}, {"key": "k"}, {"group_id": "x", "key": "k"}, {"group_id": 7},
     {"instance": "bot", "key": ""}],
)  # fmt: skip
async def test_a_group_is_named_by_its_id_or_by_account_and_key(what, autojump_clock):
    async with open_test_gateway() as gateway:
        with pytest.raises(Invalid):
            await gateway.group(**what)


async def test_a_gateway_that_closes_gets_a_short_group_in_memory_out(autojump_clock):
    channel = paced(10)
    async with open_test_gateway(channel) as gateway:
        job = await gateway.broadcast("bot", rooms(100), "news")
    assert 100 == len(got(channel))
    assert {Disposition.DELIVERED: 100} == dict((await job.progress()).counts)


async def test_what_it_does_not_get_out_is_cancelled_and_told(autojump_clock):
    channel = paced(10)
    with capture_logs() as logs:
        async with open_test_gateway(channel, drain_timeout=2.0) as gateway:
            job = await gateway.broadcast("bot", rooms(100), "news")
            waiting = []

            async def wait():
                waiting.append(await job.wait())

            await trio.sleep(1)
        progress = await job.wait()
    assert gateway.statistics().conserved
    delivered = progress.counts[Disposition.DELIVERED]
    assert 30 == pytest.approx(delivered, abs=3)
    assert 100 - delivered == progress.counts[Disposition.CANCELLED]
    (left,) = [entry for entry in logs if entry["event"] == "gateway.group_left"]
    assert (job.id, 0) == (left["group"], left["stored"])
    assert left["members"] >= 65


async def test_with_an_outbox_whoever_waits_is_told_that_it_is_stored(autojump_clock):
    outbox, errors = MemoryOutbox(), []
    with capture_logs() as logs:
        async with (
            trio.open_nursery() as nursery,
            open_test_gateway(paced(10), outbox=outbox) as gateway,
        ):
            job = await gateway.broadcast("bot", rooms(100), "news")

            async def wait():
                with pytest.raises(GatewayClosed) as closed:
                    await job.wait()
                errors.append(closed.value)

            nursery.start_soon(wait)
            await trio.sleep(1)
    assert [True] == [error.kept for error in errors]
    (left,) = [entry for entry in logs if entry["event"] == "gateway.group_left"]
    assert left["members"] == left["stored"] > 80


async def test_who_waits_for_a_group_of_a_previous_run_is_told_so_as_well(autojump_clock):
    """Though it had not gone on yet."""
    outbox = MemoryOutbox()
    async with open_test_gateway(paced(10), outbox=outbox, drain_timeout=0.0) as gateway:
        job = await gateway.broadcast("bot", rooms(100), "news")
    async with open_test_gateway(paced(10), outbox=outbox) as gateway:
        again = await gateway.group(job.id)
        gateway.quiet()
        with trio.fail_after(5), pytest.raises(GatewayClosed) as closed:
            await again.wait()
    assert closed.value.kept


async def test_a_closed_gateway_accepts_no_group(opened, autojump_clock):
    async with opened() as gateway:
        gateway.quiet()
        with pytest.raises(GatewayClosed):
            await gateway.broadcast("bot", ["a"], "news")


async def test_members_that_had_no_turn_are_in_no_other_count(opened, autojump_clock):
    """Accepted as a group, and not yet as envelopes: the law of conservation is of these."""
    async with opened(paced(10), drain_timeout=0.0) as gateway:
        await gateway.broadcast("bot", rooms(1_000), "news")
        await trio.sleep(10)
        now = gateway.statistics()
        assert 1_000 == now.members + now.accepted
        assert (1, True) == (now.groups, now.conserved)
        assert now.accepted == pytest.approx(100, abs=5)


async def test_what_happens_to_a_group_is_logged(opened, autojump_clock):
    with capture_logs() as logs:
        async with opened(paced(10)) as gateway:
            job = await gateway.broadcast("bot", rooms(50), "news")
            await trio.sleep(1)
            await job.pause()
            await job.pause()
            await job.resume()
            await trio.sleep(1)
            await job.cancel()
            await job.wait()
            await trio.sleep(1)
    told = [(e["event"], e["group"]) for e in logs if "group_" in e["event"]]
    steps = ("accepted", "paused", "resumed", "cancelled", "ended")
    assert [(f"gateway.group_{step}", job.id) for step in steps] == told
    accepted = next(entry for entry in logs if entry["event"] == "gateway.group_accepted")
    assert (50, 50, 4.9) == (accepted["members"], accepted["attempts"], accepted["seconds"])


async def test_an_outbox_that_fails_holds_the_group_until_it_works(autojump_clock):
    class Failing(MemoryOutbox):
        broken = False

        async def append(self, entry, on_stored):
            if self.broken:
                raise OutboxError("the disk is full")
            await super().append(entry, on_stored)

    outbox, channel = Failing(), paced(10)
    async with open_test_gateway(channel, outbox=outbox) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(50), "news")
        await trio.sleep(2)
        outbox.broken = True
        await trio.sleep(30)
        assert len(channel.made) < 30
        outbox.broken = False
        await job.wait()
    assert dict.fromkeys(rooms(50), 1) == got(channel)


async def test_an_erased_room_gets_nothing(autojump_clock):
    outbox, channel = MemoryOutbox(), paced(10)
    async with open_test_gateway(channel, outbox=outbox) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(50), "news")
        await trio.sleep(1)
        outbox.requested(Request(kind="erase", number=1, instance_id="bot", room="room40"))
        counts = dict((await job.wait()).counts)
    assert {Disposition.DELIVERED: 49, Disposition.CANCELLED: 1} == counts
    assert "room40" not in got(channel)


class Asked(MemoryOutbox):
    """Keeps the answers, by the numbers of the requests."""

    def __init__(self):
        super().__init__()
        self.answers = {}

    def answered(self, request, answer):
        self.answers[request.number] = json.loads(answer)

    async def ask(self, **asked):
        number = len(self.answers) + 1
        self.requested(Request(kind="group", number=number, asked=json.dumps(asked)))
        await trio.sleep(1)
        return self.answers[number]


async def test_another_process_asks_for_a_broadcast_and_holds_it(autojump_clock):
    outbox, channel = Asked(), paced(10)
    template = to_json(
        Send(instance_id="bot", external_room_id="-", text="news", key="k", priority="bulk")
    )
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        asked = {"do": "broadcast", "template": template, "rooms": [*rooms(100)]}
        first = await outbox.ask(**asked)
        again = await outbox.ask(**asked)
        assert first["accepted"] == again["accepted"]
        name = first["accepted"]
        paused = await outbox.ask(do="pause", group=name)
        assert paused["progress"]["paused"]
        shown = await outbox.ask(do="show", group=name)
        assert 100 == shown["progress"]["members"]
        await outbox.ask(do="resume", group=name)
        assert 0 == (await outbox.ask(do="retry", group=name))["retried"]
        cancelled = await outbox.ask(do="cancel", group=name)
        assert cancelled["progress"]["cancelled"]
        assert "refused" in await outbox.ask(do="show", group="0" * 30)
        assert "refused" in await outbox.ask(do="dance", group=name)
        assert "Invalid: rooms.0" in (await outbox.ask(**asked | {"rooms": [""]}))["refused"]
        assert "refused" in await outbox.ask(group=name)
        assert gateway.statistics().conserved


async def test_a_look_at_failures_that_is_cancelled_goes_on_where_it_was(opened, autojump_clock):
    async def refused(_):
        raise Failure(
            Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE, raw="gone")
        )

    async with opened(FakeChannel(script=refused)) as gateway:
        job = await gateway.broadcast("bot", rooms(3), "news")
        assert 3 == (await job.wait()).failed
        failed, found = job.failed(), []
        with trio.CancelScope() as given_up:
            given_up.cancel()
            found.append(await anext(failed))
        assert 3 == len(found + [receipt async for receipt in failed])


async def test_failures_of_a_cancelled_group_do_not_hang(opened, autojump_clock):
    """With an outbox they are tried again, by themselves; in memory they are over."""
    gone = Verdict(
        error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE, dispatched="no", raw="gone"
    )

    async def script(attempt):
        if attempt.room == "room1":
            raise Failure(gone)

    channel = paced(10, script=script)
    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(100), "news")
        await trio.sleep(3)
        await job.cancel()
        await job.wait()
        channel.script = None
        assert (0 if opened.outbox is None else 1) == await job.retry()
        progress = await job.wait()
        assert (1 if opened.outbox is None else 0) == progress.failed
        assert 100 == progress.done


async def test_a_paused_group_tries_nothing_again_until_it_is_resumed(opened, autojump_clock):
    gone = Verdict(
        error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE, dispatched="no", raw="gone"
    )

    async def script(attempt):
        if attempt.room == "room1":
            raise Failure(gone)

    channel = paced(10, script=script)
    async with opened(channel) as gateway, watched(gateway):
        job = await gateway.broadcast("bot", rooms(100), "news")
        await trio.sleep(3)
        await job.pause()
        channel.script = None
        await trio.sleep(5)
        sent = len(channel.made)
        assert 1 == await job.retry()
        await trio.sleep(30)
        assert sent == len(channel.made)
        await job.resume()
        assert {Disposition.DELIVERED: 100} == dict((await job.wait()).counts)
    assert dict.fromkeys(rooms(100), 1) == got(channel)


async def test_an_account_that_comes_while_the_gateway_closes_has_no_groups_any_more(
    autojump_clock,
):
    async with open_test_gateway(FakeChannel(), outbox=MemoryOutbox()) as gateway:
        gateway.quiet()
        await trio.sleep(5)
        gateway.add_instance(Instance("late", "fake", FakeSettings()))
        assert "late" in [each.id for each in gateway.statistics().instances]
