"""Changes of messages that are not there yet: they stay behind them, wherever those wait."""

from __future__ import annotations

import pytest
import trio

from gateway_core import (
    Delete,
    Disposition,
    Edit,
    ErrorClass,
    KeyRef,
    Limit,
    Reason,
    Scope,
    Send,
    Ttl,
    Verdict,
)
from gateway_core.testing import EPOCH, FakeChannel, MemoryOutbox, open_test_gateway
from gateway_core.testing.fake_channel import Failure

PLACE = {"instance_id": "bot", "external_room_id": "room"}
KEY = KeyRef(**PLACE, key="k")


def reminder(text="reminder", after=1_000.0, **fields):
    return Send(**PLACE, text=text, not_before=EPOCH + after, **fields)


def open_life(outbox, channel, **settings):
    settings = {"drain_timeout": 0.0, "partition_count": 2, "room_bound": 1} | settings
    return open_test_gateway(channel, outbox=outbox, **settings)


@pytest.fixture
def outbox():
    return MemoryOutbox()


@pytest.fixture(params=[False, True], ids=["one life", "a restart"])
def restarts(request):
    """Whether the process ends while both wait."""
    return request.param


async def test_an_edit_waits_where_its_message_does_and_takes_no_place(
    outbox, restarts, autojump_clock
):
    """The room has one place in memory: others come in before, and the message on time."""
    channel = FakeChannel()
    async with open_life(outbox, channel) as gateway:
        message = await gateway.submit(reminder(key="k"))
        edit = await gateway.submit(Edit(**PLACE, target=KEY, text="changed"))
        status = await gateway.status(edit)
        assert ("schedule", 1_000.0) == (status.cause, status.estimate)
        if not restarts:
            await _on_time(gateway, channel, message, edit)
    if restarts:
        async with open_life(outbox, channel) as gateway:
            await _on_time(gateway, channel, message, edit)
    assert not outbox._rows


async def _on_time(gateway, channel, message, edit):
    with trio.fail_after(5):
        assert (await gateway.send("bot", "room", "meanwhile")).delivered
    await trio.sleep(1_010)
    assert ["meanwhile", "changed"] == channel.texts("room")
    for ticket in (message, edit):
        assert (await gateway.status(ticket.id)).receipt.delivered


@pytest.mark.parametrize("durable", [False, True], ids=["in memory", "durable"])
async def test_a_change_expires_no_sooner_than_if_its_message_had_been_due_at_once(
    outbox, durable, autojump_clock
):
    """Its class allows 60 seconds, and the message goes out in a thousand."""
    channel = FakeChannel()
    settings = {"ttl": Ttl(normal=60.0), "room_bound": 9}
    async with open_life(outbox if durable else None, channel, **settings) as gateway:
        await gateway.submit(reminder(key="k"))
        edit = await gateway.submit(Edit(**PLACE, target=KEY, text="changed"))
        impatient = await gateway.submit(Edit(**PLACE, target=KEY, text="soon", ttl=5.0))
        assert Disposition.EXPIRED == (await impatient.receipt()).disposition
        assert 6 > trio.current_time()
        if durable:  # else the newer one has taken its place
            assert (await edit.receipt()).delivered
            assert ["changed"] == channel.texts("room")


@pytest.mark.parametrize("by", ["ref", "key"])
async def test_of_a_message_that_is_cancelled_changes_end_at_once(outbox, by, autojump_clock):
    async with open_life(outbox, FakeChannel()) as gateway:
        message = await gateway.submit(reminder(key="k"))
        target = message.ref if by == "ref" else KEY
        edit = await gateway.submit(Edit(**PLACE, target=target, text="changed"))
        deletion = await gateway.submit(Delete(**PLACE, target=target))
        assert await gateway.cancel(message)
        with trio.fail_after(5):
            for ticket in (edit, deletion):
                receipt = await ticket.receipt()
                assert (Disposition.REJECTED, "message_gone") == (
                    receipt.disposition,
                    receipt.verdict.reason,
                )


async def test_who_followed_longest_ago_hears_of_it_at_its_time(
    outbox, monkeypatch, autojump_clock
):
    """So many are remembered and no more."""
    monkeypatch.setattr("gateway_core.backlog.schedule.MOST_FOLLOWERS", 1)
    async with open_life(outbox, FakeChannel()) as gateway:
        messages = [await gateway.submit(reminder()) for _ in range(2)]
        edits = [
            await gateway.submit(Edit(**PLACE, target=message.ref, text="changed"))
            for message in messages
        ]
        for message in messages:
            await gateway.cancel(message)
        ended = []
        for edit in reversed(edits):
            assert Disposition.REJECTED == (await edit.receipt()).disposition
            ended.append(trio.current_time())
        assert ended[0] < 5
        assert 1_000 <= ended[1] < 1_010


async def test_many_changes_of_one_message_take_no_more_memory_than_of_many(
    outbox, monkeypatch, autojump_clock
):
    monkeypatch.setattr("gateway_core.backlog.schedule.MOST_FOLLOWERS", 3)
    async with open_life(outbox, FakeChannel()) as gateway:
        message = await gateway.submit(reminder())
        edits = [
            await gateway.submit(Edit(**PLACE, target=message.ref, text=str(n))) for n in range(10)
        ]
        followers = gateway._pager._schedule._followers
        assert sum(map(len, followers.values())) <= 3
        await gateway.cancel(message)
        for edit in edits:
            assert Disposition.REJECTED == (await edit.receipt()).disposition
        assert not followers


async def test_a_change_of_a_scheduled_message_may_be_scheduled_itself(
    outbox, restarts, autojump_clock
):
    """For later than its message; one for earlier waits for it."""
    channel = FakeChannel()
    async with open_life(outbox, channel) as gateway:
        await gateway.submit(reminder(key="k"))
        early = Edit(**PLACE, target=KEY, text="early", not_before=EPOCH + 500)
        late = Edit(**PLACE, target=KEY, text="late", not_before=EPOCH + 2_000)
        tickets = [await gateway.submit(early), await gateway.submit(late)]
        if not restarts:
            await _both(gateway, channel, tickets)
    if restarts:
        async with open_life(outbox, channel) as gateway:
            await _both(gateway, channel, tickets)


async def _both(gateway, channel, tickets):
    await trio.sleep(1_100)
    assert (await gateway.status(tickets[0].id)).receipt.delivered
    assert ["early"] == channel.texts("room")
    await trio.sleep(1_000)
    assert (await gateway.status(tickets[1].id)).receipt.delivered
    assert ["late"] == channel.texts("room")


async def test_a_change_that_stepped_aside_keeps_its_new_place_over_a_restart(
    outbox, autojump_clock
):
    """It waited for another lane's change of its message, and what came after it began."""
    delays = {"edit": 10.0}

    async def slowly(attempt):
        await trio.sleep(delays.get(attempt.operation, 0.0))

    channel = FakeChannel(script=slowly)
    async with open_life(outbox, channel, room_bound=9, instance_bound=9) as gateway:
        message = (await gateway.send("bot", "room", "hello")).ref
        alone = Edit(**PLACE, target=message, text="alone", order="none")
        await gateway.submit(alone)
        await trio.sleep(1)
        deletion = await gateway.submit(Delete(**PLACE, target=message))
        delays["send"] = 20.0
        await gateway.submit(Send(**PLACE, text="next"))
        await trio.sleep(12)
        assert ["send", "edit", "send"] == [made.attempt.operation for made in channel.made]
    delays.clear()
    async with open_life(outbox, channel, room_bound=9, instance_bound=9) as gateway:
        await trio.sleep(100)
        again = [made.attempt.operation for made in channel.made][3:]
        assert ["send", "delete"] == again
        assert (await gateway.status(deletion.id)).receipt.delivered


async def test_an_edit_without_order_comes_after_what_a_killed_run_left_of_its_message(
    outbox, autojump_clock
):
    """The older one had begun: it would run after the newer one, and its text would stand."""
    delays = {"older": 50.0}

    async def slowly(attempt):
        await trio.sleep(delays.get(attempt.payload.get("text", ""), 0.0))

    channel = FakeChannel(script=slowly)
    async with open_life(outbox, channel) as gateway:
        ref = (await gateway.send("bot", "room", "hello")).ref
        older = await gateway.submit(Edit(**PLACE, target=ref, text="older"))
        await trio.sleep(1)
    delays.clear()
    async with open_life(outbox, channel) as gateway:
        newer = await gateway.submit(Edit(**PLACE, target=ref, text="newer", order="none"))
        await trio.sleep(100)
        for ticket in (older, newer):
            assert (await gateway.status(ticket.id)).receipt.delivered
    assert ["newer"] == channel.texts("room")


class Refusing:
    """Tells the edit "older" once to come back in 30 s; "hello" and "busy" take three."""

    def __init__(self) -> None:
        self.refused = False

    async def __call__(self, attempt):
        if attempt.payload["text"] in ("hello", "busy"):
            await trio.sleep(3)
        if attempt.payload["text"] == "older" and not self.refused:
            self.refused = True
            raise Failure(
                Verdict(
                    error_class=ErrorClass.RETRYABLE,
                    reason=Reason.PLATFORM_ERROR,
                    scope=Scope.MESSAGE,
                    retry_after=30.0,
                    raw="503",
                )
            )


async def test_what_a_killed_run_had_begun_of_a_message_is_done_before_what_comes_new(
    outbox, autojump_clock
):
    """It is in memory, and its lane waits; the newer one stands alone, and could begin."""
    channel = FakeChannel(script=Refusing())
    async with open_life(outbox, channel, room_bound=9) as gateway:
        ref = (await gateway.send("bot", "room", "hello")).ref
        older = await gateway.submit(Edit(**PLACE, target=ref, text="older"))
        await trio.sleep(1)
    async with open_life(outbox, channel, room_bound=9) as gateway:
        await trio.sleep(1)
        newer = await gateway.submit(Edit(**PLACE, target=ref, text="newer", order="none"))
        await trio.sleep(1_000)
        for ticket in (older, newer):
            assert (await gateway.status(ticket.id)).receipt.delivered
    assert ["newer"] == channel.texts("room")
    assert not gateway._partitions[0].targets._under_way


class LateEdit(MemoryOutbox):
    """The append of the edit "newer" takes two seconds."""

    async def append(self, entry, kept):
        if getattr(entry.envelope, "text", "") == "newer":
            await trio.sleep(2)
        await super().append(entry, kept)


async def test_changes_are_made_in_one_order_before_a_restart_and_after_it(autojump_clock):
    """The older one waited for its message, and came in while the newer one was being stored."""
    outbox = LateEdit()
    channel = FakeChannel(script=Refusing())
    async with open_life(outbox, channel, room_bound=9) as gateway:
        message = await gateway.submit(Send(**PLACE, text="hello", key="k"))
        older = await gateway.submit(Edit(**PLACE, target=KEY, text="older", order="none"))
        await gateway.submit(Send(**PLACE, text="busy"))
        await trio.sleep(2)
        newer = await gateway.submit(Edit(**PLACE, target=KEY, text="newer"))
        await trio.sleep(1.5)
        assert (await gateway.status(message)).receipt.delivered
        assert 1 == (await gateway.status(older)).attempts
    async with open_life(outbox, channel) as gateway:
        await trio.sleep(1_000)
        for ticket in (older, newer):
            assert (await gateway.status(ticket.id)).receipt.delivered
    assert ["newer", "busy"] == channel.texts("room")


async def test_an_urgent_edit_without_order_waits_for_no_message_before_it(outbox, autojump_clock):
    """What is spilled of its room is known: nothing there changes anything, until an edit is."""
    channel = FakeChannel(
        limits=lambda _room, operation: [Limit("r", 1, 60.0)] * (operation == "send")
    )
    at_once = {"order": "none", "priority": "urgent"}
    async with open_life(outbox, channel) as gateway:
        ref = (await gateway.send("bot", "room", "hello")).ref
        for n in range(5):
            await gateway.enqueue("bot", "room", f"{n}")
        await gateway.submit(Edit(**PLACE, target=ref, text="changed", **at_once))
        await trio.sleep(1)
        assert "changed" == channel.texts("room")[0]
        await gateway.submit(Edit(**PLACE, target=ref, text="in order"))
        last = await gateway.submit(Edit(**PLACE, target=ref, text="after it", **at_once))
        await trio.sleep(1)
        assert "changed" == channel.texts("room")[0]
        await trio.sleep(600)
        assert (await gateway.status(last.id)).receipt.delivered
        assert "after it" == channel.texts("room")[0]


class Killed(MemoryOutbox):
    """From some moment on nothing reaches it that would be told as a gateway closes."""

    killed = False

    def entered(self, envelope_id, position):
        if not self.killed:
            super().entered(envelope_id, position)


async def test_a_change_that_steps_aside_stays_behind_what_began_meanwhile(autojump_clock):
    """A kill comes while it still waits: what stood behind it in its room goes first."""
    delays = {"alone": 100.0, "busy": 3.0, "next": 100.0}

    async def slowly(attempt):
        await trio.sleep(delays.get(attempt.payload.get("text"), 0.0))

    channel, outbox = FakeChannel(script=slowly), Killed()
    async with open_life(outbox, channel, room_bound=9, instance_bound=9) as gateway:
        message = (await gateway.send("bot", "room", "hello")).ref
        await gateway.enqueue("bot", "room", "busy")
        await gateway.submit(Edit(**PLACE, target=message, text="alone", order="none", ttl=5.0))
        await gateway.submit(Delete(**PLACE, target=message))
        await gateway.enqueue("bot", "room", "next")
        await trio.sleep(6)
        assert ["send", "send", "edit", "send"] == [made.attempt.operation for made in channel.made]
        outbox.killed = True
    outbox.killed = False
    delays.clear()
    async with open_life(outbox, channel, room_bound=9, instance_bound=9) as gateway:
        await trio.sleep(1_000)
        assert 0 == gateway.statistics().stored
    again = [made.attempt.operation for made in channel.made][4:]
    assert again.index("send") < again.index("delete")


async def test_a_change_is_not_of_a_message_that_took_its_key_later(
    outbox, restarts, autojump_clock
):
    """The one that it was of was cancelled, and its key was free again."""
    channel = FakeChannel(latency=1.0)
    async with open_life(outbox, channel, room_bound=1) as gateway:
        await gateway.submit(Send(**PLACE, text="before"))
        first = await gateway.submit(Send(**PLACE, text="first", key="k"))
        deletion = await gateway.submit(Delete(**PLACE, target=KEY))
        assert await gateway.cancel(first)
        second = await gateway.submit(Send(**PLACE, text="second", key="k"))
        if not restarts:
            await trio.sleep(30)
    if restarts:
        async with open_life(outbox, channel) as gateway:
            await trio.sleep(30)
            assert (await gateway.status(second.id)).receipt.delivered
            assert not (await gateway.status(deletion.id)).receipt.delivered
    assert ["second"] == channel.texts("room")[-1:]
