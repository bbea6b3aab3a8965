"""Streams shown natively: drafts that leave nothing, and messages that only grow."""

from __future__ import annotations

import pytest
import trio

from gateway_core import DeliveryError, Disposition, ErrorClass, Reason, Scope, Verdict
from gateway_core.authors import Limit, Part, Streaming, TransportError, hookimpl
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, open_test_gateway

DRAFT = Streaming(how="draft", arguments={"who": "me"})
APPEND = Streaming(how="append", arguments={"who": "me"}, extra=frozenset({"blocks"}))
PART = 20


class Platform(FakeChannel):
    """Nobody edits or deletes a message that still grows."""

    @hookimpl
    async def edit(self, attempt):
        assert attempt.message_id not in self.growing
        return await FakeChannel.edit(self, attempt)

    @hookimpl
    async def delete(self, attempt):
        assert attempt.message_id not in self.growing
        return await FakeChannel.delete(self, attempt)


class Parts(Platform):
    """Messages of twenty characters at the most, by edits."""

    @hookimpl
    def chunk(self, envelope):
        text = envelope.text
        spans = [(at, min(at + PART, len(text))) for at in range(0, len(text), PART)]
        return [Part(payload={"text": text[at:end]}, span=(at, end)) for at, end in spans]


def made(channel, room="room"):
    return [
        (one.attempt.operation, one.attempt.payload.get("text"))
        for one in channel.made
        if one.attempt.room == room
    ]


def operations(channel, room="room"):
    return [operation for operation, _ in made(channel, room)]


def verdict(reason=Reason.UNSUPPORTED, error_class=ErrorClass.NON_RETRYABLE, **fields):
    fields = {"dispatched": "no", **fields}
    return Verdict(error_class=error_class, reason=reason, raw="no", **fields)


def limited(**fields):
    return verdict(Reason.RATE_LIMITED, ErrorClass.RETRYABLE, **fields)


def refusing(operation, error, times=1):
    """A script that refuses the first attempts of an operation."""
    left = times

    async def script(attempt):
        nonlocal left
        if attempt.operation == operation and left > 0:
            left -= 1
            raise error

    return script


async def say(out, *words, pause=2.0):
    for word in words:
        out.write(word)
        await trio.sleep(pause)


# -- drafts


async def test_drafts_show_it_as_it_grows_and_the_whole_is_one_message(autojump_clock):
    channel = Platform(streaming=DRAFT)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room"), extra={"buttons": 1}) as out:
            out.status("searching …")
            await say(out, "The answer", " is", " 42")
            assert channel.rooms["room"] == {}
            assert channel.drafts["room"] == "The answer is 42\n\nsearching …"
        assert out.receipt is not None
        assert [part.message_id for part in out.receipt.parts] == ["1"]
        assert out.receipt.ref is not None
        assert out.receipt.attempts == len(channel.made)
        await gateway.edit(out.receipt.ref, "edited")
    assert channel.texts("room") == ["edited"]
    assert channel.drafts == {}
    assert operations(channel) == ["draft", "draft", "draft", "send", "edit"]
    draft, sent = channel.made[0].attempt, channel.made[3].attempt
    assert draft.arguments == {"who": "me"}
    assert sent.arguments == {}
    assert sent.extra == {"buttons": 1}
    assert len({one.attempt.key for one in channel.made[:3]}) == 1


async def test_a_draft_is_repeated_while_the_model_is_silent(autojump_clock):
    channel = Platform(streaming=DRAFT)
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, "thinking", pause=50)
        await say(out, " still", pause=1)
    times = [round(one.at) for one in channel.made]
    assert times == [0, 20, 40, 50, 51]
    assert channel.texts("room") == ["thinking still"]


async def test_parts_that_are_whole_are_sent_and_the_rest_is_a_draft(autojump_clock):
    channel = Parts(streaming=DRAFT)
    text = "".join(f"{n:03} " for n in range(18))
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, *[text[at : at + 9] for at in range(0, len(text), 9)])
        assert channel.texts("room") == [text[:20], text[20:40], text[40:60]]
        assert channel.drafts["room"] == text[60:].strip()
    assert "".join(channel.texts("room")) == text
    assert operations(channel).count("send") == 4
    assert "edit" not in operations(channel)


async def test_drafts_keep_to_their_pace_and_the_final_waits_for_none(autojump_clock):
    def limits(room, operation):
        return [Limit(f"{operation} {room}", 1, 30.0 if operation == "draft" else 1.0, of="room")]

    channel = Platform(limits=limits, streaming=DRAFT)
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, *["word "] * 40, pause=1.0)
        began = trio.current_time()
        await out.finish()
        assert trio.current_time() - began < 0.1
    assert operations(channel) == ["draft", "draft", "send"]


async def test_a_draft_of_nothing_waits_for_something(autojump_clock):
    channel = Platform(streaming=DRAFT)
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        out.status("searching …")
        await trio.sleep(2)
        out.status("")
        await trio.sleep(50)
        await say(out, "found")
    assert made(channel) == [("draft", "searching …"), ("draft", "found"), ("send", "found")]


@pytest.mark.parametrize("error", [verdict(), verdict(error_class=ErrorClass.FATAL)])
async def test_where_drafts_are_refused_it_goes_by_edits(autojump_clock, error):
    channel = Platform(streaming=DRAFT, script=refusing("draft", Failure(error), 99))
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, "The answer", " is", " 42")
    assert made(channel) == [
        ("draft", "The answer"),
        ("send", "The answer"),
        ("edit", "The answer is"),
        ("edit", "The answer is 42"),
    ]


async def test_a_limited_draft_closes_drafts_and_edits_of_the_room_and_no_message(autojump_clock):
    error = Failure(limited(scope=Scope.ROOM, retry_after=30))
    channel = Platform(streaming=DRAFT, script=refusing("draft", error))
    async with open_test_gateway(channel) as gateway:
        sent = await gateway.send("bot", "room", "before")
        async with gateway.stream(("bot", "room")) as out:
            await say(out, *["word "] * 5, pause=1.0)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(gateway.edit, sent.ref, "edited")
                await gateway.send("bot", "room", "between")
                await out.finish()
                assert trio.current_time() < 6
        assert trio.current_time() == pytest.approx(30, abs=1)
    assert channel.texts("room") == ["edited", "between", "word " * 5]
    assert operations(channel) == ["send", "draft", "send", "send", "edit"]


async def test_a_draft_that_fails_is_tried_again_and_the_final_does_not_wait(autojump_clock):
    error = TransportError("cut", dispatched="unknown")
    channel = Platform(streaming=DRAFT, script=refusing("draft", error, 3))
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, *["word "] * 30, pause=1.0)
        assert channel.drafts["room"].startswith("word")
        channel.script = refusing(
            "draft",
            Failure(verdict(Reason.PLATFORM_ERROR, ErrorClass.RETRYABLE, retry_after=60)),
            9,
        )
        await say(out, "word", pause=3.0)
        began = trio.current_time()
        receipt = await out.finish()
        assert receipt.delivered
        assert not receipt.possible_duplicate
        assert trio.current_time() - began < 0.1
    assert channel.texts("room") == ["word " * 30 + "word"]


@pytest.mark.parametrize(("on_error", "left"), [("mark", ["half an […]"]), ("delete", [])])
async def test_a_drafted_block_that_ends_by_an_exception(autojump_clock, on_error, left):
    channel = Platform(streaming=DRAFT)
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(RuntimeError, match="model"):  # noqa: PT012 - a block is looked at
            async with gateway.stream(("bot", "room"), on_error=on_error) as out:
                await say(out, "half an ")
                raise RuntimeError("the model broke")
        await trio.sleep(2)
        assert out.receipt is not None
        assert out.receipt.disposition is (
            Disposition.CANCELLED if on_error == "delete" else Disposition.DELIVERED
        )
        assert gateway.statistics().unfinished == 0
    assert channel.texts("room") == left


# -- messages that are appended to


async def test_a_message_is_started_appended_to_and_stopped(autojump_clock):
    channel = Platform(streaming=APPEND)
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room"), thread="t", reply_to="9") as out:
            await say(out, "The answer", " is", " 42.")
            assert channel.growing == {"1"}
            out.write(" And more.")
            receipt = await out.finish(extra={"blocks": [1]})
        assert [part.message_id for part in receipt.parts] == ["1"]
        assert receipt.parts[0].span == (0, 27)
        assert receipt.ref is not None
        assert receipt.attempts == 4
        await gateway.edit(receipt.ref, "The answer is 42. And more.")
    assert made(channel) == [
        ("start", "The answer"),
        ("append", " is"),
        ("append", " 42."),
        ("stop", " And more."),
        ("edit", "The answer is 42. And more."),
    ]
    start, stop = channel.made[0].attempt, channel.made[3].attempt
    assert (start.thread, start.reply, start.arguments) == ("t", "9", {"who": "me"})
    assert (stop.message_id, stop.extra) == ("1", {"blocks": [1]})


async def test_what_may_yet_change_is_held_back(autojump_clock):
    channel = Platform(streaming=APPEND)
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        out.status("never shown here")
        await say(out, "It is **", "bold", "** and [a", " link](https://x", ".org) too", ".")
    assert made(channel) == [
        ("start", "It is"),
        ("append", " **bold** and"),
        ("append", " [a link](https://x.org) too"),
        ("append", "."),
        ("stop", ""),
    ]


async def test_a_status_alone_is_shown_by_edits(autojump_clock):
    channel = Platform(streaming=APPEND)
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        out.status("searching …")
        await trio.sleep(2)
        await say(out, "found")
    assert operations(channel) == ["send", "edit", "edit"]
    assert channel.texts("room") == ["found"]


@pytest.mark.parametrize("how", ["replaced", "finished otherwise", "fields", "too long"])
async def test_what_cannot_be_appended_is_edited_once_it_is_stopped(autojump_clock, how):
    most = 30 if how == "too long" else 12_000
    channel = Platform(streaming=Streaming(how="append", most=most))
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, "one", " two")
        if how == "replaced":
            out.replace("three")
            await trio.sleep(2)
            assert channel.texts("room") == ["three"]
            await say(out, " four")
        elif how == "finished otherwise":
            await out.finish("three four")
        elif how == "too long":
            await say(out, " three" * 5, " end")
        else:
            await out.finish(extra={"buttons": 2})
    left = {"fields": "one two", "too long": "one two" + " three" * 5 + " end"}
    assert channel.texts("room") == [left.get(how, "three four")]
    assert operations(channel)[:3] == ["start", "append", "stop"]
    assert set(operations(channel)[3:]) == {"edit"}
    assert not channel.growing


async def test_it_is_stopped_in_time_and_goes_on_by_edits(autojump_clock):
    channel = Platform(streaming=APPEND)
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, "one", " two")
        await trio.sleep(300)
        assert [round(one.at) for one in channel.made] == [0, 2, 240]
        await say(out, " three")
    assert operations(channel) == ["start", "append", "stop", "edit"]
    assert channel.texts("room") == ["one two three"]


async def test_it_grows_into_several_messages_once_it_is_stopped(autojump_clock):
    channel = Parts(streaming=Streaming(how="append", most=50))
    text = "".join(f"{n:03} " for n in range(30))
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, *[text[at : at + 7] for at in range(0, len(text), 7)], pause=1.0)
    assert "".join(channel.texts("room")) == text
    assert len(channel.texts("room")) == 6


@pytest.mark.parametrize("error_class", [ErrorClass.NON_RETRYABLE, ErrorClass.FATAL])
async def test_where_none_can_be_started_it_goes_by_edits_at_once(autojump_clock, error_class):
    error = Failure(verdict(error_class=error_class, scope=Scope.OPERATION))
    channel = Platform(streaming=APPEND, script=refusing("start", error))
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, "The answer", " is 42")
    assert made(channel) == [
        ("start", "The answer"),
        ("send", "The answer"),
        ("edit", "The answer is 42"),
    ]
    assert channel.times[1] - channel.times[0] < 0.1


async def test_a_limited_start_goes_by_edits_and_so_do_those_after_it(autojump_clock):
    error = Failure(limited(scope=Scope.OPERATION, retry_after=30))
    channel = Platform(streaming=APPEND, script=refusing("start", error))
    async with open_test_gateway(channel) as gateway:
        for room in ("room", "other"):
            async with gateway.stream(("bot", room)) as out:
                await say(out, "The answer", " is 42")
        await trio.sleep(30)
        async with gateway.stream(("bot", "third")) as out:
            await say(out, "The answer")
    assert operations(channel) == ["start", "send", "edit"]
    assert operations(channel, "other") == ["send", "edit"]
    assert operations(channel, "third") == ["start", "stop"]


async def test_an_unknown_start_is_sent_anew_and_may_be_a_copy(autojump_clock):
    error = TransportError("cut", dispatched="unknown")
    channel = Platform(streaming=APPEND, script=refusing("start", error))
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, *["word "] * 9)
        assert out.receipt is not None
        assert out.receipt.possible_duplicate
    assert channel.texts("room") == ["word " * 9]
    assert operations(channel)[:2] == ["start", "send"]


@pytest.mark.parametrize("operation", ["append", "stop"])
async def test_after_an_unknown_outcome_it_is_stopped_and_set_right(autojump_clock, operation):
    """What may have been appended already is not appended again."""
    error = TransportError("cut", dispatched="unknown")
    channel = Platform(streaming=APPEND, script=refusing(operation, error))
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "one", " two", " three")
            out.write(" four")
        assert out.receipt is not None
        assert out.receipt.delivered
    assert channel.texts("room") == ["one two three four"]
    assert not channel.growing
    assert operations(channel).count("edit") >= (operation == "append")


async def test_its_reader_stops_it_and_nothing_more_is_shown_until_it_is_whole(autojump_clock):
    error = Failure(verdict(Reason.STOPPED))
    channel = Platform(streaming=APPEND, script=refusing("append", error))
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, "one")
        assert not out.stopped
        await say(out, " two")
        assert out.stopped
        channel.growing.clear()
        await say(out, " three")
        assert operations(channel) == ["start", "append"]
    assert channel.texts("room") == ["one two three"]
    assert operations(channel) == ["start", "append", "edit"]


async def test_its_platform_ends_it(autojump_clock):
    error = Failure(verdict(Reason.STREAM_ENDED))
    channel = Platform(streaming=APPEND, script=refusing("append", error))
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, "one")
        channel.growing.clear()
        await say(out, " two", " three")
        assert not out.stopped
    assert operations(channel) == ["start", "append", "edit", "edit"]
    assert channel.texts("room") == ["one two three"]


@pytest.mark.parametrize("operation", ["append", "stop"])
async def test_a_refused_piece_is_left_to_an_edit(autojump_clock, operation):
    error = Failure(verdict(Reason.BAD_FORMAT, transform="plain"))
    if operation == "stop":
        error = Failure(verdict(Reason.BAD_FORMAT))
    channel = Platform(streaming=APPEND, script=refusing(operation, error))
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, "one", " two")
        out.write(" three")
    assert channel.texts("room") == ["one two three"]
    assert operations(channel)[-1] == "edit"
    assert not channel.growing


async def test_one_that_has_vanished_is_posted_anew_once(autojump_clock):
    error = Failure(verdict(Reason.MESSAGE_GONE))
    channel = Platform(streaming=APPEND, script=refusing("append", error))
    async with open_test_gateway(channel) as gateway:
        async with gateway.stream(("bot", "room")) as out:
            await say(out, "one", " two", " three")
        assert out.receipt is not None
        assert [part.message_id for part in out.receipt.parts] == ["2"]
        assert "posted anew: its message was gone" in out.receipt.degradations
    assert channel.rooms["room"]["2"] == "one two three"


async def test_a_held_append_delays_no_stop(autojump_clock):
    error = Failure(limited(scope=Scope.OPERATION, retry_after=60))
    channel = Platform(streaming=APPEND, script=refusing("append", error))
    async with open_test_gateway(channel) as gateway, gateway.stream(("bot", "room")) as out:
        await say(out, "one", " two", " three")
        await out.finish()
        assert trio.current_time() == pytest.approx(6, abs=0.1)
    assert operations(channel) == ["start", "append", "stop"]
    assert channel.texts("room") == ["one two three"]


@pytest.mark.parametrize(("on_error", "left"), [("mark", ["half an […]"]), ("delete", [])])
async def test_an_appended_block_that_ends_by_an_exception(autojump_clock, on_error, left):
    channel = Platform(streaming=APPEND)
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(RuntimeError, match="model"):  # noqa: PT012 - a block is looked at
            async with gateway.stream(("bot", "room"), on_error=on_error) as out:
                await say(out, "half", " an ")
                raise RuntimeError("the model broke")
        await trio.sleep(2)
        assert out.receipt is not None
        assert gateway.statistics().unfinished == 0
    assert channel.texts("room") == left
    assert not channel.growing


# -- the budget


def slack_like(room, operation):
    counts = {"edit": 50, "start": 20, "append": 100, "stop": 20}
    if operation in counts:
        return [Limit(operation, counts[operation], 60, "window")]
    return [Limit(f"post {room}", 1, 1.0, of="room")]


async def test_so_many_go_natively_as_can_be_stopped_and_the_others_by_edits(autojump_clock):
    channel = Platform(limits=slack_like, latency=0.05, streaming=APPEND)
    late = []

    async def answer(gateway, number):
        async with gateway.stream(("bot", f"room {number}")) as out:
            await say(out, *["word "] * 30, pause=1.0)
            ended = trio.current_time()
            await out.finish()
            late.append(trio.current_time() - ended)

    async with open_test_gateway(channel) as gateway:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for number in range(30):
                    nursery.start_soon(answer, gateway, number)
    assert max(late) < 0.5
    starts = [one.at for one in channel.made if one.attempt.operation == "start"]
    assert len([at for at in starts if at < 30]) == 20
    assert channel.texts("room 7") == ["word " * 30] * 2


# -- the next run


async def _never(_attempt):
    await trio.sleep_forever()


@pytest.mark.parametrize("how", [DRAFT, APPEND])
@pytest.mark.parametrize("under_way", [False, True])
async def test_the_next_run_finishes_it_with_the_newest_text(autojump_clock, how, under_way):
    outbox, channel = MemoryOutbox(), Platform(latency=0.2, streaming=how)
    with trio.move_on_after(9.0) as stopped:
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            opening = gateway.stream(("bot", "room"), broken_off=" …")
            out = await opening.__aenter__()
            await say(out, *[f"{n} " for n in range(10)], pause=0.5)
            if under_way:
                channel.script = _never
            await say(out, *[f"{n} " for n in range(10, 15)], pause=0.5)
            await trio.sleep_forever()
    assert stopped.cancelled_caught
    channel.script = None
    assert out.ticket is not None
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(20)
        status = await gateway.status(out.ticket)
        assert status is not None
        assert status.receipt is not None
        assert status.receipt.delivered
        assert not status.receipt.possible_duplicate
    assert channel.texts("room") == ["0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 …"]
    assert not channel.growing


async def test_a_start_that_was_cut_off_is_sent_by_the_next_run(autojump_clock):
    outbox, channel = MemoryOutbox(), Platform(script=_never, streaming=APPEND)
    with trio.move_on_after(5.0):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            out = await gateway.stream(("bot", "room")).__aenter__()
            await say(out, "one", " two")
            await trio.sleep_forever()
    channel.script = None
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(20)
        status = await gateway.status(out.ticket)
        assert status.receipt.delivered
        assert status.receipt.possible_duplicate
    assert channel.texts("room") == ["one two […]"]


async def test_one_that_expires_says_so_and_leaves_what_was_shown(autojump_clock):
    channel = Platform(streaming=APPEND)
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(DeliveryError) as raised:  # noqa: PT012 - a block is looked at
            async with gateway.stream(("bot", "room"), ttl=10) as out:
                await say(out, "one", " two")
                channel.script = _closed
                out.write(" three")
                await out.finish()
        assert raised.value.receipt.disposition is Disposition.EXPIRED


async def _closed(_attempt):
    raise Failure(verdict(Reason.PLATFORM_ERROR, ErrorClass.RETRYABLE, retry_after=3))


async def test_streams_that_say_nothing_take_no_share_of_the_appends(autojump_clock):
    """Twelve a minute: the one that goes on is shown twelve times beside three that are silent."""

    def limits(_room, operation):
        return [Limit("append", 12, 60.0, "window")] if operation == "append" else []

    channel = Platform(streaming=APPEND, limits=limits)

    async def silent(room):
        async with gateway.stream(("bot", room)) as out:
            out.write("one word ")
            await trio.sleep(100)

    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(silent, f"silent {number}")
        async with gateway.stream(("bot", "room")) as out:
            for number in range(120):
                out.write(f"word{number} ")
                await trio.sleep(0.5)
            assert 12 == operations(channel).count("append")
        nursery.cancel_scope.cancel()


async def test_an_append_comes_after_every_message_that_waits(autojump_clock):
    """Ten messages that come at once at one a second: the tenth begins nine seconds later."""
    channel = Platform(streaming=APPEND, limits=lambda _room, _op: [Limit("account", 1, 1.0)])

    async def talk():
        async with gateway.stream(("bot", "room")) as out:
            while True:
                out.write("word ")
                await trio.sleep(0.1)

    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(talk)
        await trio.sleep(5)
        began = trio.current_time()
        async with trio.open_nursery() as messages:
            for number in range(10):
                messages.start_soon(gateway.send, "bot", f"{number}", "hello")
        assert 9 == pytest.approx(trio.current_time() - began, abs=0.1)
        assert operations(channel).count("append") >= 3
        nursery.cancel_scope.cancel()
