"""Streams that meet trouble: kills, answers without an id, closing gateways, keys that join."""

from __future__ import annotations

import pytest
import trio

from gateway_core import (
    DeliveryError,
    Disposition,
    ErrorClass,
    GatewayClosed,
    Reason,
    RetrySettings,
    Scope,
    Verdict,
)
from gateway_core.authors import Answer, Limit, Part, Traits, TransportError, hookimpl
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, open_test_gateway


def shown(channel, room="room"):
    return [
        (made.attempt.operation, made.attempt.payload.get("text"))
        for made in channel.made
        if made.attempt.room == room
    ]


async def say(out, *words, pause=2.0):
    for word in words:
        out.write(word)
        await trio.sleep(pause)


async def _never(_attempt):
    await trio.sleep_forever()


async def _closed(_attempt):
    raise Failure(
        Verdict(
            error_class=ErrorClass.RETRYABLE,
            reason=Reason.RATE_LIMITED,
            scope=Scope.ROOM,
            dispatched="no",
            retry_after=3.0,
            raw="not now",
        )
    )


# -- keys


async def test_who_joins_a_stream_waits_for_its_end_and_does_not_end_it(autojump_clock):
    channel, joined, first = FakeChannel(), [], []
    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:

        async def join():
            await trio.sleep(1)
            async with gateway.stream(("bot", "room"), key="event 1") as out:
                out.write("mine")
                joined.append(await out.finish())
            joined.append(trio.current_time())

        nursery.start_soon(join)
        async with gateway.stream(("bot", "room"), key="event 1") as out:
            await say(out, *["word "] * 5)
            first.append(await out.finish())
    assert channel.texts("room") == ["word " * 5]
    assert first[0].envelope_id == joined[0].envelope_id
    assert joined[1] == pytest.approx(10, abs=0.1)


async def test_who_joined_a_stream_that_said_nothing_answers_instead(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:

        async def join():
            await trio.sleep(1)
            async with gateway.stream(("bot", "room"), key="event 1") as out:
                await say(out, "mine", " alone")

        nursery.start_soon(join)
        with pytest.raises(RuntimeError, match="model"):  # noqa: PT012 - a block is looked at
            async with gateway.stream(("bot", "room"), key="event 1"):
                await trio.sleep(2)
                raise RuntimeError("the model broke")
    assert channel.texts("room") == ["mine alone"]


async def test_a_stream_whose_key_is_known_moves_no_deadline_of_the_other(autojump_clock):
    """The other one was left by a previous run, and waits for its platform."""
    outbox, channel = MemoryOutbox(), FakeChannel(script=_closed)
    with trio.move_on_after(5):
        async with (
            open_test_gateway(channel, outbox=outbox) as gateway,
            gateway.stream(("bot", "room"), key="k") as out,
        ):
            await say(out, "half")
            await trio.sleep_forever()
    async with open_test_gateway(channel, outbox=outbox) as gateway, trio.open_nursery() as nursery:

        async def again():
            async with gateway.stream(("bot", "room"), key="k", ttl=3) as out:
                await say(out, "anew")

        nursery.start_soon(again)
        await trio.sleep(10)
        channel.script = None
        await trio.sleep(100)
    assert len(channel.texts("room")) == 1
    assert channel.texts("room")[0].startswith("half")


# -- a gateway that closes


async def test_what_is_said_after_the_end_of_its_gateway_raises_at_its_end(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        opening = gateway.stream(("bot", "room"))
        out = await opening.__aenter__()
    out.write("too late")
    with pytest.raises(GatewayClosed):
        await out.finish()
    assert out.stopped
    assert channel.made == []


# -- answers without an id


def nameless(channel, attempt):
    """The message is stored, and the answer does not say as what."""
    channel.rooms[attempt.room][f"nameless {len(channel.made)}"] = attempt.payload["text"]
    return Answer()


async def test_a_message_whose_id_nobody_knows_stays_and_the_whole_text_follows(autojump_clock):
    async def script(attempt):
        return nameless(channel, attempt) if len(channel.made) == 1 else None

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, *["word "] * 4)
        assert out.receipt is not None
        assert out.receipt.delivered
        assert out.receipt.possible_duplicate
    assert channel.texts("room") == ["word", "word " * 4]


async def test_a_whole_text_whose_id_nobody_knows_is_there(autojump_clock):
    async def script(attempt):
        return nameless(channel, attempt)

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "whole")
        assert out.receipt is not None
        assert out.receipt.delivered
        assert not out.receipt.possible_duplicate
    assert channel.texts("room") == ["whole"]


async def test_what_cannot_be_taken_back_is_not_called_cancelled(autojump_clock):
    async def script(attempt):
        return nameless(channel, attempt)

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(RuntimeError, match="model"):  # noqa: PT012 - a block is looked at
            async with gateway.stream(("bot", "room"), on_error="delete") as out:
                await say(out, "half")
                raise RuntimeError("the model broke")
        await trio.sleep(1)
        assert out.receipt is not None
        assert out.receipt.disposition is Disposition.UNKNOWN


# -- passing states that fail


async def test_a_passing_state_that_failed_for_good_is_tried_again_after_a_rest(autojump_clock):
    async def script(attempt):
        if attempt.operation == "edit" and attempt.payload["text"] != "word " * 200:
            raise TransportError("reset", dispatched="unknown")

    channel = FakeChannel(script=script)
    retries = RetrySettings(attempts=1, cap=10.0, max_ambiguous=1)
    async with (
        open_test_gateway(channel, retries=retries) as gateway,
        gateway.stream(("bot", "room")) as out,
    ):
        await say(out, *["word "] * 200, pause=0.5)
        began = trio.current_time()
        assert (await out.finish()).delivered
        assert trio.current_time() < began + 15  # one attempt at a time, since all have failed
    assert len(channel.made) <= 25


async def test_a_passing_state_that_was_refused_is_not_taken_for_there(autojump_clock):
    """The whole text is the same: it is what was refused that has to be shown."""
    refused = []

    async def script(attempt):
        if attempt.operation == "edit" and not refused:
            refused.append(attempt)
            await _closed(attempt)

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "all", " of it", pause=1)
            assert refused
        assert out.receipt is not None
        assert out.receipt.delivered
    assert channel.texts("room") == ["all of it"]


# -- kills


async def killed_within(outbox, channel, write, *, at=9.0, **how):
    """A run in which that is written, and which ends then."""
    with trio.move_on_after(at):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            out = await gateway.stream(("bot", "room"), **how).__aenter__()
            await write(out)
            await trio.sleep_forever()


async def test_the_whole_text_is_not_lost_where_its_edit_was_planned_at_last(autojump_clock):
    """What was recorded of the message is that it was sent: the edit is to come."""
    outbox, channel = MemoryOutbox(), FakeChannel()

    async def write(out):
        await say(out, "half")
        channel.script = _never
        await out.finish("whole")

    await killed_within(outbox, channel, write)
    channel.script = None
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(20)
    assert channel.texts("room") == ["whole"]


async def test_what_is_to_be_taken_back_is_although_its_end_was_planned_at_last(autojump_clock):
    outbox, channel = MemoryOutbox(), FakeChannel()
    with trio.move_on_after(9.0):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            with pytest.raises(RuntimeError, match="model"):  # noqa: PT012 - a block is looked at
                async with gateway.stream(("bot", "room"), on_error="delete") as out:
                    await say(out, "half")
                    channel.script = _never
                    raise RuntimeError("the model broke")
            await trio.sleep_forever()
    channel.script = None
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(20)
    assert channel.texts("room") == []


async def test_a_message_that_is_posted_anew_after_a_kill_has_a_key_of_its_own(autojump_clock):
    """A platform that knows the key of the one that vanished would show nothing."""

    async def script(attempt):
        if attempt.operation == "edit":
            raise Failure(
                Verdict(
                    error_class=ErrorClass.NON_RETRYABLE,
                    reason=Reason.MESSAGE_GONE,
                    scope=Scope.MESSAGE,
                    dispatched="no",
                    raw="gone",
                )
            )

    def limits(_, operation):
        return [Limit("posts", 2, 30.0, "window")] if operation == "send" else []

    outbox, channel = MemoryOutbox(), FakeChannel(script=script, limits=limits)
    await killed_within(outbox, channel, lambda out: say(out, "somebody", " deletes"))
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(60)
    keys = [made.attempt.key for made in channel.made if made.attempt.operation == "send"]
    assert 1 < len(keys) == len(set(keys))
    assert channel.texts("room")[-1] == "somebody deletes […]"


async def test_a_first_message_in_doubt_keeps_its_place_in_the_next_run(autojump_clock):
    outbox, channel = MemoryOutbox(), FakeChannel(script=_never)
    with trio.move_on_after(5.0):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            out = await gateway.stream(("bot", "room")).__aenter__()
            await say(out, "half")
            await gateway.enqueue("bot", "room", "after")
            await trio.sleep_forever()
    channel.script = None
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(60)
    assert channel.texts("room") == ["half […]", "after"]


class Words(FakeChannel):
    """Each word is a message of its own."""

    @hookimpl
    def chunk(self, envelope):
        return [Part(payload={"text": word}) for word in envelope.text.split()]


@pytest.mark.parametrize("deduplicates_for", [0.0, 300.0])
async def test_a_later_message_in_doubt_is_repeated_by_its_key_in_the_next_run(
    deduplicates_for, autojump_clock
):
    """It may be there already: a copy is announced, and none is made where the key prevents it."""
    there = []

    async def script(attempt):
        if attempt.operation == "send" and attempt.payload["text"] == "two":
            there.append(attempt.key)
            if len(there) == 1:
                await trio.sleep_forever()  # the platform has it, and nobody hears of it

    traits = Traits(deduplicates_for=deduplicates_for)
    outbox, channel = MemoryOutbox(), Words(script=script, traits=traits)
    await killed_within(outbox, channel, lambda out: say(out, "one two three", pause=5.0))
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(60)
        name = channel.made[0].attempt.key.rpartition(".")[0]
        receipt = (await gateway.status(name)).receipt
    assert ["one", "two", "three", "[…]"] == channel.texts("room")
    assert 2 == len(there)
    assert (deduplicates_for == 0.0) is receipt.possible_duplicate
    assert 1 == len(set(there))


# -- what is shown


async def test_a_status_alone_does_not_stay(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(DeliveryError) as raised:  # noqa: PT012 - a block is looked at
            async with gateway.stream(("bot", "room")) as out:
                out.status("searching …")
                await trio.sleep(2)
                assert channel.texts("room") == ["searching …"]
        assert raised.value.receipt.disposition is Disposition.CANCELLED
    assert channel.texts("room") == []


async def test_the_first_stream_of_all_waits_for_no_turn(autojump_clock):
    def limits(room, _):
        return [Limit(f"group {room}", 20, 60, "window", of="room")]

    channel = FakeChannel(limits=limits)
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        out.write("at once")
        await trio.sleep(0.5)
        assert channel.texts("room") == ["at once"]


async def test_of_streams_that_open_at_once_no_more_are_shown_than_edits_can_carry(autojump_clock):
    def limits(room, operation):
        if operation == "edit":
            return [Limit("chat.update", 6, 60, "window")]
        return [Limit(f"{operation} {room}", 1, 1.0, of="room")]

    channel, late = FakeChannel(limits=limits, latency=0.1), []

    async def answer(number, gateway):
        async with gateway.stream(("bot", f"room {number}")) as out:
            await say(out, *["word "] * 10, pause=1)
            ended = trio.current_time()
            await out.finish()
            late.append(trio.current_time() - ended)

    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(answer, number, gateway)
        await trio.sleep(5)
        assert len(channel.made) <= 6
    assert max(late) < 1
    assert all(channel.texts(f"room {number}") == ["word " * 10] for number in range(20))


async def test_a_first_message_that_is_planned_anew_waits_for_no_turn(autojump_clock):
    class Plain(FakeChannel):
        @hookimpl
        def chunk(self, envelope, mode):
            return [Part(payload={"text": envelope.text, "mode": mode})]

    async def script(attempt):
        if attempt.payload["mode"] != "plain":
            raise Failure(
                Verdict(
                    error_class=ErrorClass.RETRYABLE,
                    reason=Reason.BAD_FORMAT,
                    scope=Scope.MESSAGE,
                    dispatched="no",
                    raw="no",
                    transform="plain",
                )
            )

    def limits(room, _):
        return [Limit(f"group {room}", 20, 60, "window", of="room")]

    channel = Plain(script=script, limits=limits)
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        out.write("*at once")
        await trio.sleep(0.5)
        after = await gateway.enqueue("bot", "room", "after")
        await trio.sleep(0.5)
        assert len(channel.texts("room")) == 2
        await after.receipt()
    assert channel.texts("room")[0].endswith("at once")


async def test_a_refused_first_message_keeps_its_place(autojump_clock):
    refused = Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.PLATFORM_ERROR,
        scope=Scope.MESSAGE,
        dispatched="no",
        retry_after=3.0,
        raw="not now",
    )

    async def script(attempt):
        if len(channel.made) == 1:
            raise Failure(refused)

    channel = FakeChannel(script=script, latency=0.5)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "first", pause=1)
            after = await gateway.enqueue("bot", "room", "after")
            await say(out, " of all", pause=9)
        await after.receipt()
    assert channel.texts("room") == ["first of all", "after"]
