"""A message that grows: what is shown of it, how it ends, and what it leaves to others."""

from __future__ import annotations

import itertools
from collections.abc import Coroutine
from contextlib import suppress
from http import HTTPStatus

import pytest
import trio

from gateway_core import (
    Button,
    DeliveryError,
    Disposition,
    ErrorClass,
    Invalid,
    MessageRef,
    Problem,
    Reason,
    Scope,
    UnknownEvent,
    UnknownInstance,
    Verdict,
)
from gateway_core.authors import (
    Answer,
    Limit,
    Part,
    Streaming,
    Traits,
    TransportError,
    hookimpl,
)
from gateway_core.deliveries.growing.growth import BROKEN_OFF, UNEDITED
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, event, open_test_gateway

PART = 20


class Parts(FakeChannel):
    """Messages of twenty characters at the most."""

    @hookimpl
    def chunk(self, envelope):
        text = envelope.text
        spans = [(at, min(at + PART, len(text))) for at in range(0, len(text), PART)]
        return [Part(payload={"text": text[at:end]}, span=(at, end)) for at, end in spans]


def operations(channel, room="room"):
    return [made.attempt.operation for made in channel.made if made.attempt.room == room]


def shown(channel, room="room"):
    return [
        (made.attempt.operation, made.attempt.payload.get("text"))
        for made in channel.made
        if made.attempt.room == room
    ]


def verdict(reason=Reason.UNCLASSIFIED, error_class=ErrorClass.NON_RETRYABLE, **fields):
    return Verdict(error_class=error_class, reason=reason, dispatched="no", raw="no", **fields)


async def say(out, *words, pause=2.0):
    for word in words:
        out.write(word)
        await trio.sleep(pause)


async def test_it_posts_once_there_is_something_to_say_and_edits_from_then_on(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await trio.sleep(5)
        assert channel.made == []
        await say(out, "The answer", " is", " 42")
        receipt = await out.finish()
    assert receipt.delivered
    assert receipt.ref is not None
    assert channel.texts("room") == ["The answer is 42"]
    assert shown(channel) == [
        ("send", "The answer"),
        ("edit", "The answer is"),
        ("edit", "The answer is 42"),
    ]


async def test_what_is_there_already_is_not_sent_again(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "whole")
        assert out.receipt is not None
        assert out.receipt.delivered
    assert operations(channel) == ["send"]


async def test_a_short_answer_is_one_plain_message(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            out.write("4")
            out.write("2")
        assert gateway.statistics().accepted == 1
    assert shown(channel) == [("send", "42")]


async def test_one_attempt_at_a_time_and_the_newest_text_wins(autojump_clock):
    channel = FakeChannel(latency=3.0)
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, *[f"{n} " for n in range(10)], pause=1.0)
    assert channel.texts("room") == ["0 1 2 3 4 5 6 7 8 9 "]
    times = channel.times
    assert all(later - sooner >= 3.0 for sooner, later in itertools.pairwise(times))
    assert len(times) < 7


async def test_it_grows_past_one_message(autojump_clock):
    channel = Parts()
    text = "".join(f"{n:03} " for n in range(30))
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, *[text[at : at + 7] for at in range(0, len(text), 7)], pause=1.0)
        assert out.receipt is not None
        ref = out.receipt.ref
        assert ref is not None
        assert len(ref.parts) == 6
        assert "".join(channel.texts("room")) == text
        await gateway.edit(ref, "short")
    assert channel.texts("room") == ["short"]


async def test_an_async_iterator_is_awaited(autojump_clock):
    async def model():
        for word in ("one ", "two ", "three"):
            await trio.sleep(1)
            yield word

    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        receipt = await gateway.stream(("bot", "room"), model())
    assert receipt.delivered
    assert channel.texts("room") == ["one two three"]


async def test_the_final_text_may_take_the_place_of_all(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, "thinking aloud")
        out.replace("thinking again")
        await trio.sleep(2)
        await out.finish("The answer.", extra={"buttons": ["more"]})
    assert channel.texts("room") == ["The answer."]
    assert channel.made[-1].attempt.extra == {"buttons": ["more"]}
    assert ("edit", "thinking again") in shown(channel)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"text": "another"}, "text: differs"),
        ({"extra": {"colour": 2}}, "extra: differs"),
        ({"buttons": [Button("No", "n")]}, "buttons: differs"),
    ],
    ids=["text", "extra", "buttons"],
)
async def test_a_second_finish_may_say_nothing_else(autojump_clock, more, told):
    """What it says would be lost, and the receipt would be the first one's."""
    channel = FakeChannel()
    same = {"text": "all of it", "extra": {"colour": 1}, "buttons": [Button("Yes", "y")]}
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        out.write("some")
        with trio.move_on_after(0.1):
            await out.finish(**same)
        assert await out.finish(**same) == await out.finish() == out.receipt
        with pytest.raises(Invalid, match=told):
            await out.finish(**more)
    assert ["all of it"] == channel.texts("room")


class NoButtons(FakeChannel):
    """Takes no buttons."""

    @hookimpl
    def buttons(self, rows):
        return [Problem("buttons.0", "not here")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"buttons": [Button("Yes", "y")]},
        {"buttons": 5},
        {"extra": {"a": object()}},
        {"text": "a\0b"},
    ],
    ids=["refused", "no buttons", "extra", "text"],
)
@pytest.mark.parametrize("joins", [False, True])
async def test_the_end_of_the_block_finishes_what_a_refused_finish_did_not(
    autojump_clock, joins, wrong
):
    """Somebody who goes on without the buttons would otherwise leave the text growing for ever."""
    channel, key = NoButtons(), "k" if joins else None
    async with open_test_gateway(channel) as gateway:
        if joins:  # an open stream that says nothing, which the other one takes over
            open_one = gateway.stream(("bot", "room"), key=key)
            await open_one.__aenter__()
        async with gateway.stream(("bot", "room"), key=key) as out:
            out.write("some")
            await trio.sleep(1)
            if joins:
                error = RuntimeError()
                await open_one.__aexit__(RuntimeError, error, None)
            with pytest.raises(Invalid):
                await out.finish(**wrong)
            out.write(" more")
        assert out.receipt.delivered
    assert ["some more"] == channel.texts("room")


async def test_a_finish_after_the_gateway_broke_the_stream_off_only_says_how_it_ended(
    autojump_clock,
):
    async with trio.open_nursery() as nursery:
        async with open_test_gateway() as gateway:
            out = await gateway.stream(("bot", "room")).__aenter__()
            out.write("so far")
            await trio.sleep(1)
            nursery.start_soon(gateway.drain)
        assert (BROKEN_OFF,) == (await out.finish("all of it")).degradations


async def test_a_status_is_shown_below_and_never_in_the_final(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        out.status("searching …")
        await trio.sleep(2)
        assert channel.texts("room") == ["searching …"]
        await say(out, "Found")
        assert channel.texts("room") == ["Found\n\nsearching …"]
        out.status("")
        await trio.sleep(2)
        assert channel.texts("room") == ["Found"]
        out.status("searching more …")
        await trio.sleep(2)
    assert channel.texts("room") == ["Found"]


@pytest.mark.parametrize("kind", ["write", "replace", "status"])
async def test_what_is_no_text_is_refused_and_the_stream_goes_on(autojump_clock, kind):
    channel = FakeChannel()
    async with (
        open_test_gateway(channel) as gateway,
        gateway.stream(("bot", "room"), max_text=10) as out,
    ):
        for wrong, words in [
            (b"x", "bytes"),
            ("\ud800", "text"),
            ("a\0b", "NUL"),
            ("x" * 11, "at most 10"),
        ]:
            with pytest.raises(Invalid, match=words):
                getattr(out, kind)(wrong)
        out.write("fine")
    assert channel.texts("room") == ["fine"]


async def test_one_with_chunks_that_nobody_awaits_warns_as_a_coroutine_does(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        left = gateway.stream(("bot", "room"), words())
        with pytest.warns(RuntimeWarning, match="never awaited"):
            del left
        gateway.stream(("bot", "room"))
        with pytest.raises(TypeError, match="await"):
            async with gateway.stream(("bot", "room"), words()):
                pass
    assert [] == channel.made


async def words():
    yield "one"


async def promised():
    return words()  # pragma: no cover


@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        (lambda: ["one"], "not list"),
        (lambda: "one", "not str: `send` takes a whole text, .* one pair"),
        (lambda: words, "not function: call it"),
        (promised, "not coroutine: await it first"),
    ],
)
async def test_what_gives_no_texts_is_refused_before_anything_is_shown(chunks, told):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        asked = event(asked="command")
        given = chunks()
        with pytest.raises(Invalid, match=f"chunks: must be an async iterable of texts, {told}"):
            gateway.stream(asked, given)
        if isinstance(given, Coroutine):
            given.close()
        await gateway.stream(asked, words())
        assert channel.texts("room") == ["one"]
        assert gateway.statistics().accepted == 1


async def test_where_it_goes_is_checked_as_it_opens(autojump_clock):
    async with open_test_gateway() as gateway:
        with pytest.raises(UnknownInstance):
            async with gateway.stream(("nobody", "room")):
                pytest.fail("it opened")  # pragma: no cover
        with pytest.raises(Invalid, match="external_room_id"):
            async with gateway.stream(("bot", "")):
                pytest.fail("it opened")  # pragma: no cover
        with pytest.raises(Invalid, match="where"):
            gateway.stream(("bot",))
        for no_event in ("room", None, {"type": "unheard of"}):
            with pytest.raises(UnknownEvent, match="bot"):
                gateway.stream(no_event)
        with pytest.raises(UnknownEvent, match=r": parse JSON first$"):
            gateway.stream(b"{}")
        for no_pair in ("bot", ["bot", "room"]):
            with pytest.raises(UnknownEvent, match=r"use .* `stream\(\(instance, room\)\)`"):
                gateway.stream(no_pair)
        with pytest.raises(Invalid, match="on_error"):
            gateway.stream(("bot", "room"), on_error="explode")
        for number in (0, True, 5.0, 1_000_001):
            with pytest.raises(Invalid, match="max_text"):
                gateway.stream(("bot", "room"), max_text=number)
        with pytest.raises(Invalid, match="priority"):
            gateway.stream(("bot", "room"), priority="soon")
        for odd in (None, 5):
            mistake = rf"^broken_off: must be a text that can be sent, not {odd}$"
            with pytest.raises(Invalid, match=mistake):
                async with gateway.stream(("bot", "room"), broken_off=odd):
                    pass
        with pytest.raises(TypeError, match="async with"):
            await gateway.stream(("bot", "room"))
        assert gateway.statistics().accepted == 0


async def test_its_most_characters_may_be_a_number_of_another_class(autojump_clock):
    most = HTTPStatus(500)
    async with (
        open_test_gateway(FakeChannel()) as gateway,
        gateway.stream(("bot", "room"), max_text=most) as out,
    ):
        out.write("a" * 500)
        with pytest.raises(Invalid, match="has 501 characters, at most 500"):
            out.write("b")
        assert (500, int) == (out.max_text, type(out.max_text))


async def test_an_empty_one_is_refused_and_nothing_is_sent(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        opening = gateway.stream(("bot", "room"))
        out = await opening.__aenter__()
        out.write("  ")
        await trio.sleep(3)
        with pytest.raises(Invalid, match="text"):
            await opening.__aexit__(None, None, None)
    assert channel.made == []


async def test_one_that_is_empty_at_the_end_leaves_no_message(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(DeliveryError):  # noqa: PT012 - a block is looked at
            async with gateway.stream(("bot", "room")) as out:
                await say(out, "half an answer")
                await trio.sleep(3)
                out.replace("")
    assert ["send", "delete"] == [made.attempt.operation for made in channel.made]
    assert Disposition.CANCELLED is out.receipt.disposition


@pytest.mark.parametrize(
    ("on_error", "left", "ending"),
    [
        ("mark", ["half an […]"], Disposition.DELIVERED),
        ("keep", ["half an "], Disposition.DELIVERED),
        ("delete", [], Disposition.CANCELLED),
    ],
)
async def test_a_block_that_ends_by_an_exception(autojump_clock, on_error, left, ending):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(RuntimeError, match="model"):  # noqa: PT012 - a block is looked at
            async with gateway.stream(("bot", "room"), on_error=on_error) as out:
                await say(out, "half an ")
                raise RuntimeError("the model broke")
        await trio.sleep(2)
        assert out.receipt is not None
        assert out.receipt.disposition is ending
        assert channel.texts("room") == left
        statistics = gateway.statistics()
        assert (statistics.accepted, statistics.unfinished) == (1, 0)


async def test_a_block_that_breaks_before_anything_was_said_leaves_no_trace(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(RuntimeError, match="model"):
            async with gateway.stream(("bot", "room")):
                raise RuntimeError("the model broke")
        await trio.sleep(2)
        assert gateway.statistics().accepted == 0
    assert channel.made == []


@pytest.mark.parametrize("pause", [0.1, 2.0])
async def test_a_cancelled_block_marks_what_was_shown(autojump_clock, pause):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        with trio.move_on_after(pause + 1):
            async with gateway.stream(("bot", "room")) as out:
                await say(out, "half an", pause=pause)
                await trio.sleep_forever()
        await trio.sleep(2)
        assert channel.texts("room") == ["half an […]"]


async def test_messages_after_it_do_not_wait_for_its_end(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "first")
            with trio.fail_after(1):
                await gateway.send("bot", "room", "second")
            await say(out, " and last")
        assert channel.texts("room") == ["first and last", "second"]


async def test_its_first_message_keeps_the_order_of_its_room(autojump_clock):
    channel = FakeChannel(latency=5.0)
    async with open_test_gateway(channel) as gateway:
        before = await gateway.enqueue("bot", "room", "before")
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "the ", pause=2)
            after = await gateway.enqueue("bot", "room", "after")
            await say(out, "answer", pause=20)
        await before.receipt()
        await after.receipt()
    assert channel.texts("room") == ["before", "the answer", "after"]


async def test_a_message_that_stayed_in_the_room_from_which_it_moved_is_a_copy(autojump_clock):
    """Nobody can change it there: a deletion of the answer reaches the new message alone."""

    async def script(attempt):
        if attempt.operation == "edit" and attempt.room == "room":
            there = {"scope": Scope.ROOM, "moved_to": "newer"}
            raise Failure(verdict(Reason.ROOM_MOVED, ErrorClass.RETRYABLE, **there))
        if attempt.operation == "edit" and attempt.message_id == "1":
            raise Failure(verdict(Reason.MESSAGE_GONE, scope=Scope.MESSAGE))

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "it ", "moves")
        assert out.receipt is not None
        assert ["it"] == channel.texts("room")
        assert ["it moves"] == channel.texts("newer")
        assert out.receipt.possible_duplicate
        deleted = await gateway.delete(out.receipt.ref)
    assert deleted.possible_duplicate
    assert ["it"] == channel.texts("room") + channel.texts("newer")


async def test_a_message_that_has_vanished_is_posted_anew_once(autojump_clock):
    gone = {"1"}

    async def script(attempt):
        if attempt.operation == "edit" and attempt.message_id in gone:
            raise Failure(verdict(Reason.MESSAGE_GONE, scope=Scope.MESSAGE))

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "somebody", " deletes", " this")
        assert out.receipt is not None
        assert [part.message_id for part in out.receipt.parts] == ["2"]
        assert "posted anew: its message was gone" in out.receipt.degradations
        assert not out.receipt.possible_duplicate
        assert channel.rooms["room"]["2"] == "somebody deletes this"

        gone.update("345")
        with pytest.raises(DeliveryError) as raised:
            async with gateway.stream(("bot", "other")) as out:
                await say(out, "and", " again", " and", " again")
        assert out.stopped
        assert raised.value.receipt.disposition is Disposition.REJECTED


async def test_a_refused_passing_state_is_the_last_and_the_whole_text_gets_its_attempt(
    autojump_clock,
):
    refusing = True

    async def script(attempt):
        if attempt.operation == "edit" and refusing:
            raise Failure(verdict(Reason.BAD_REQUEST, scope=Scope.MESSAGE))

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, *["word "] * 5)
            assert not out.stopped
            refusing = False
        assert operations(channel) == ["send", "edit", "edit"]
        assert channel.texts("room") == ["word " * 5]

        refusing = True
        async with gateway.stream(("bot", "other")) as out:
            await say(out, "never ", "edited")
        assert channel.texts("other") == ["never", "never edited"]
        assert out.receipt is not None
        assert "posted anew: its message took no edit" in out.receipt.degradations
        assert out.receipt.possible_duplicate


class Cut(MemoryOutbox):
    """What it is told from some time on, a kill takes."""

    deaf = False

    def grew(self, *told):
        if not self.deaf:
            super().grew(*told)

    def replanned(self, *told):
        if not self.deaf:
            super().replanned(*told)

    async def attempt_started(self, *told):
        if not self.deaf:
            await super().attempt_started(*told)

    def acknowledged(self, *told):
        if not self.deaf:
            super().acknowledged(*told)


async def test_the_next_run_shows_what_was_stored_although_an_edit_showed_more(autojump_clock):
    """Nobody had written down that there was an edit."""
    channel, outbox = FakeChannel(), Cut()
    with trio.move_on_after(8.0):
        async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
            opening = gateway.stream(("bot", "room"), key="k", broken_off="")
            out = await opening.__aenter__()
            await say(out, "stored")
            await trio.sleep(2)
            outbox.deaf = True
            await say(out, " and said")
            await trio.sleep_forever()
    assert channel.texts("room") == ["stored and said"]
    outbox.deaf = False
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(20)
        assert gateway.statistics().unfinished == 0
    assert channel.texts("room") == ["stored"]


async def test_the_next_run_says_that_its_first_message_took_no_edit(autojump_clock):
    async def script(attempt):
        if attempt.operation == "edit":
            raise Failure(verdict(Reason.BAD_REQUEST, scope=Scope.MESSAGE))
        if attempt.operation == "send" and channel.texts("room"):
            await trio.sleep_forever()

    channel, outbox = FakeChannel(script=script), MemoryOutbox()
    with trio.move_on_after(60.0):
        async with (
            open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway,
            gateway.stream(("bot", "room"), key="k") as out,
        ):
            await say(out, "never ", "edited")
    channel.script = None
    assert out.ticket is not None
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(20)
        status = await gateway.status(out.ticket)
    assert status is not None
    assert status.receipt is not None
    assert channel.texts("room") == ["never", "never edited"]
    assert "posted anew: its message took no edit" in status.receipt.degradations
    assert status.receipt.possible_duplicate


@pytest.mark.parametrize("more", ["", " more"])
async def test_a_message_without_an_id_is_not_edited(autojump_clock, more):
    """The platform's answer could not be read: what differs in the end is posted anew."""

    async def script(attempt):
        return Answer() if attempt.operation == "send" and len(channel.made) == 1 else None

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "some")
            out.write(more)
            await trio.sleep(3)
        assert out.receipt is not None
        assert out.receipt.delivered
    assert [text for _, text in shown(channel)] == ["some", "some more"][: 1 + bool(more)]


async def test_the_next_run_announces_what_is_posted_beside_a_message_without_an_id(
    autojump_clock,
):
    async def script(attempt):
        return Answer() if attempt.operation == "send" and len(channel.made) == 1 else None

    def limits(_, operation):
        return [Limit("posts", 1, 30.0, "window")] if operation == "send" else []

    channel, outbox = FakeChannel(script=script, limits=limits), MemoryOutbox()
    with trio.move_on_after(10.0):
        async with (
            open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway,
            gateway.stream(("bot", "room")) as out,
        ):
            await say(out, "some", " more")
    assert out.ticket is not None
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(60)
        status = await gateway.status(out.ticket)
    assert [text for _, text in shown(channel)] == ["some", "some more"]
    assert status is not None
    assert status.receipt is not None
    assert status.receipt.possible_duplicate


async def test_passing_states_that_fail_do_not_end_it(autojump_clock):
    broken = True

    async def script(attempt):
        if attempt.operation == "edit" and broken:
            raise TransportError("reset", dispatched="unknown")

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, *["word "] * 200, pause=3.0)
        broken = False
        receipt = await out.finish()
        assert receipt.delivered
    assert channel.texts("room") == ["word " * 200]


async def test_a_flood_wait_holds_the_whole_text_and_does_not_lose_it(autojump_clock):
    refused = 0

    async def script(attempt):
        nonlocal refused
        if attempt.operation == "edit" and not refused:
            refused += 1
            raise Failure(
                verdict(Reason.RATE_LIMITED, ErrorClass.RETRYABLE, scope=Scope.ROOM, retry_after=40)
            )

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "one", " two", " three")
            receipt = await out.finish()
        assert receipt.delivered
        assert trio.current_time() > 40
    assert channel.texts("room") == ["one two three"]


async def test_a_refused_formatting_is_planned_anew(autojump_clock):
    class Plain(FakeChannel):
        @hookimpl
        def chunk(self, envelope, mode):
            return [Part(payload={"text": envelope.text, "mode": mode})]

    async def script(attempt):
        if attempt.payload["mode"] != "plain":
            raise Failure(verdict(Reason.BAD_FORMAT, scope=Scope.MESSAGE, transform="plain"))

    channel = Plain(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "*a", " b", " c*")
        assert out.receipt is not None
        assert "plain" in out.receipt.degradations
    assert channel.texts("room") == ["*a b c*"]
    refused = [made for made in channel.made if made.attempt.payload["mode"] != "plain"]
    assert len(refused) == 1  # it is remembered


async def test_the_same_key_joins_the_open_one_and_replays_the_ended_one(autojump_clock):
    channel = FakeChannel()
    receipts = []
    async with open_test_gateway(channel) as gateway:

        async def answer(word):
            async with gateway.stream(("bot", "room"), key="event 1") as out:
                await say(out, *[word] * 5)
                receipts.append(await out.finish())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, "a")
            await trio.sleep(1)
            nursery.start_soon(answer, "b")
        await answer("c")
        assert gateway.statistics().accepted == 1
    assert channel.texts("room") == ["aaaaa"]
    assert len({receipt.envelope_id for receipt in receipts}) == 1
    assert receipts[-1].replayed


async def test_an_edit_of_it_waits_for_its_end(autojump_clock):
    channel = FakeChannel()
    async with (
        open_test_gateway(channel) as gateway,
        trio.open_nursery() as nursery,
        gateway.stream(("bot", "room"), key="it") as out,
    ):
        await say(out, "grows")
        ref = MessageRef(instance_id="bot", external_room_id="room", envelope_id=out.ticket.id)
        nursery.start_soon(gateway.edit, ref, "edited")
        await say(out, " on")
    assert channel.texts("room") == ["edited"]


async def test_a_closing_gateway_marks_what_is_open(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:

        async def answer():
            async with gateway.stream(("bot", "room")) as out:
                await say(out, *["word "] * 100)

        nursery.start_soon(answer)
        await trio.sleep(5)
        gateway.quiet()
        await trio.sleep(5)
        assert channel.texts("room") == ["word word word […]"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("end", ["killed", "cancelled", "finished", "deleted"])
async def test_the_next_run_finishes_it_with_the_newest_text_that_was_stored(autojump_clock, end):
    outbox, channel = MemoryOutbox(), Parts(latency=0.5)
    with trio.move_on_after(9.0) as stopped:
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            on_error = "delete" if end == "deleted" else "mark"
            opening = gateway.stream(("bot", "room"), broken_off=" …", key="k", on_error=on_error)
            out = await opening.__aenter__()
            try:
                await say(out, *[f"{n} " for n in range(15)], pause=0.5)
                channel.script = _never
                if end == "finished":
                    await out.finish("whole and done")
                await trio.sleep_forever()
            except trio.Cancelled as cancelled:
                if end != "killed":
                    await opening.__aexit__(type(cancelled), cancelled, None)
                raise
    assert stopped.cancelled_caught
    channel.script = None
    assert out.ticket is not None
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(20)
        status = await gateway.status(out.ticket)
        assert status is not None
        assert status.receipt is not None
        assert status.receipt.delivered is (end != "deleted")
        said = "broken off: its program left it before its text was whole"
        assert (said in status.receipt.degradations) is (end in ("killed", "cancelled"))
        async with gateway.stream(("bot", "room"), key="k") as again:
            again.write("anew")
        assert again.receipt is not None
        assert again.receipt.replayed is (end != "deleted")
    left = {"finished": "whole and done", "deleted": "anew"}
    text = "".join(channel.texts("room"))
    assert text == left.get(end, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 …")


async def _never(_attempt):
    await trio.sleep_forever()


async def test_an_unknown_outcome_of_its_first_message_leaves_one(autojump_clock):
    stored = []

    async def script(attempt):
        if attempt.operation == "send" and not stored:
            stored.append(attempt)
            raise TransportError("cut", dispatched="unknown")

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, *["word "] * 60)
        assert out.receipt is not None
        assert out.receipt.delivered
        assert out.receipt.possible_duplicate
    assert channel.texts("room") == ["word " * 60]
    keys = {made.attempt.key for made in channel.made if made.attempt.operation == "send"}
    assert len(keys) == 1


async def test_it_expires_as_counted_from_its_end(autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(DeliveryError) as raised:  # noqa: PT012 - a block is looked at
            async with gateway.stream(("bot", "room"), ttl=10) as out:
                await say(out, *["word "] * 20)
                channel.script = _closed
                await out.finish("the end")
        assert raised.value.receipt.disposition is Disposition.EXPIRED
        assert trio.current_time() == pytest.approx(50, abs=1)


async def _closed(_attempt):
    raise Failure(verdict(Reason.PLATFORM_ERROR, ErrorClass.RETRYABLE, retry_after=3))


async def test_a_text_that_was_whole_as_it_was_accepted_is_not_marked_by_the_next_run(
    autojump_clock,
):
    outbox, channel = MemoryOutbox(), FakeChannel(script=_never)
    with trio.move_on_after(3):
        async with (
            open_test_gateway(channel, outbox=outbox) as gateway,
            gateway.stream(("bot", "room"), key="k") as out,
        ):
            out.write("all of it")
    channel.script = None
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(300)
        assert out.ticket is not None
        status = await gateway.status(out.ticket.id)
        assert status is not None
        assert status.receipt is not None
        assert status.receipt.degradations == ()
    assert channel.made[-1].attempt.payload["text"] == "all of it"


@pytest.mark.parametrize("ends", ["raises", "cancelled", "too late"])
@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("after", [0.0, 0.05, 0.3, 2.0])
async def test_what_is_sent_after_a_broken_stream_comes_after_it(autojump_clock, ends, key, after):
    channel, outbox = FakeChannel(), MemoryOutbox()
    find, append = outbox.find, outbox.append

    async def found_later(what):
        await trio.sleep(0.01)
        return await find(what)

    async def stored_later(entry, on_stored):
        await trio.sleep(0.02)
        await append(entry, on_stored)

    outbox.find, outbox.append = found_later, stored_later
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        with trio.CancelScope() as scope, suppress(KeyError):
            async with gateway.stream(("bot", "room"), key=key) as out:
                out.write("The answer")
                await trio.sleep(after)
                if ends == "raises":
                    raise KeyError
                scope.cancel() if ends == "cancelled" else setattr(scope, "deadline", -1)
                await trio.sleep(1)
        await gateway.send("bot", "room", "Sorry.")
    assert ["The answer […]", "Sorry."] == channel.texts("room")


async def test_a_broken_stream_whose_text_is_not_accepted_holds_its_program_for_a_moment_only(
    autojump_clock,
):
    outbox = MemoryOutbox()
    append = outbox.append

    async def stored_much_later(entry, on_stored):
        await trio.sleep(100)
        await append(entry, on_stored)

    outbox.append = stored_much_later
    async with open_test_gateway(channel := FakeChannel(), outbox=outbox) as gateway:
        with suppress(KeyError):
            async with gateway.stream(("bot", "room")) as out:
                out.write("The answer")
                await trio.sleep(1)
                began = trio.current_time()
                raise KeyError
        assert 1 == trio.current_time() - began
        await trio.sleep(100)
    assert ["The answer […]"] == channel.texts("room")


class Remembering(Parts):
    """A platform that answers a request as it answered the first one with the same key.

    Every third answer to a change is lost. Matrix knows the keys of all events, edits among them.
    """

    def __init__(self, streaming=None):
        super().__init__(streaming=streaming)
        self.known = {}

    async def _once(self, attempt, perform):
        if attempt.key in self.known:
            return self.known[attempt.key]
        answer = self.known[attempt.key] = await perform(attempt)
        if attempt.message_id is not None and len(self.known) % 3 == 0:
            raise TransportError("the answer is lost", dispatched="unknown")
        return answer

    @hookimpl
    async def send(self, attempt):
        return await self._once(attempt, super().send)

    @hookimpl
    async def edit(self, attempt):
        return await self._once(attempt, super().edit)

    @hookimpl
    async def delete(self, attempt):
        return await self._once(attempt, super().delete)

    @hookimpl
    async def stream(self, attempt):
        return await self._once(attempt, super().stream)


@pytest.mark.parametrize("streaming", [None, Streaming(how="append", most=50)])
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_platform_that_knows_keys_shows_every_state(autojump_clock, streaming, restarts):
    """Each state of a message has a key of its own, and a repeat has the key of its first try."""
    channel, outbox = Remembering(streaming), MemoryOutbox()
    words = [f"word{n}" for n in range(30)]
    with suppress(KeyError):
        async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
            async with gateway.stream(("bot", "room"), key="k") as out:
                for word in words:
                    out.write(f"{word} ")
                    await trio.sleep(3)
                if restarts:
                    raise KeyError
            receipt = await out.finish()
            assert Disposition.DELIVERED == receipt.disposition
    if restarts:
        made = len(channel.made)
        async with open_test_gateway(channel, outbox=outbox):
            await trio.sleep(300)
        assert made < len(channel.made)
    whole = "".join(channel.texts("room"))
    assert whole.split() == ([*words, "[…]"] if restarts else words)


@pytest.mark.parametrize("ends", ["finishes", "breaks off", "is deleted"])
async def test_a_channel_without_edits_shows_a_stream_once_it_is_whole(autojump_clock, ends):
    """It posted the first words, and then the whole text below them."""
    channel = FakeChannel(traits=Traits(edit=False, delete=False))
    on_error = "delete" if ends == "is deleted" else "mark"
    async with open_test_gateway(channel) as gateway:
        with suppress(KeyError):
            async with gateway.stream(("bot", "room"), on_error=on_error) as out:
                out.status("thinking")
                await trio.sleep(2)
                await say(out, "some ", "words ", "more")
                if ends != "finishes":
                    raise KeyError
        with suppress(DeliveryError):
            await out.finish()
    receipt = out.receipt
    shown = {"finishes": ["some words more"], "breaks off": ["some words more […]"]}
    assert shown.get(ends, []) == channel.texts("room")
    assert (UNEDITED in receipt.degradations) == (ends != "is deleted")


async def test_an_edit_leaves_what_a_channel_without_deletes_cannot_remove(autojump_clock):
    channel = Parts(traits=Traits(delete=False))
    async with open_test_gateway(channel) as gateway:
        ref = (await gateway.send("bot", "room", "a" * 50)).ref
        with pytest.raises(DeliveryError) as caught:
            await gateway.edit(ref, "b")
    assert "channel 'fake' has no delete" in str(caught.value)
    assert ["b", "a" * 20, "a" * 10] == channel.texts("room")
