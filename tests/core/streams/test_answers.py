"""Streams that answer events: where they go, once, and by an interaction's reply token."""

from __future__ import annotations

import attrs
import pytest
import trio

from gateway_core import AmbiguousEvent, Invalid, UnknownEvent
from gateway_core.authors import Streaming, hookimpl
from gateway_core.deliveries.growing.growth import BROKEN_OFF, BY_REPLY
from gateway_core.testing import FakeChannel, MemoryOutbox, event, open_test_gateway


async def model(*words, pause=1.0):
    for word in words:
        await trio.sleep(pause)
        yield word


async def answer(gateway, asked, words):
    await gateway.stream(asked, words)


async def test_it_answers_where_the_event_came_from(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        asked = event("what?", room="C1", thread="T1", id="e1")
        receipt = await gateway.stream(asked, model("forty", "-two"))
        assert receipt.delivered
    assert channel.texts("C1") == ["forty-two"]
    assert {made.attempt.thread for made in channel.made} == {"T1"}


async def test_an_event_that_is_delivered_again_is_answered_once(autojump_clock):
    """While the first answer grows, and after it has ended; two answers of one handler are two."""
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, gateway, event(id="e1"), model("a", "b", "c"))
            await trio.sleep(1.5)
            nursery.start_soon(answer, gateway, event(id="e1"), model("x"))
        again = await gateway.stream(event(id="e1"), model("y"))
        assert again.replayed
        assert channel.texts("room") == ["abc"]
        same = event(id="e2")
        await gateway.stream(same, model("one"))
        await gateway.stream(same, model("two"))
    assert channel.texts("room") == ["abc", "one", "two"]


async def test_one_that_joined_another_answers_if_that_is_given_up(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:

        async def give_up():
            with trio.move_on_after(2):
                async with gateway.stream(event(id="e1")):
                    await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up)
            await trio.sleep(1)
            nursery.start_soon(answer, gateway, event(id="e1"), model("a", "b", "c", "d"))
    assert channel.texts("room") == ["abcd"]


async def test_until_its_message_stands_it_shows_that_an_answer_is_being_written(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway, gateway.stream(event()) as out:
        await trio.sleep(20)
        beats = len(channel.typed)
        assert beats >= 3
        out.write("here")
        await trio.sleep(5)
        out.write(" it is")
        await trio.sleep(30)
    assert len(channel.typed) <= beats + 1


async def test_which_account_it_came_to_must_be_clear(autojump_clock):
    async with open_test_gateway(instances=["bot", "other"]) as gateway:
        with pytest.raises(AmbiguousEvent, match="other"):
            gateway.stream(event())
        with pytest.raises(UnknownEvent):
            gateway.stream({"nothing": "known"}, instance="bot")
        await gateway.stream(event(), model("x"), instance="other")


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_an_interaction_is_acknowledged_at_once_and_answered_when_it_is_whole(
    autojump_clock, ephemeral
):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        asked = event(asked="command")
        async with gateway.stream(asked, ephemeral=ephemeral) as out:
            await trio.sleep(1)
            assert len(channel.noticed) == 1
            async for word in model("forty", "-two", pause=5):
                out.write(word)
            assert channel.made == []
        assert out.receipt is not None
        assert out.receipt.delivered
    (made,) = channel.made
    assert made.attempt.interaction is not None
    assert made.attempt.interaction.answer == 0
    assert made.attempt.ephemeral is ephemeral
    assert made.attempt.payload["text"] == "forty-two"


@pytest.mark.parametrize("pause", [0, 0.1, 5])
async def test_what_is_taken_back_before_it_is_shown_leaves_the_mark_to_who_waits(
    autojump_clock, pause
):
    """As a status that no text followed."""
    channel = FakeChannel()

    async def breaks(gateway):
        async with gateway.stream(event(asked="command"), on_error="delete") as out:
            out.write("forty")
            await trio.sleep(pause)
            raise LookupError

    async def says_nothing(gateway):
        async with gateway.stream(event(asked="command")) as out:
            out.status("searching")
            await trio.sleep(pause)

    async with open_test_gateway(channel) as gateway:
        with pytest.raises(LookupError):
            await breaks(gateway)
        with pytest.raises(Invalid, match="is empty"):
            await says_nothing(gateway)
        await trio.sleep(5)
    assert ["[…]", "[…]"] == [made.attempt.payload["text"].strip() for made in channel.made]


@pytest.mark.parametrize("on_error", ["mark", "delete", "keep"])
@pytest.mark.parametrize(("asked", "left"), [("command", ["[…]"]), ("press", [])])
async def test_an_interaction_that_shows_that_an_answer_comes_gets_one_whatever_happens(
    autojump_clock, asked, left, on_error
):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(LookupError):
            async with gateway.stream(event(asked=asked), on_error=on_error):
                raise LookupError
        await trio.sleep(5)
    assert left == [made.attempt.payload["text"].strip() for made in channel.made]


@pytest.mark.parametrize("said", ["", " \n"])
@pytest.mark.parametrize(("asked", "left"), [("command", ["[…]"]), ("press", [])])
async def test_an_interaction_that_shows_that_an_answer_comes_gets_one_if_nothing_is_said(
    autojump_clock, asked, left, said
):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(Invalid, match="is empty"):
            await gateway.stream(event(asked=asked), model(said))
        await trio.sleep(5)
    assert left == [made.attempt.payload["text"].strip() for made in channel.made]


async def test_a_receipt_says_that_an_answer_whose_token_takes_no_edit_did_not_grow(autojump_clock):
    async with open_test_gateway() as gateway:
        whole = await gateway.stream(event(asked="command"), model("forty", "-two"))
        grown = await gateway.stream(event(), model("forty", "-two"))
    assert (BY_REPLY,) == whole.degradations
    assert () == grown.degradations


@pytest.mark.parametrize("shown", [None, Streaming(how="append")], ids=["edits", "natively"])
async def test_an_interaction_whose_answers_can_be_edited_sees_it_grow(autojump_clock, shown):
    """By its token, and never as messages of the room are shown."""

    class Editing(FakeChannel):
        @hookimpl
        def address(self, event):
            address = super().address(event)
            edits = attrs.evolve(address.interaction, edits=True)
            return attrs.evolve(address, interaction=edits)

    channel = Editing(streaming=shown)
    async with open_test_gateway(channel) as gateway:
        await gateway.stream(event(asked="command"), model("forty", "-two", "!", pause=3))
    assert [made.attempt.operation for made in channel.made] == ["answer", "revise", "revise"]
    assert channel.texts("room") == ["forty-two!"]


async def test_a_press_that_is_only_acknowledged_sees_its_answer_grow_in_the_room(autojump_clock):
    class Acknowledging(FakeChannel):
        @hookimpl
        def address(self, event):
            address = super().address(event)
            only = attrs.evolve(address.interaction, by_token=False)
            return attrs.evolve(address, interaction=only)

    channel = Acknowledging()
    async with open_test_gateway(channel) as gateway:
        receipt = await gateway.stream(event(asked="press"), model("forty", "-two", "!", pause=3))
        assert receipt.delivered
    assert 1 == len(channel.noticed)
    assert ["send", "edit", "edit"] == [made.attempt.operation for made in channel.made]
    assert () == receipt.degradations
    assert channel.texts("room") == ["forty-two!"]


async def test_a_reply_token_that_ended_meanwhile_leaves_the_room(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(event(asked="command")) as out:
            async for word in model("late", " answer", pause=500):
                out.write(word)
        assert out.receipt is not None
        assert "answered in the room" in out.receipt.degradations
    assert channel.texts("room") == ["late answer"]


async def test_the_next_run_answers_an_interaction_with_what_was_stored(autojump_clock):
    outbox, channel = MemoryOutbox(), FakeChannel()
    with trio.move_on_after(10):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            opening = gateway.stream(event(asked="command"))
            out = await opening.__aenter__()
            out.write("forty-two")
            channel.script = _never
            await out.finish()
    channel.script = None
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(300)
    assert channel.made[-1].attempt.interaction is not None
    assert channel.made[-1].attempt.payload["text"] == "forty-two"


async def test_the_next_run_gives_an_answer_that_was_not_whole_as_the_process_was_killed(
    autojump_clock,
):
    outbox, channel = MemoryOutbox(), FakeChannel()
    with trio.move_on_after(10):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            opening = gateway.stream(event(asked="command"))
            out = await opening.__aenter__()
            out.write("forty")
            await trio.sleep(5)
            out.write("-two")
            await trio.sleep_forever()
    assert [] == channel.made
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(20)
        (made,) = channel.made
        status = await gateway.status(out.ticket)
        assert {BY_REPLY, BROKEN_OFF} == set(status.receipt.degradations)
    assert "forty-two […]" == made.attempt.payload["text"]
    assert made.attempt.interaction is not None


async def _never(_attempt):
    await trio.sleep_forever()
