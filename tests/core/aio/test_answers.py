"""Replies, typing, streams and groups out of a program on asyncio."""

import asyncio  # noqa: TID251 - what is tested
import threading

import pytest
from bridged import SOON, Held, config

from gateway_core import Disposition, GatewayClosed, Invalid, Send, UnknownEvent
from gateway_core.aio import Job, Stream, Ticket, open_gateway
from gateway_core.authors import Verdict
from gateway_core.bridge import hosted
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, event


def run(main, channel=None, **settings):
    channel = FakeChannel() if channel is None else channel

    async def whole():
        async with open_gateway(config(**settings), plugins=[("fake", channel)]) as gateway:
            return await asyncio.wait_for(main(gateway), SOON)

    return asyncio.run(whole())


async def until(holds):
    while not holds():  # noqa: ASYNC110 - another thread's
        await asyncio.sleep(0.005)


def test_an_event_is_answered_where_it_came_from_and_once():
    channel, asked = FakeChannel(), [event(id="e1", thread="t") for _ in range(2)]

    async def main(gateway):
        first, again = [await gateway.reply(each, "hello") for each in asked]
        assert (False, True) == (first.replayed, again.replayed)
        with pytest.raises(UnknownEvent):
            await gateway.reply({}, "nobody")

    run(main, channel)
    assert ["hello"] == channel.texts("room")
    assert "t" == channel.made[0].attempt.thread


def test_typing_is_shown_while_the_block_runs():
    channel = FakeChannel()

    async def main(gateway):
        async with gateway.typing(event()) as nothing:
            assert nothing is None
            await until(lambda: channel.typed)
        with pytest.raises(UnknownEvent):
            async with gateway.typing({}):
                pass

    run(main, channel)


def test_what_is_written_arrives_whole_and_no_write_waits_for_the_gateway_s_thread():
    channel, free = FakeChannel(), threading.Event()

    async def main(gateway):
        async with gateway.stream(event()) as out:
            assert isinstance(out, Stream)
            gateway._home.tell(lambda _: None, lambda: free.wait(SOON))
            try:
                for n in range(100):  # the gateway's thread stands still
                    out.write(f"{n} ")
                out.status("searching")
            finally:
                free.set()
            await until(lambda: out.ticket is not None)
            assert isinstance(out.ticket, Ticket)
            assert out.receipt is None
            assert not out.stopped
        assert Disposition.DELIVERED == out.receipt.disposition
        assert out.stopped

    run(main, channel)
    assert ["".join(f"{n} " for n in range(100))] == channel.texts("room")


def test_a_text_that_cannot_be_said_is_refused_at_once():
    channel = FakeChannel()

    async def main(gateway):
        async with gateway.stream(("bot", "room"), max_text=5) as out:
            out.write("abc")
            for wrong in ("def", 3, "\ud800"):
                with pytest.raises(Invalid, match="text"):
                    out.write(wrong)
            with pytest.raises(Invalid):
                out.status("searching")
            out.replace("abcde")
            with pytest.raises(Invalid):
                out.write("f")
            with pytest.raises(Invalid):
                await out.finish("abcdef")
        with pytest.raises(Invalid, match="on_error"):
            async with gateway.stream(event(), on_error="shout"):
                pass

    run(main, channel)
    assert ["abcde"] == channel.texts("room")


def test_chunks_are_read_in_the_loop_that_asked():
    channel, seen = FakeChannel(), []

    async def chunks():
        try:
            for word in ("one ", "two"):
                seen.append(threading.current_thread())
                await asyncio.sleep(0)
                yield word
        finally:
            seen.append("closed")

    async def main(gateway):
        receipt = await gateway.stream(event(), chunks())
        assert receipt.delivered
        with pytest.raises(TypeError, match="`await` it"):
            async with gateway.stream(event(), chunks()):
                pass
        with pytest.raises(TypeError, match="cannot be awaited"):
            await gateway.stream(event())

    run(main, channel)
    assert ["one two"] == channel.texts("room")
    assert [threading.main_thread()] * 2 + ["closed"] == seen


def test_what_gives_no_texts_is_refused_before_anything_is_shown():
    channel = FakeChannel()

    async def chunks():
        yield "one"

    async def main(gateway):
        asked = event(asked="command")
        with pytest.raises(Invalid, match=r"chunks: must be an async .* not list_iterator"):
            await gateway.stream(asked, iter(["one"]))
        with pytest.raises(Invalid, match="not function: call it"):
            await gateway.stream(asked, chunks)
        await gateway.stream(asked, chunks())

    run(main, channel)
    assert ["one"] == channel.texts("room")


@pytest.mark.parametrize(("on_error", "left"), [("mark", ["so far […]"]), ("delete", [])])
def test_a_block_that_is_cancelled_breaks_the_stream_off(on_error, left):
    channel = FakeChannel()

    async def main(gateway):
        async def answering():
            async with gateway.stream(("bot", "room"), on_error=on_error) as out:
                out.write("so far")
                await asyncio.sleep(1e6)

        task = asyncio.ensure_future(answering())
        await until(lambda: channel.texts("room"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main, channel)
    assert left == channel.texts("room")


def test_who_is_cancelled_as_he_finishes_takes_nothing_back():
    channel = Held()

    async def main(gateway):
        async def answering():
            async with gateway.stream(("bot", "room")) as out:
                out.write("all of it")
                await out.finish()

        task = asyncio.ensure_future(answering())
        await until(channel.begun.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        channel.let_go()

    run(main, channel)
    assert ["all of it"] == channel.texts("room")


def test_who_gives_up_at_once_has_said_that_it_is_whole():
    channel = FakeChannel()

    async def main(gateway):
        async with gateway.stream(("bot", "room")) as out:
            out.write("so far")
            finishing = asyncio.ensure_future(out.finish("all of it"))
            await asyncio.sleep(0)
            finishing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await finishing
            out.write(" and more")

    run(main, channel)
    assert ["all of it"] == channel.texts("room")


@pytest.mark.parametrize("how", ["block", "finish", "raises"])
@pytest.mark.parametrize("kept", [False, True])
def test_a_stream_that_is_open_as_the_gateway_closes_ends_as_its_message_did(
    monkeypatch, how, kept
):
    monkeypatch.setattr(hosted, "LAST_ANSWERS", 0.01)
    channel = Held() if kept else FakeChannel()
    opened, closed = asyncio.Event(), asyncio.Event()
    settings = {"drain_timeout": 0.01} if kept else {}

    async def answering(gateway):
        async with gateway.stream(("bot", "room")) as out:
            out.write("so far")
            await until(lambda: out.ticket is not None)
            opened.set()
            await closed.wait()
            if how == "raises":
                raise LookupError
            if how == "finish":
                assert await out.finish() == out.receipt
        return out.receipt

    async def whole():
        outbox = MemoryOutbox() if kept else None
        given = {"plugins": [("fake", channel)], "outbox": outbox}
        async with open_gateway(config(**settings), **given) as gateway:
            task = asyncio.ensure_future(answering(gateway))
            await opened.wait()
        closed.set()
        return await task

    if how == "raises":
        with pytest.raises(LookupError):
            asyncio.run(whole())
    elif kept:
        with pytest.raises(GatewayClosed) as caught:
            asyncio.run(whole())
        assert caught.value.kept
    else:
        assert asyncio.run(whole()).delivered
        assert ["so far […]"] == channel.texts("room")


def test_a_stream_with_chunks_that_nobody_awaits_warns_as_a_coroutine_does():
    async def chunks():
        yield "lost"

    async def main(gateway):
        left = gateway.stream(("bot", "room"), chunks())
        with pytest.warns(RuntimeWarning, match="never awaited"):
            del left
        gateway.stream(("bot", "room"))

    run(main)


def test_the_end_of_the_block_finishes_what_a_refused_finish_did_not():
    channel = FakeChannel()

    async def main(gateway):
        async with gateway.stream(("bot", "room")) as out:
            out.write("some")
            with pytest.raises(Invalid, match="buttons"):
                await out.finish(buttons=5)
            out.write(" more")
        assert out.receipt.delivered

    run(main, channel)
    assert ["some more"] == channel.texts("room")


def test_a_stream_of_a_gateway_that_has_closed_says_so():
    async def whole():
        async with open_gateway(config(), plugins=[("fake", FakeChannel())]) as gateway:
            pass
        with pytest.raises(GatewayClosed):
            async with gateway.stream(("bot", "room")):
                pass
        return gateway

    gateway = asyncio.run(whole())

    async def elsewhere():
        with pytest.raises(RuntimeError, match="another one is running"):
            async with gateway.stream(("bot", "room")):
                pass

    asyncio.run(elsewhere())


def test_many_rooms_are_a_job_and_what_failed_is_tried_again():
    gone = Verdict(error_class="non_retryable", reason="room_gone", raw="gone")

    async def script(attempt):
        if attempt.room == "r1" and fails:
            raise Failure(gone)

    channel, fails, read = FakeChannel(script=script), [True], []

    def rooms():
        for n in range(3):
            read.append(threading.current_thread())
            yield f"r{n}"

    async def main(gateway):
        job = await gateway.broadcast("bot", rooms(), "news", key="june")
        assert isinstance(job, Job)
        assert {"delivered": 2, "rejected": 1} == dict((await job.wait()).counts)
        assert ["r1"] == [receipt.external_room_id async for receipt in job.failed()]
        fails.clear()
        assert 1 == await job.retry()
        assert {"delivered": 3} == dict((await job.wait()).counts)
        found = await gateway.group(instance="bot", key="june")
        assert (job.id, "june", "bot") == (found.id, found.key, found.instance_id)
        assert [job.id] == [each.id for each in await gateway.groups("bot")]
        assert await gateway.group("none") is None
        with pytest.raises(Invalid, match="rooms"):
            await gateway.broadcast("bot", "r1", "news")

    run(main, channel)
    assert {threading.main_thread()} == set(read)


def test_envelopes_are_a_job_that_is_held_and_ended():
    channel = Held()
    many = [Send(instance_id="bot", external_room_id=f"r{n}", text="hi") for n in range(1_000)]

    async def main(gateway):
        forecast = await gateway.foresee_broadcast(
            many[0], (each.external_room_id for each in many)
        )
        assert 1_000 == forecast.members
        job = await gateway.submit_many(iter(many), group="g")
        assert (await job.pause()).paused
        assert not (await job.resume()).paused
        assert (await job.cancel()).cancelled
        channel.let_go()
        assert (await job.wait()).ended
        assert (await job.progress()).done == 1_000

    run(main, channel)
