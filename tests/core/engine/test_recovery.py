"""A life ends in the middle; the next one goes on where it must, and sends nothing it need not."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

from gateway_core import (
    Button,
    Call,
    Delete,
    Edit,
    ErrorClass,
    GatewayClosed,
    IdempotencyConflict,
    Instance,
    KeyRef,
    OutboxError,
    Part,
    Poll,
    Reason,
    RetrySettings,
    Scope,
    Send,
    UnknownInstance,
    Verdict,
)
from gateway_core.authors import Answer, Traits, hookimpl
from gateway_core.clock import SECOND
from gateway_core.outboxes.records import Entry, StepRecord, StepShape, StoredEntry
from gateway_core.outboxes.restore import arrives_within, restore_delivery, waits_until
from gateway_core.outboxes.tenure import Tenure
from gateway_core.testing import (
    EPOCH,
    Failure,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    gateways,
    open_test_gateway,
    virtual_wall,
)

WRITES = {
    "withdraw", "entered", "replanned", "attempt_ended", "acknowledged", "finished",
    "moved", "closed", "answered", "release",
}  # fmt: skip
AWAITED = {
    "append", "attempt_started", "page", "scheduled", "overdue", "find", "recover", "claim",
    "attempts",
}  # fmt: skip


class Fence:
    """An outbox as one life has it: behind the fence once that life is killed.

    stop  the name of a call at which the life is killed, before or after it took effect
    """

    requested = None

    def __init__(self, outbox: Any, *, stop: str = "", before: bool = True, skip: int = 0) -> None:
        self._outbox = outbox
        self._stop, self._before, self._skip = stop, before, skip
        self.scope = trio.CancelScope()
        self.dead = False

    def kill(self) -> None:
        self.dead = True
        self.scope.cancel()

    async def __aenter__(self) -> Any:
        await self._outbox.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._outbox.__aexit__(None, None, None)

    def _now(self, name: str) -> bool:
        if name != self._stop or self.dead:
            return False
        self._skip -= 1
        return self._skip < 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._outbox, name)
        if name in AWAITED:
            return self._awaited(name, call)
        return self._written(name, call) if name in WRITES else call

    def _awaited(self, name: str, call: Any) -> Any:
        async def awaited(*args: Any, **fields: Any) -> Any:
            now = self._now(name)
            if now and self._before:
                self.kill()
            if self.dead:
                await trio.sleep_forever()
            if now and name == "append":
                args = (args[0], lambda: None)
            answer = await call(*args, **fields)
            if now:
                self.kill()
                await trio.sleep_forever()
            return answer

        return awaited

    def _written(self, name: str, call: Any) -> Any:
        def written(*args: Any) -> None:
            now = self._now(name)
            if now and self._before:
                self.kill()
            if not self.dead:
                call(*args)
            if now:
                self.kill()

        return written


@asynccontextmanager
async def life(
    outbox: MemoryOutbox, channel: FakeChannel, *, fence: Fence | None = None, **settings: Any
) -> AsyncIterator[tuple[Any, Fence]]:
    """A gateway until the block ends, or the fence falls."""
    fence = fence or Fence(outbox)
    with fence.scope:
        settings = {"drain_timeout": 0.0, "partition_count": 2} | settings
        async with open_test_gateway(channel, outbox=fence, **settings) as gateway:
            yield gateway, fence
            if fence.dead:
                await trio.sleep_forever()


class Parts(FakeChannel):
    """Every word is a message of its own."""

    @hookimpl
    def chunk(self, envelope):
        words, at = [], 0
        for word in envelope.text.split():
            at = envelope.text.index(word, at)
            words.append(Part(payload={"text": word}, span=(at, at + len(word))))
            at += len(word)
        return words


def send(text="hello", room="room", **fields):
    return Send(instance_id="bot", external_room_id=room, text=text, **fields)


async def ended(gateway):
    """Until nothing is unfinished."""
    while gateway.statistics().unfinished:  # noqa: ASYNC110 - what is looked at has no event
        await trio.sleep(0.1)


@pytest.fixture
def outbox():
    return MemoryOutbox()


STEPS = [
    ("append", True, 0), ("append", False, 0), ("attempt_started", True, 0),
    ("attempt_started", False, 0), ("acknowledged", True, 0), ("acknowledged", False, 0),
    ("attempt_started", True, 1), ("attempt_started", False, 1), ("acknowledged", True, 1),
    ("attempt_started", False, 2), ("acknowledged", True, 2), ("finished", True, 0),
    ("finished", False, 0),
]  # fmt: skip


@pytest.mark.parametrize(("stop", "before", "skip"), STEPS)
async def test_killed_at_every_named_step_nothing_is_lost(
    outbox, autojump_clock, stop, before, skip
):
    """One extra copy at the most, announced; the order of the parts as they first appeared."""
    channel, accepted, told = Parts(latency=0.25), [], []
    fence = Fence(outbox, stop=stop, before=before, skip=skip)
    async with life(outbox, channel, fence=fence) as (gateway, _):
        await gateway.submit(send("a b c"))
        accepted.append("a b c")
        await trio.sleep_forever()
    assert fence.dead

    class Told:
        @hookimpl
        def after_disposition(self, receipt):
            told.append(receipt)

    async with life(outbox, channel, plugins=[Told()]) as (gateway, _):
        await trio.sleep(1)
        await ended(gateway)
    texts = channel.texts("room")
    first_seen = list(dict.fromkeys(texts))
    assert first_seen == ([] if stop == "append" and before else ["a", "b", "c"])
    assert len(texts) <= 4
    if len(texts) == 4:
        (receipt,) = told
        assert receipt.possible_duplicate
    assert not outbox._rows


@pytest.mark.parametrize("kill_at", [0.1 * n for n in range(30)])
async def test_rooms_go_on_in_order(outbox, autojump_clock, kill_at):
    """Whenever the kill comes: every message once or twice, none out of turn."""
    channel = FakeChannel(latency=0.25)
    async with life(outbox, channel) as (gateway, fence):
        for n in range(12):
            await gateway.submit(send(str(n // 3), room=f"room{n % 3}"))
        await trio.sleep(kill_at)
        fence.kill()
    async with life(outbox, channel, partition_count=5) as (gateway, _):
        await trio.sleep(1)
        await ended(gateway)
    for n in range(3):
        texts = channel.texts(f"room{n}")
        assert ["0", "1", "2", "3"] == list(dict.fromkeys(texts))
        assert sorted(texts) == texts
        assert len(texts) <= 5


async def test_a_part_in_flight_waits_until_the_instance_works(outbox, autojump_clock):
    """Nobody knows of it: it is tried again after a probe, and not within the quarantine."""
    channel = Parts(latency=1.0)
    async with life(outbox, channel) as (gateway, fence):
        await gateway.submit(send("a b"))
        await trio.sleep(0.5)
        fence.kill()
    channel.probe_error = ConnectionError("down")
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(30)
        assert 1 == len(channel.made)
        channel.probe_error = None
        await ended(gateway)
    assert ["a", "b"] == channel.texts("room")
    assert channel.probes > 1
    assert (channel.made[1].attempt.key, 2) == (
        channel.made[0].attempt.key,
        channel.made[1].attempt.number,
    )


async def test_give_up_means_unknown_after_a_kill_too(outbox, autojump_clock):
    """The envelope's own `on_unknown` counts: the part is not tried again, the next one is."""
    channel = Parts(latency=1.0)
    async with life(outbox, channel) as (gateway, fence):
        ticket = await gateway.submit(send("a b", on_unknown="give_up"))
        await trio.sleep(0.5)
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(10)
        receipt = (await gateway.status(ticket.id)).receipt
    assert ["unknown", "delivered"] == [part.outcome for part in receipt.parts]
    assert ["b"] == channel.texts("room")


async def begun_or_ended(gateway, envelope_id):
    """Until an attempt of the envelope is under way, or it has ended."""
    status = None
    while status is None or status.state == "unfinished":
        await trio.sleep(0.1)
        deliveries = [f for part in gateway._partitions for f in part.deliveries.values()]
        if any(step.started for delivery in deliveries for step in delivery.steps or ()):
            return
        status = await gateway.status(envelope_id)


async def test_kills_in_a_row_make_no_more_copies_than_allowed(outbox, autojump_clock):
    """The count is durable: two sends of unknown outcome, then the part ends unknown."""
    channel = FakeChannel(latency=1.0)
    for _ in range(5):
        async with life(outbox, channel) as (gateway, fence):
            if not outbox._rows and not channel.made:
                ticket = await gateway.submit(send())
            with trio.move_on_after(60):
                await begun_or_ended(gateway, ticket.id)
            fence.kill()
    assert 2 == len(channel.made)
    assert not outbox._rows


async def test_a_platform_that_knows_the_key_gets_the_same_one_at_once(outbox, autojump_clock):
    """No quarantine and no announcement: the repeat makes no copy."""
    channel = FakeChannel(latency=1.0, traits=Traits(deduplicates_for=120.0))
    async with life(outbox, channel) as (gateway, fence):
        ticket = await gateway.submit(send())
        await trio.sleep(0.5)
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(1.5)
        receipt = (await gateway.status(ticket.id)).receipt
    first, second = channel.made
    assert first.attempt.key == second.attempt.key
    assert (True, False) == (receipt.delivered, receipt.possible_duplicate)


async def test_retry_counters_and_deadlines_survive(outbox, autojump_clock):
    """Three tries before the kill and three after it, by default six in all."""

    async def fail(attempt):
        raise Failure(Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.UNREACHABLE))

    channel = FakeChannel(script=fail)
    async with life(outbox, channel) as (gateway, fence):
        ticket = await gateway.submit(send(ttl=1000.0))
        late = await gateway.submit(send(room="other", ttl=5.0, not_before=EPOCH + 100))
        while len(channel.made) < 3:  # noqa: ASYNC110 - likewise
            await trio.sleep(0.01)
        fence.kill()
    await trio.sleep(20)
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(600)
        assert 6 == len(channel.made)
        assert "exhausted" == (await gateway.status(ticket.id)).receipt.disposition
        assert "expired" == (await gateway.status(late.id)).receipt.disposition


async def test_a_stored_deadline_is_clamped_when_the_wall_clock_stepped_back(
    outbox, autojump_clock
):
    """It is never further away than it was at acceptance."""
    channel = FakeChannel(limits=lambda _room, _operation: [])

    async def hang(attempt):
        await trio.sleep_forever()

    channel.script = hang
    async with life(outbox, channel) as (gateway, fence):
        await gateway.submit(send("first"))
        second = await gateway.submit(send("second", ttl=50.0))
        await trio.sleep(1)
        fence.kill()
    row = outbox._rows[second.id]
    assert EPOCH + 50 == pytest.approx(row.entry.deadline, abs=1)

    delivery = restore_delivery(
        row.stored(), now=0, wall=EPOCH - 10_000, deduplicates_for=0, observed=False
    )
    assert 50_000_000_000 == pytest.approx(delivery.deadline, abs=10)


async def test_doubt_outlives_a_deadline_that_passes_between_two_lives(outbox, autojump_clock):
    """What was under way at the kill may be there: its receipt says so, and its key is not free."""
    channel = FakeChannel(latency=1.0)
    async with life(outbox, channel) as (gateway, fence):
        ticket = await gateway.submit(send(ttl=5.0, key="k"))
        await trio.sleep(0.5)
        fence.kill()
    await trio.sleep(10)
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(5)
        receipt = (await gateway.status(ticket.id)).receipt
        again = await gateway.send("bot", "room", "hello", key="k", ttl=5.0, raises=False)
    assert ("expired", ["unknown"]) == (receipt.disposition, [p.outcome for p in receipt.parts])
    assert (receipt.envelope_id, True) == (again.envelope_id, again.replayed)
    assert 1 == len(channel.made)


async def test_the_last_of_the_tries_is_not_made_again_because_a_kill_cut_it_off(
    outbox, autojump_clock
):
    """Tries are counted over all lives."""
    channel = FakeChannel(latency=1.0)
    retries = RetrySettings(attempts=1)
    async with life(outbox, channel, retries=retries) as (gateway, fence):
        ticket = await gateway.submit(send())
        await trio.sleep(0.5)
        fence.kill()
    async with life(outbox, channel, retries=retries) as (gateway, _):
        await trio.sleep(60)
        assert "unknown" == (await gateway.status(ticket.id)).receipt.disposition
    assert 1 == len(channel.made)


async def test_doubt_that_was_written_down_waits_for_the_instance_in_the_next_life(
    outbox, autojump_clock
):
    """The answer was lost and that is known: it is tried again only once the instance works."""
    lost = Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.OUTCOME_UNKNOWN,
        scope=Scope.INSTANCE,
        dispatched="unknown",
    )

    async def lose(attempt):
        if attempt.number == 1:
            raise Failure(lost)

    channel = FakeChannel(script=lose)
    channel.probe_error = ConnectionError("down")
    async with life(outbox, channel) as (gateway, fence):
        ticket = await gateway.submit(send())
        await trio.sleep(1)
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(60)
        assert 1 == len(channel.made)
        channel.probe_error = None
        await ended(gateway)
        assert (await gateway.status(ticket.id)).receipt.possible_duplicate
    assert 2 == len(channel.made)


class Slow(MemoryOutbox):
    """It has an entry a while before it says so."""

    appending = finding = paging = expiring = 0.0

    async def overdue(self, **fields):
        found = await super().overdue(**fields)
        await trio.sleep(self.expiring)
        return found

    async def page(self, instance_id, **fields):
        await trio.sleep(self.paging)
        return await super().page(instance_id, **fields)

    async def append(self, entry, kept):
        await super().append(entry, lambda: None)
        await trio.sleep(self.appending)
        kept()

    async def find(self, what):
        found, wait, self.finding = self.look_up(what), self.finding, 0.0
        await trio.sleep(wait)
        return found


@asynccontextmanager
async def slow_pages(channel):
    """A second life that has a room behind, and reads pages so slowly that places are free."""
    outbox = Slow()
    async with life(outbox, channel, room_bound=3) as (gateway, fence):
        for n in range(4):
            await gateway.submit(send(str(n)))
        fence.kill()
    outbox.appending, outbox.paging = 20.0, 5.0
    async with life(outbox, channel, room_bound=3) as (gateway, _):
        await trio.sleep(5.1)
        yield gateway


async def test_what_is_read_before_its_append_is_over_is_one_envelope(autojump_clock):
    """The pager meets it in the outbox first: it is sent once, and its caller hears of it."""
    channel = FakeChannel(latency=0.1)
    async with slow_pages(channel) as gateway:
        ticket = await gateway.submit(send("new"))
        with trio.fail_after(60):
            assert (await ticket.receipt()).delivered
        assert gateway.statistics().conserved
    assert ["0", "1", "2", "3", "new"] == channel.texts("room")


async def test_a_caller_cancelled_during_its_append_leaves_nothing_to_the_pager(autojump_clock):
    """Whatever the pager read of it meanwhile."""
    channel = FakeChannel(latency=0.1)
    async with slow_pages(channel) as gateway:
        with trio.move_on_after(19):
            await gateway.submit(send("new"))
        await trio.sleep(60)
        assert gateway.statistics().conserved
        assert 0 == gateway.statistics().stored
    assert ["0", "1", "2", "3"] == channel.texts("room")


async def test_a_key_taken_outside_memory_during_a_look_up_is_taken(autojump_clock):
    """Two callers with one key; the second looks before the first one's entry is there."""
    outbox, channel, ids = Slow(), FakeChannel(latency=5.0), []
    outbox.finding = 1.0

    async def submit(gateway):
        ids.append((await gateway.submit(send("same", key="k"))).id)

    async with life(outbox, channel, room_bound=1) as (gateway, _):
        await gateway.submit(send("first"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit, gateway)
            await trio.sleep(0.5)
            nursery.start_soon(submit, gateway)
        await trio.sleep(30)
    assert 1 == len(set(ids))
    assert ["first", "same"] == channel.texts("room")


async def test_what_waits_outside_memory_can_be_cancelled_by_its_id(outbox, autojump_clock):
    """A reminder of an earlier life, of which nobody has a ticket."""
    channel = FakeChannel()
    async with life(outbox, channel) as (gateway, fence):
        reminder = await gateway.submit(send(not_before=EPOCH + 1_000))
        other = await gateway.submit(send("other", not_before=EPOCH + 1_000))
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(1)
        assert await gateway.cancel(reminder.id)
        assert not await gateway.cancel(reminder.id)
        assert not await gateway.cancel("0" * 30)
        assert "cancelled" == (await gateway.status(reminder.id)).receipt.disposition
        await trio.sleep(2_000)
        assert not await gateway.cancel(other.id)
        assert (gateway.statistics().conserved, gateway.statistics().stored) == (True, 0)
    assert ["other"] == channel.texts("room")


async def test_whoever_has_the_key_of_one_that_is_not_kept_yet_waits_for_that(autojump_clock):
    """The first caller gives up in the middle: the second one's envelope is one of its own."""
    outbox, channel = Slow(), FakeChannel()
    outbox.appending = 1.0

    async def gives_up(gateway):
        with trio.move_on_after(0.5):
            await gateway.submit(send("same", key="k"))

    async with life(outbox, channel) as (gateway, _), trio.open_nursery() as nursery:
        nursery.start_soon(gives_up, gateway)
        await trio.sleep(0.25)
        with trio.fail_after(30):
            ticket = await gateway.submit(send("same", key="k"))
            assert (await ticket.receipt()).delivered
    assert ["same"] == channel.texts("room")


async def test_the_key_of_one_that_the_outbox_refused_is_free(autojump_clock):
    class Full(MemoryOutbox):
        full = True

        async def append(self, entry, kept):
            if self.full:
                raise OutboxError("the disk is full")
            await super().append(entry, kept)

    outbox, channel = Full(), FakeChannel()
    async with life(outbox, channel) as (gateway, _):
        with pytest.raises(OutboxError):
            await gateway.submit(send(key="k"))
        outbox.full = False
        with trio.fail_after(30):
            assert (await (await gateway.submit(send(key="k"))).receipt()).delivered


class Urgent:
    """A policy that lets everything go first."""

    @hookimpl
    def admit(self):
        return "urgent"


async def test_the_class_that_a_policy_gave_survives(outbox, autojump_clock):
    channel = FakeChannel(latency=100.0)
    async with life(outbox, channel, plugins=[Urgent()]) as (gateway, fence):
        ticket = await gateway.submit(send(ttl=1_000.0))
        await trio.sleep(1)
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(1)
        deliveries = [p.deliveries.get(ticket.id) for p in gateway._partitions]
        assert ["urgent"] == [delivery.priority for delivery in deliveries if delivery is not None]


async def test_a_key_freed_during_a_look_up_is_free(autojump_clock):
    """What has it is withdrawn before the outbox answers: nobody waits for that one."""
    outbox, channel = Slow(), FakeChannel(latency=5.0)
    async with life(outbox, channel, room_bound=1) as (gateway, _):
        await gateway.submit(send("first"))
        withdrawn = await gateway.submit(send("same", key="k"))

        async def withdraw():
            await trio.sleep(0.5)
            assert await gateway.cancel(withdrawn)

        outbox.finding = 1.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(withdraw)
            again = await gateway.submit(send("same", key="k"))
        assert withdrawn.id != again.id
        with trio.fail_after(30):
            assert (await again.receipt()).delivered
    assert ["first", "same"] == channel.texts("room")


async def test_a_deadline_that_is_left_outside_during_a_look_is_not_missed(autojump_clock):
    """Of the two, the one that the outbox did not know yet is the nearer."""
    outbox, channel = Slow(), FakeChannel(latency=1000.0)
    outbox.expiring = 2.0
    async with life(outbox, channel, room_bound=1) as (gateway, _):
        await gateway.submit(send("first"))
        await gateway.submit(send("second", ttl=300.0))
        await trio.sleep(1)
        ticket = await gateway.submit(send("third", ttl=10.0))
        assert "expired" == (await ticket.receipt()).disposition
        assert 15 > trio.current_time()


async def test_a_deadline_outside_passes_though_the_clock_was_set_back(
    outbox, monkeypatch, autojump_clock
):
    """It is earlier, by the wall clock, than the last one that was found to have passed."""
    offset = [0.0]
    monkeypatch.setattr(gateways, "virtual_wall", lambda: virtual_wall() + offset[0])
    async with life(outbox, FakeChannel()) as (gateway, _):
        gateway.suspend("bot")
        first = await gateway.submit(send("first", ttl=5.0))
        assert "expired" == (await first.receipt()).disposition
        offset[0] = -3600.0
        second = await gateway.submit(send("second", ttl=20.0))
        with trio.fail_after(30):
            assert "expired" == (await second.receipt()).disposition


class Tokens(FakeChannel):
    """Notes with which settings each attempt was made."""

    def __init__(self) -> None:
        super().__init__()
        self.used: list[str] = []

    @hookimpl
    @asynccontextmanager
    async def open_session(self, instance):
        yield instance.settings.name

    @hookimpl
    async def send(self, session, attempt):
        self.used.append(session)
        return Answer(message_id=attempt.key)


@pytest.mark.parametrize("room_bound", [1, 9])
@pytest.mark.parametrize("at", [3.0, 8.0, 13.0, 18.0, 23.0])
async def test_what_is_read_as_its_instance_is_taken_out_waits_for_the_next(
    room_bound, at, autojump_clock
):
    """It is sent with the new one's token, not with that of the one which is gone."""
    outbox, channel = Slow(), Tokens()
    async with life(outbox, channel) as (gateway, fence):
        for n in range(4):
            await gateway.submit(send(str(n), not_before=EPOCH + 100.0))
        fence.kill()
    await trio.sleep(100)
    outbox.paging = 5.0
    async with life(outbox, channel, room_bound=room_bound) as (gateway, _):
        await trio.sleep(at)
        sent = len(channel.used)
        await gateway.remove_instance("bot")
        gateway.add_instance(Instance("bot", "fake", FakeSettings("new")))
        await trio.sleep(100)
        assert (0, True) == (gateway.statistics().unfinished, gateway.statistics().conserved)
    assert channel.used == ["", "", "", ""][:sent] + ["new"] * (4 - sent)


async def test_an_instance_taken_out_during_an_append_refuses_it(autojump_clock):
    """It is not accepted for an instance that is not there any more."""
    outbox, channel = Slow(), FakeChannel()
    outbox.appending = 1.0
    async with life(outbox, channel, instances=("bot", "other")) as (gateway, _):

        async def submit():
            with pytest.raises(UnknownInstance):
                await gateway.submit(send())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit)
            await trio.sleep(0.5)
            await gateway.remove_instance("bot")
        assert (0, True) == (gateway.statistics().accepted, gateway.statistics().conserved)
    assert not outbox._rows


async def test_a_gateway_that_closes_during_an_append_refuses_it(autojump_clock):
    """Nobody would send it, and its caller is told so: nothing of it is kept."""
    outbox, channel = Slow(), FakeChannel()
    outbox.appending = 1.0

    async def submit(gateway):
        with pytest.raises(GatewayClosed):
            await gateway.submit(send())

    async with trio.open_nursery() as nursery, life(outbox, channel) as (gateway, _):
        nursery.start_soon(submit, gateway)
        await trio.sleep(0.5)
    assert (0, True) == (gateway.statistics().accepted, gateway.statistics().conserved)
    assert not outbox._rows


async def test_idempotency_answers_survive(outbox, autojump_clock):
    """The receipt again, a conflict for another payload, and joining what is unfinished."""
    channel = FakeChannel()
    async with life(outbox, channel) as (gateway, fence):
        first = await gateway.send("bot", "room", "hello", key="k")
        channel.latency = 5.0
        pending = await gateway.submit(send("later", key="p"))
        await trio.sleep(1)
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        again = await gateway.send("bot", "room", "hello", key="k")
        assert (first.envelope_id, True) == (again.envelope_id, again.replayed)
        with pytest.raises(IdempotencyConflict):
            await gateway.submit(send("other", key="k"))
        joined = await gateway.submit(send("later", key="p"))
        assert pending.id == joined.id
        assert (await joined.receipt()).delivered
    assert ["hello", "later"] == channel.texts("room")


@pytest.mark.parametrize("by", ["ref", "key"])
@pytest.mark.parametrize("kill_at", [None, 10.0])
async def test_a_change_of_what_waits_outside_memory_waits_for_it(
    outbox, by, kill_at, autojump_clock
):
    """A reminder is edited, and another deleted, before it is due: in this life or the next."""
    channel = FakeChannel()
    async with life(outbox, channel) as (gateway, fence):
        tickets = [
            await gateway.submit(send(text, key=text, not_before=EPOCH + 1_000))
            for text in ("first", "second")
        ]
        targets = [
            ticket.ref
            if by == "ref"
            else KeyRef(instance_id="bot", external_room_id="room", key=key)
            for ticket, key in zip(tickets, ("first", "second"), strict=True)
        ]
        place = {"instance_id": "bot", "external_room_id": "room"}
        changed = await gateway.submit(Edit(**place, target=targets[0], text="changed"))
        deleted = await gateway.submit(Delete(**place, target=targets[1]))
        await trio.sleep(10)
        assert gateway.statistics().conserved
        if kill_at is None:
            await trio.sleep(1_500)
        else:
            fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(1_500)
        assert (await gateway.status(changed.id)).receipt.delivered
        assert (await gateway.status(deleted.id)).receipt.delivered
        assert not any(partition.targets._spilled for partition in gateway._partitions)
    assert ["changed"] == channel.texts("room")


async def test_an_edit_to_the_text_of_a_message_deleted_in_an_earlier_life_is_tried(
    outbox, autojump_clock
):
    """The outbox remembers what was sent, and not that it is gone: the platform says so."""
    channel = FakeChannel()
    async with life(outbox, channel) as (gateway, _):
        ref = (await gateway.send("bot", "room", "hello")).ref
        await gateway.delete(ref)
    async with life(outbox, channel) as (gateway, _):
        await gateway.edit(ref, "hello")
    assert ["send", "delete", "edit"] == [made.attempt.operation for made in channel.made]


async def test_an_edit_in_the_next_life_finds_its_message(outbox, autojump_clock):
    """By a ticket's ref and by key; and one that waited behind its message goes out after it."""
    channel = FakeChannel()
    async with life(outbox, channel) as (gateway, fence):
        ticket = await gateway.submit(send("one", key="k"))
        await ticket.receipt()
        channel.latency = 5.0
        slow = await gateway.submit(send("two"))
        ref = ticket.ref

        await gateway.submit(
            Edit(instance_id="bot", external_room_id="room", target=slow.ref, text="two!")
        )
        await trio.sleep(1)
        fence.kill()
    channel.latency = 0.0
    async with life(outbox, channel) as (gateway, _):
        key = KeyRef(instance_id="bot", external_room_id="room", key="k")
        assert (await gateway.edit(key, "one by key")).delivered
        assert (await gateway.edit(ref, "one by ref")).delivered
        await ended(gateway)
    assert ["one by ref", "two!"] == channel.texts("room")


@pytest.mark.parametrize("kill_at", [0.5, 1.5])
async def test_a_change_cut_off_by_a_kill_counts_as_begun(outbox, autojump_clock, kill_at):
    """An adapter sees from the number of the try that what is gone may have been deleted by us."""
    channel = Parts()
    async with life(outbox, channel) as (gateway, fence):
        ref = (await gateway.send("bot", "room", "a b")).ref
        channel.latency = 1.0
        await gateway.submit(Delete(instance_id="bot", external_room_id="room", target=ref))
        await trio.sleep(kill_at)
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(1)
        await ended(gateway)
    tries = [(made.attempt.key[-1], made.attempt.number) for made in channel.made[2:]]
    again = "1" if kill_at < 1 else "0"
    assert [(again, 1), (again, 2)] == [tried for tried in tries if tried[0] == again]


@pytest.mark.parametrize("by_key", [True, False])
async def test_a_poll_stays_fixed_though_a_kill_cut_off_an_edit_of_its_buttons(
    outbox, autojump_clock, by_key
):
    channel = FakeChannel()
    named = KeyRef(instance_id="bot", external_room_id="room", key="k")
    async with life(outbox, channel) as (gateway, fence):
        sent = await gateway.send("bot", "room", "vote", poll=Poll("lunch?", ["a", "b"]), key="k")
        channel.latency = 1.0
        target = named if by_key else sent.ref
        change = Edit(
            instance_id="bot",
            external_room_id="room",
            target=target,
            buttons=[Button("A", "a")],
        )
        await gateway.submit(change)
        await trio.sleep(0.5)
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(5)
        await ended(gateway)
        assert channel.pressable
        edited = await gateway.edit(named, "new", raises=False)
    assert "unsupported" == edited.verdict.reason
    assert ["vote", "lunch?"] == channel.texts("room")


async def test_edits_that_waited_outside_supersede_each_other_as_they_come_in(
    outbox, autojump_clock
):
    """There was no place for them in memory; in the next life there is, and the newest counts.

    The first of them is made as well: for all that is known, it had begun before the kill.
    """
    channel = FakeChannel()
    async with life(outbox, channel, partition_count=1, partition_bound=1) as (gateway, fence):
        sent = await gateway.send("bot", "room", "0")
        channel.latency = 50.0
        await gateway.submit(send("blocks", room="other", on_unknown="give_up"))
        edits = [
            await gateway.submit(
                Edit(instance_id="bot", external_room_id="room", target=sent.ref, text=text)
            )
            for text in ("1", "2", "3")
        ]
        await trio.sleep(5)
        fence.kill()
    channel.latency = 0.0
    async with life(outbox, channel, partition_count=1) as (gateway, _):
        await trio.sleep(5)
        receipts = [(await gateway.status(edit.id)).receipt for edit in edits]
    assert ["delivered", "superseded", "delivered"] == [r.disposition for r in receipts]
    assert ["3"] == channel.texts("room")
    assert 2 == sum(made.attempt.operation == "edit" for made in channel.made)


async def test_what_follows_one_in_doubt_waits_for_the_quarantine_though_it_expires(
    outbox, autojump_clock
):
    """Killed at 1 s, in doubt from then on, expired at 2 s: the next goes at 3 s, not before."""
    channel = FakeChannel(latency=50.0)
    async with life(outbox, channel) as (gateway, fence):
        await gateway.submit(send("doubtful", ttl=2.0))
        await gateway.submit(send("next"))
        await trio.sleep(1)
        fence.kill()
    channel.latency = 0.0
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(5)
        await ended(gateway)
    assert [0, 3] == [pytest.approx(made.at, abs=0.1) for made in channel.made]
    assert ["next"] == channel.texts("room")


class SharedFence(Fence):
    """That of an outbox which several processes share: the next life is another process's."""

    def tenure(self) -> Tenure:
        return Tenure(owns=True, lease=1_000.0)


async def lost(outbox, channel, *, kill=True, before=None, **settings):
    """One life ends 1 s after it began an attempt, and another goes on; returns when it sent."""
    fence = SharedFence(outbox)
    async with life(outbox, channel, fence=fence, **settings) as (gateway, _):
        await gateway.submit(send("one", room="waits"))
        await gateway.submit(send("two", room="waits"))
        await gateway.submit(send("other"))
        await trio.sleep(1)
        if kill:
            fence.kill()
    begun = len(channel.made)
    channel.latency = 0.0
    if before is not None:
        await trio.sleep(before)
    fence = SharedFence(outbox)
    async with life(outbox, channel, fence=fence, **settings) as (gateway, _):
        await gateway.send("bot", "quick", "at once")
        await ended(gateway)
    assert ["one", "two"] == channel.texts("waits")
    return {m.attempt.part.payload["text"]: round(m.at) for m in channel.made[begun:]}


async def test_the_room_of_a_lost_owner_s_attempt_waits_until_it_cannot_arrive(
    outbox, autojump_clock
):
    """It began at 0 s and may arrive until 90 s; the other room's message had ended."""
    sent = await lost(outbox, FakeChannel(latency=50.0))
    assert {"at once": 1, "one": 90, "two": 90, "other": 90} == sent


async def test_how_long_it_may_arrive_is_a_setting_and_not_below_the_quarantine(
    outbox, autojump_clock
):
    sent = await lost(outbox, FakeChannel(latency=50.0), retries=RetrySettings(arrival=20.0))
    assert (20, 20) == (sent["one"], sent["two"])


@pytest.mark.parametrize("bound", [1, 100])
async def test_the_room_waits_though_the_message_expires_before_another_owner_comes(
    outbox, autojump_clock, bound
):
    """Its attempt may arrive until 110 s, whether there is a slot for it at once or at 90 s."""
    channel, fence = FakeChannel(latency=50.0), SharedFence(outbox)
    async with life(outbox, channel, fence=fence) as (gateway, _):
        await gateway.submit(send("other", room="other"))
        await trio.sleep(20)
        lost = await gateway.submit(send("lost", ttl=5.0))
        await gateway.submit(send("next"))
        await trio.sleep(1)
        fence.kill()
    channel.latency = 0.0
    await trio.sleep(30)
    settings = {"partition_count": 1, "partition_bound": bound}
    async with life(outbox, channel, fence=SharedFence(outbox), **settings) as (gateway, _):
        await trio.sleep(100)
        receipt = (await gateway.status(lost.id)).receipt
        assert "expired" == receipt.disposition
        assert ["unknown"] == [part.outcome for part in receipt.parts]
    sent = [(made.attempt.part.payload["text"], round(made.at)) for made in channel.made]
    assert [("other", 0), ("lost", 20), ("other", 90), ("next", 110)] == sent


async def test_a_room_waits_no_longer_than_the_rest_of_that_time(outbox, autojump_clock):
    sent = await lost(outbox, FakeChannel(latency=50.0), before=99.0)
    assert (100, 102, 102) == (sent["at once"], sent["one"], sent["two"])


async def test_a_platform_that_recognises_the_repeat_gets_a_lost_owner_s_at_once(
    outbox, autojump_clock
):
    channel = FakeChannel(latency=50.0, traits=Traits(deduplicates_for=120.0))
    assert {"at once": 1, "one": 1, "two": 1, "other": 1} == await lost(outbox, channel)


async def test_after_an_orderly_end_the_room_waits_for_the_quarantine_only(outbox, autojump_clock):
    sent = await lost(outbox, FakeChannel(latency=50.0), kill=False)
    assert (3, 3) == (sent["one"], sent["two"])


async def test_with_an_outbox_of_one_process_the_room_waits_for_the_quarantine_only(
    outbox, autojump_clock
):
    channel = FakeChannel(latency=50.0)
    async with life(outbox, channel) as (gateway, fence):
        await gateway.submit(send("one"))
        await trio.sleep(1)
        fence.kill()
    channel.latency = 0.0
    async with life(outbox, channel) as (gateway, _):
        await ended(gateway)
    assert [0, 3] == [round(made.at) for made in channel.made]


@pytest.mark.parametrize(("wall", "left"), [(1_010.0, 80.0), (900.0, 90.0), (2_000.0, 0.0)])
def test_what_is_left_of_the_time_to_arrive_counts_only_for_what_was_cut_off(wall, left):
    """Nor more than at acceptance, whatever the wall clock says."""
    entry = Entry(id="1", envelope=send(), plan=(), accepted_at=1_000.0, deadline=5_000.0)
    records = (
        StepRecord(serial=0, number=1, started=True, not_before=1_090.0),
        StepRecord(serial=1, number=1, not_before=1_300.0),
        StepRecord(serial=2, number=1, started=True, not_before=4_000.0, outcome="delivered"),
    )
    stored = StoredEntry(entry=entry, position=1, records=records)
    assert left == arrives_within(stored, wall)
    assert max(0.0, 1_300.0 - max(wall, 1_000.0)) == waits_until(stored, wall)


async def test_a_change_that_an_earlier_life_began_has_its_message_to_itself(
    outbox, autojump_clock
):
    """An edit is cut off; a deletion in a lane of its own, handed over after it, waits for it."""
    channel = FakeChannel()
    async with life(outbox, channel) as (gateway, fence):
        ref = (await gateway.send("bot", "room", "one", key="k")).ref
        channel.latency = 10.0
        key = KeyRef(instance_id="bot", external_room_id="room", key="k")
        edit = await gateway.submit(
            Edit(instance_id="bot", external_room_id="room", target=key, text="two")
        )
        await trio.sleep(1)
        deletion = await gateway.submit(
            Delete(instance_id="bot", external_room_id="room", target=ref, order="none")
        )
        await trio.sleep(1)
        fence.kill()
    begun = len(channel.made)
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(60)
        assert (await gateway.status(edit.id)).receipt.delivered
        assert (await gateway.status(deletion.id)).receipt.delivered
    again = channel.made[begun:]
    assert ["edit", "delete"] == [made.attempt.operation for made in again]
    assert again[0].at + 10 <= again[1].at


@pytest.mark.parametrize(
    ("record", "window", "copy"),
    [
        ({"number": 1}, 0, False),
        ({"number": 2}, 0, True),
        ({"number": 2}, 300, False),  # the platform knew the key again
        ({"number": 2, "maybe_sent": 2}, 300, True),  # no longer at the second
        ({"number": 1, "first_at": EPOCH - 1e9}, 300, True),  # cut after the whole was sent
        ({"number": 0, "first_at": EPOCH - 1e9}, 300, False),  # likewise, and not tried yet
        ({"number": 2, "maybe_sent": 0}, 0, False),
    ],
)
def test_a_run_knows_what_the_one_before_may_have_sent_twice(record, window, copy):
    entry = Entry(id="1", envelope=send(), plan=(), accepted_at=EPOCH, deadline=EPOCH + 60)
    known = StepRecord(**{"serial": 0, "maybe_sent": 1, "first_at": EPOCH} | record)
    stored = StoredEntry(
        entry=entry, position=1, records=(known,), shapes=(StepShape(kind="send", serial=0),)
    )
    delivery = restore_delivery(
        stored, now=0, wall=EPOCH + 9, deduplicates_for=window * SECOND, observed=False
    )
    assert copy == delivery.possible_duplicate


@pytest.mark.parametrize(("begun", "copy"), [(-100, False), (-1_000, True), (1, False), (2, True)])
def test_a_repeat_is_announced_if_nobody_knows_how_old_the_attempt_is(begun, copy):
    """By this process's clock, the attempt began in the future: the other's clock was ahead."""
    entry = Entry(id="1", envelope=send(), plan=(), accepted_at=EPOCH, deadline=EPOCH + 9_000)
    known = StepRecord(serial=0, number=1, maybe_sent=1, first_at=EPOCH + begun)
    stored = StoredEntry(
        entry=entry, position=1, records=(known,), shapes=(StepShape(kind="send", serial=0),)
    )
    delivery = restore_delivery(
        stored, now=0, wall=EPOCH, deduplicates_for=300 * SECOND, observed=False
    )
    assert copy == delivery.steps[0].may_copy(300 * SECOND, 0)


def test_a_wait_is_no_longer_than_at_acceptance_under_a_clock_that_was_set_back():
    entry = Entry(id="1", envelope=send(), plan=(), accepted_at=1_000.0, deadline=9_000.0)
    stored = StoredEntry(
        entry=entry, position=1, records=(StepRecord(serial=0, not_before=1_030.0),)
    )
    assert [20, 30, 30] == [waits_until(stored, wall) for wall in (1_010.0, 1_000.0, -2_600.0)]


async def test_who_comes_to_what_is_kept_as_the_gateway_closes_hears_that_it_is(autojump_clock):
    """The outbox takes a second to find what has the key, and meanwhile all others were told."""
    outbox, channel = Slow(), FakeChannel(latency=60.0)
    async with trio.open_nursery() as nursery, life(outbox, channel, room_bound=1) as (gateway, _):
        await gateway.submit(send("first"))
        await gateway.submit(send("same", key="k"))
        outbox.finding = 1.0

        async def join():
            again = await gateway.submit(send("same", key="k"))
            with pytest.raises(GatewayClosed) as raised:
                await again.receipt()
            assert raised.value.kept

        nursery.start_soon(join)
        await trio.sleep(0.5)
        await gateway.drain()
        await trio.sleep(5)
        assert not nursery.child_tasks


async def test_a_wait_that_a_platform_asked_for_survives(outbox, autojump_clock):
    """No call inside it, in the next life either."""
    limited = Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.RATE_LIMITED,
        scope=Scope.ROOM,
        retry_after=60.0,
    )
    refused = []

    async def once(attempt):
        if not refused:
            refused.append(trio.current_time())
            raise Failure(limited)

    channel = FakeChannel(script=once)
    async with life(outbox, channel) as (gateway, fence):
        await gateway.submit(send())
        await trio.sleep(5)
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(1)
        await ended(gateway)
    assert channel.times[1] - refused[0] == pytest.approx(60.0, abs=0.5)


async def test_room_moves_survive(outbox, autojump_clock):
    """A new message to the old room goes to the new one at once."""
    moved = Verdict(
        error_class=ErrorClass.RETRYABLE, reason=Reason.ROOM_MOVED, scope=Scope.ROOM, moved_to="new"
    )

    async def gone(attempt):
        if attempt.room == "room":
            raise Failure(moved)

    channel = FakeChannel(script=gone)
    async with life(outbox, channel) as (gateway, fence):
        await gateway.send("bot", "room", "one")
        fence.kill()
    made = len(channel.made)
    async with life(outbox, channel) as (gateway, _):
        await gateway.send("bot", "room", "two")
    assert ["one", "two"] == channel.texts("new")
    assert made + 1 == len(channel.made)


async def test_a_call_that_is_not_safe_to_repeat_is_in_doubt(outbox, autojump_clock):
    """It follows `on_unknown` as a send does."""
    channel = FakeChannel(latency=1.0)
    call = Call(
        instance_id="bot", external_room_id="room", method="pin", arguments={"a": 1},
        on_unknown="give_up",
    )  # fmt: skip
    async with life(outbox, channel) as (gateway, fence):
        ticket = await gateway.submit(call)
        await trio.sleep(0.5)
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(10)
        assert "unknown" == (await gateway.status(ticket.id)).receipt.disposition
    assert 1 == len(channel.made)


async def test_a_call_that_is_safe_to_repeat_is_made_again(outbox, autojump_clock):
    """Whatever `on_unknown` says: a second one changes nothing."""
    traits = Traits(repeat_safe_calls=frozenset({"pin"}))
    channel = FakeChannel(latency=1.0, traits=traits)
    call = Call(
        instance_id="bot", external_room_id="room", method="pin", arguments={"a": 1},
        on_unknown="give_up",
    )  # fmt: skip
    async with life(outbox, channel) as (gateway, fence):
        ticket = await gateway.submit(call)
        await trio.sleep(0.5)
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(10)
        assert (await gateway.status(ticket.id)).receipt.delivered
    assert 2 == len(channel.made)


async def test_parts_planned_anew_are_not_planned_again(outbox, autojump_clock):
    """The refused part became two; the next life sends the second of them."""
    stricter = Verdict(
        error_class=ErrorClass.NON_RETRYABLE, reason=Reason.TOO_LONG, transform="stricter"
    )

    class Strict(FakeChannel):
        @hookimpl
        def chunk(self, envelope, mode):
            words = re.finditer(r"\S+" if mode == "stricter" else ".+", envelope.text)
            return [Part(payload={"text": word[0]}, span=word.span()) for word in words]

    async def refuse(attempt):
        if " " in attempt.part.payload["text"]:
            raise Failure(stricter)
        await trio.sleep(1)

    channel = Strict(script=refuse)
    async with life(outbox, channel) as (gateway, fence):
        await gateway.submit(send("a b"))
        await trio.sleep(1.5)
        fence.kill()
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(1)
        await ended(gateway)
    assert ["a", "b"] == channel.texts("room")
    assert ["a b", "a", "b", "b"] == [m.attempt.part.payload["text"] for m in channel.made]


async def test_pieces_of_a_part_in_doubt_stay_in_doubt_in_the_next_life(outbox, autojump_clock):
    """Their text may stand there with the part's: the platform knows that one's key, not theirs."""
    stricter = Verdict(
        error_class=ErrorClass.NON_RETRYABLE, reason=Reason.TOO_LONG, transform="stricter"
    )

    class Strict(FakeChannel):
        @hookimpl
        def chunk(self, envelope, mode):
            words = re.finditer(r"\S+" if mode == "stricter" else ".+", envelope.text)
            return [Part(payload={"text": word[0]}, span=word.span()) for word in words]

    async def first_silent_then_strict(attempt):
        if attempt.number == 1 and " " in attempt.part.payload["text"]:
            await trio.sleep_forever()
        if " " in attempt.part.payload["text"]:
            raise Failure(stricter)
        await trio.sleep(1)

    traits = Traits(deduplicates_for=1_000.0)
    channel = Strict(script=first_silent_then_strict, traits=traits)
    async with life(outbox, channel, attempt_timeout=2.0) as (gateway, fence):
        ticket = await gateway.submit(send("a b"))
        while len(channel.made) < 3:  # noqa: ASYNC110 - what is looked at has no event
            await trio.sleep(0.1)
        fence.kill()
    async with life(outbox, channel, attempt_timeout=2.0) as (gateway, _):
        await trio.sleep(1)
        await ended(gateway)
        receipt = (await gateway.status(ticket.id)).receipt
    assert ["a", "b"] == channel.texts("room")
    assert receipt.possible_duplicate


async def test_pieces_of_an_edit_in_doubt_stay_in_doubt_in_the_next_life(outbox, autojump_clock):
    """What may land late has their text as well; the run that appends them knows it no more."""
    stricter = Verdict(
        error_class=ErrorClass.NON_RETRYABLE, reason=Reason.TOO_LONG, transform="stricter"
    )

    class Strict(FakeChannel):
        @hookimpl
        def chunk(self, envelope, mode):
            words = re.finditer(r"\S+" if mode == "stricter" else ".+", envelope.text)
            return [Part(payload={"text": word[0]}, span=word.span()) for word in words]

    async def first_silent_then_strict(attempt):
        if attempt.number == 1 and " " in attempt.part.payload["text"]:
            await trio.sleep_forever()
        if " " in attempt.part.payload["text"]:
            raise Failure(stricter)
        await trio.sleep(1)

    channel = Strict(script=first_silent_then_strict)
    async with life(outbox, channel, attempt_timeout=2.0) as (gateway, fence):
        ref = (await gateway.send("bot", "room", "old")).ref
        ticket = await gateway.submit(
            Edit(instance_id="bot", external_room_id="room", target=ref, text="a b")
        )
        while len(channel.made) < 4:  # noqa: ASYNC110 - what is looked at has no event
            await trio.sleep(0.1)
        fence.kill()
    async with life(outbox, channel, attempt_timeout=2.0) as (gateway, _):
        await trio.sleep(1)
        await ended(gateway)
        receipt = (await gateway.status(ticket.id)).receipt
    assert ["a", "b"] == channel.texts("room")
    assert (True, True) == (receipt.delivered, receipt.possible_duplicate)


async def test_those_who_wait_hear_that_it_is_kept(outbox, autojump_clock):
    """The gateway closes with work left: the ticket says so, and the next life does it."""
    channel = FakeChannel(latency=5.0)
    waiting = []

    async def wait(ticket):
        with pytest.raises(GatewayClosed) as closed:
            await ticket.receipt()
        waiting.append(closed.value.kept)

    async with (
        trio.open_nursery() as nursery,
        life(outbox, channel, room_bound=1) as (gateway, _),
    ):
        for n in range(3):
            nursery.start_soon(wait, await gateway.submit(send(str(n))))
        await trio.sleep(1)
    assert [True] * 3 == waiting
    channel.latency = 0.0
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(5)
        await ended(gateway)
    assert ["0", "1", "2"] == channel.texts("room")


async def test_rows_of_an_instance_that_is_not_there_are_kept(outbox, autojump_clock):
    """Neither failed nor expired; they go on when it is taken in."""
    channel = FakeChannel(latency=5.0)
    async with life(outbox, channel) as (gateway, fence):
        await gateway.submit(send())
        fence.kill()
    channel.latency = 0.0
    async with life(outbox, channel, instances=("other",)) as (gateway, _):
        await trio.sleep(10)
        assert {"bot": 1} == gateway.statistics().unserved
        assert 1 == len(outbox._rows)

        gateway.add_instance(Instance("bot", "fake", FakeSettings()))
        await trio.sleep(10)
    assert ["hello"] == channel.texts("room")


async def test_what_is_scheduled_outside_waits_for_an_instance_that_is_taken_out_and_in(
    outbox, autojump_clock
):
    """Though its time comes while the instance is not there."""
    channel = FakeChannel()
    async with life(outbox, channel) as (gateway, _):
        await gateway.submit(send(not_before=EPOCH + 300.0))
        await gateway.remove_instance("bot")
        await trio.sleep(400)
        assert {"bot": 1} == gateway.statistics().unserved
        gateway.add_instance(Instance("bot", "fake", FakeSettings()))
        assert {} == gateway.statistics().unserved
        await trio.sleep(10)
        assert ["hello"] == channel.texts("room")
        assert 0 == gateway.statistics().unfinished + gateway.statistics().stored


async def test_observers_hear_of_what_ends_after_its_instance_was_taken_out(outbox, autojump_clock):
    """Cancelled by whoever waits for it."""
    told = []

    class Observer:
        @hookimpl
        def after_disposition(self, envelope, receipt):
            told.append((envelope.text, receipt.disposition))

    async with life(outbox, FakeChannel(), plugins=(Observer(),)) as (gateway, _):
        reminder = await gateway.submit(send(not_before=EPOCH + 1_000.0))
        await gateway.remove_instance("bot")
        assert await gateway.cancel(reminder)
        assert [("hello", "cancelled")] == told
        assert (gateway.statistics().conserved, gateway.statistics().stored) == (True, 0)


async def test_what_is_scheduled_is_sent_though_a_look_at_the_times_failed(autojump_clock):
    """The outbox fails once as it is asked what is due next."""

    class Failing(MemoryOutbox):
        failures = 1

        async def scheduled(self, *, until, **fields):
            if until == math.inf and self.failures:
                self.failures -= 1
                raise OutboxError("the disk is busy")
            return await super().scheduled(until=until, **fields)

    channel, outbox = FakeChannel(), Failing()
    async with life(outbox, channel) as (gateway, fence):
        await gateway.submit(send(not_before=EPOCH + 1_000.0))
        fence.kill()
    async with life(outbox, channel):
        await trio.sleep(1_010)
        assert (0, ["hello"]) == (outbox.failures, channel.texts("room"))


async def test_an_instance_is_taken_in_while_others_times_are_looked_at(
    monkeypatch, autojump_clock
):
    """What of it was passed by before is looked for again."""
    monkeypatch.setattr("gateway_core.backlog.schedule.PAGE", 1)

    class Slow(MemoryOutbox):
        async def scheduled(self, **fields):
            found = await super().scheduled(**fields)
            await trio.sleep(5.0)
            return found

    channel, outbox = FakeChannel(), Slow()
    async with life(outbox, channel, instances=["late", "bot"]) as (gateway, fence):
        for n, instance_id in enumerate(["late", "bot"]):
            due = EPOCH + 1_000.0 + n
            message = send(instance_id, not_before=due)
            await gateway.submit(attrs.evolve(message, instance_id=instance_id))
        fence.kill()
    async with life(outbox, channel, instances=["bot"]) as (gateway, _):
        await trio.sleep(1_008)
        assert [] == channel.made
        gateway.add_instance(Instance("late", "fake", FakeSettings()))
        await trio.sleep(100)
    assert {"late", "bot"} == set(channel.texts("room"))


async def test_an_answer_of_a_step_that_cannot_be_recorded_is_not_lost(outbox, autojump_clock):
    """An outbox that refuses to record an attempt holds it up, and no longer."""

    class Refusing(MemoryOutbox):
        refusals = 3

        async def attempt_started(self, envelope_id, record):
            if self.refusals:
                self.refusals -= 1

                raise OutboxError("the disk is full")
            await super().attempt_started(envelope_id, record)

    channel, full = FakeChannel(), Refusing()
    async with life(full, channel) as (gateway, _):
        receipt = await gateway.send("bot", "room", "hello")
    assert (True, 1) == (receipt.delivered, receipt.attempts)
    assert [pytest.approx(3.0, abs=0.1)] == channel.times


async def test_an_outbox_that_hangs_is_no_failure_of_the_platform(autojump_clock):
    """Attempts that it does not record in time are offered again, and not counted."""

    class Hanging(MemoryOutbox):
        hangs = 9

        async def attempt_started(self, envelope_id, record):
            if self.hangs:
                self.hangs -= 1
                await trio.sleep_forever()
            await super().attempt_started(envelope_id, record)

    channel, outbox = FakeChannel(), Hanging()
    async with life(outbox, channel, attempt_timeout=5.0) as (gateway, _):
        ticket = await gateway.submit(send())
        await trio.sleep(5.5)
        status = await gateway.status(ticket)
        assert ("outbox", 0) == (status.cause, status.attempts)
        receipt = await ticket.receipt()
        assert (True, 1) == (receipt.delivered, receipt.attempts)
        [figures] = gateway.statistics().instances
        assert ({("none", ""): 1}, False) == (figures.attempts, figures.circuit_open)
    assert [pytest.approx(9 * 6.0, abs=0.1)] == channel.times


@pytest.mark.parametrize("scope", [Scope.INSTANCE, Scope.OPERATION])
async def test_what_a_platform_closed_stays_closed_in_the_next_life(say, scope, autojump_clock):
    """A 429 of the account or an operation holds rooms that did not meet it, too."""
    outbox = MemoryOutbox()
    channel = FakeChannel(script=say.script(say.limited(100, scope=scope)))
    async with life(outbox, channel) as (gateway, _):
        await gateway.submit(send("first", room="a"))
        await trio.sleep(1)
        await gateway.submit(send("second", room="b"))
        await trio.sleep(1)
    channel.script = None
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(97)
        assert 1 == len(channel.made)
        await trio.sleep(20)
    assert (["first"], ["second"]) == (channel.texts("a"), channel.texts("b"))
    assert min(channel.times[-2:]) >= 100.0


@pytest.mark.parametrize(
    ("transform", "lost"),
    [("plain", "plain"), ("stricter", "stricter"), ("without_reply", "reply dropped")],
)
async def test_what_was_changed_before_a_kill_stands_on_the_receipt(
    say, outbox, transform, lost, autojump_clock
):
    """The next life tells of transforms and losses that it did not see itself."""
    channel = FakeChannel(
        script=say.script(say.rejected(transform=transform), say.busy(retry_after=100))
    )
    async with life(outbox, channel) as (gateway, fence):
        ticket = await gateway.submit(send(reply_to="7"))
        await trio.sleep(5)
        fence.kill()
    channel.script = None
    async with life(outbox, channel) as (gateway, _):
        await trio.sleep(200)
        receipt = (await gateway.status(ticket.id)).receipt
    assert receipt.delivered
    assert ((transform,), (lost,)) == (receipt.transforms, receipt.degradations)
    dropped = transform == "without_reply"
    last = channel.made[-1].attempt
    assert (None if dropped else "7", dropped) == (last.reply, last.without_reply)


async def test_behind_a_suspended_instance_nothing_more_enters_memory(outbox, autojump_clock):
    """It stays in the outbox, in this life and the next, and goes on in order when resumed."""
    channel = FakeChannel()
    async with life(outbox, channel, instances=("bot", "other")) as (gateway, _):
        gateway.suspend("bot")
        for n in range(6):
            await gateway.submit(send(str(n), room=f"room{n % 2}"))
        late = await gateway.submit(send("late", ttl=20.0))
        await trio.sleep(10)
        assert not any(partition.deliveries for partition in gateway._partitions)
        assert gateway.statistics().conserved
        other = Send(instance_id="other", external_room_id="room", text="unharmed")
        assert (await (await gateway.submit(other)).receipt()).delivered
        assert "expired" == (await late.receipt()).disposition
        gateway.resume("bot")
        with trio.fail_after(0.5):
            while not channel.texts("room1"):  # noqa: ASYNC110 - what is looked at has no event
                await trio.sleep(0.01)
        await trio.sleep(1)
        gateway.suspend("bot")
        last = await gateway.submit(send("last", room="room1"))
    async with life(outbox, channel) as (gateway, _):
        gateway.suspend("bot")
        await trio.sleep(10)
        assert not (await gateway.status(last.id)).receipt
        gateway.resume("bot")
        await trio.sleep(1)
        assert (await gateway.status(last.id)).receipt.delivered
    assert (["0", "2", "4"], ["1", "3", "5", "last"]) == (
        channel.texts("room0"),
        channel.texts("room1"),
    )
