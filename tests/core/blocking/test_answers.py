"""Replies, typing, streams and groups out of code that blocks."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from bridged import SOON, Held, config

from gateway_core import Disposition, GatewayClosed, Invalid, Send, UnknownEvent
from gateway_core.authors import Verdict
from gateway_core.blocking import Job, Stream, Ticket, open_gateway
from gateway_core.bridge import hosted
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, event


@pytest.fixture(params=[FakeChannel])
def channel(request):
    return request.param()


@pytest.fixture
def gateway(channel):
    with open_gateway(config(), plugins=[("fake", channel)]) as gateway:
        yield gateway


def until(holds):
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)  # noqa: TID251 - another thread's


def test_an_event_is_answered_where_it_came_from_and_once(gateway, channel):
    first, again = [gateway.reply(event(id="e1", thread="t"), "hello") for _ in range(2)]
    assert (False, True) == (first.replayed, again.replayed)
    assert ["hello"] == channel.texts("room")
    with pytest.raises(UnknownEvent):
        gateway.reply({}, "nobody", timeout=SOON)


def test_typing_is_shown_while_the_block_runs(gateway, channel):
    with gateway.typing(event()) as nothing:
        assert nothing is None
        until(lambda: channel.typed)
    with pytest.raises(UnknownEvent), gateway.typing({}):
        pass


def test_what_is_written_arrives_whole_and_no_write_waits_for_the_gateway_s_thread(
    gateway, channel
):
    free = threading.Event()
    with gateway.stream(event()) as out:
        assert isinstance(out, Stream)
        gateway._home.tell(lambda _: None, lambda: free.wait(SOON))
        try:
            for n in range(100):  # the gateway's thread stands still
                out.write(f"{n} ")
            out.status("searching")
        finally:
            free.set()
        until(lambda: out.ticket is not None)
        assert isinstance(out.ticket, Ticket)
        assert not out.stopped
    assert Disposition.DELIVERED == out.receipt.disposition
    assert ["".join(f"{n} " for n in range(100))] == channel.texts("room")


def test_threads_that_write_at_once_stay_within_the_bound(gateway, channel):
    def write(_):
        try:
            out.write("x")
        except Invalid:
            return 0
        return 1

    with gateway.stream(("bot", "room"), max_text=50) as out, ThreadPoolExecutor(4) as threads:
        assert 50 == sum(threads.map(write, range(200)))
    assert ["x" * 50] == channel.texts("room")


def test_a_text_that_cannot_be_said_is_refused_at_once(gateway, channel):
    with gateway.stream(("bot", "room"), max_text=5) as out:
        out.write("abc")
        for wrong in ("def", 3, "\ud800"):
            with pytest.raises(Invalid, match="text"):
                out.write(wrong)
        out.replace("abcde")
        with pytest.raises(Invalid):
            out.finish("abcdef")
    assert ["abcde"] == channel.texts("room")
    with pytest.raises(Invalid, match="on_error"), gateway.stream(event(), on_error="shout"):
        pass


def test_chunks_are_read_by_the_thread_that_asked(gateway, channel):
    seen = []

    def chunks():
        try:
            for word in ("one ", "two"):
                seen.append(threading.current_thread())
                yield word
        finally:
            seen.append("closed")

    assert gateway.stream(event(), chunks()).delivered
    assert ["one two"] == channel.texts("room")
    assert [threading.main_thread()] * 2 + ["closed"] == seen


def test_what_gives_no_texts_is_refused_before_anything_is_shown(gateway, channel):
    async def of_asyncio():
        yield "one"  # pragma: no cover

    asked = event(asked="command")
    with pytest.raises(Invalid, match=r"chunks: must be an iterable .* not async_generator"):
        gateway.stream(asked, of_asyncio())
    gateway.stream(asked, ["one"])
    assert ["one"] == channel.texts("room")


def test_the_end_of_the_block_finishes_what_a_refused_finish_did_not(gateway, channel):
    with gateway.stream(("bot", "room")) as out:
        out.write("some")
        with pytest.raises(Invalid, match="buttons"):
            out.finish(buttons=5)
        out.write(" more")
    assert out.receipt.delivered
    assert ["some more"] == channel.texts("room")


@pytest.mark.parametrize(("on_error", "left"), [("mark", ["so far […]"]), ("delete", [])])
def test_a_block_that_raises_breaks_the_stream_off(gateway, channel, on_error, left):
    def answers():
        with gateway.stream(("bot", "room"), on_error=on_error) as out:
            out.write("so far")
            until(lambda: channel.texts("room"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answers()
    gateway.close()
    assert left == channel.texts("room")


@pytest.mark.parametrize("channel", [Held], indirect=True)
@pytest.mark.parametrize("chunks", [None, ["all of it"]])
def test_who_waits_no_longer_takes_nothing_back(gateway, channel, chunks):
    def answers():
        if chunks is not None:
            gateway.stream(("bot", "room"), chunks, timeout=0.01)
        with gateway.stream(("bot", "room"), timeout=0.01) as out:
            out.write("all of it")

    with pytest.raises(TimeoutError):
        answers()
    channel.let_go()
    gateway.close()
    assert ["all of it"] == channel.texts("room")


@pytest.mark.parametrize("how", ["block", "timeout", "finish", "raises"])
@pytest.mark.parametrize("kept", [False, True])
def test_a_stream_that_is_open_as_the_gateway_closes_ends_as_its_message_did(
    monkeypatch, how, kept
):
    monkeypatch.setattr(hosted, "LAST_ANSWERS", 0.01)
    channel, outbox = (Held(), MemoryOutbox()) if kept else (FakeChannel(), None)
    settings = config(drain_timeout=0.01) if kept else config()
    gateway = open_gateway(settings, plugins=[("fake", channel)], outbox=outbox)

    def answering():
        timeout = SOON if how == "timeout" else None
        with gateway.stream(("bot", "room"), timeout=timeout) as out:
            out.write("so far")
            until(lambda: out.ticket is not None)
            gateway.close()
            if how == "raises":
                raise LookupError
            if how == "finish":
                assert out.finish() == out.receipt
        return out.receipt

    if how == "raises":
        with pytest.raises(LookupError):
            answering()
    elif kept:
        with pytest.raises(GatewayClosed) as caught:
            answering()
        assert caught.value.kept
    else:
        assert answering().delivered
        assert ["so far […]"] == channel.texts("room")


def test_a_stream_of_a_gateway_that_has_closed_says_so(gateway):
    gateway.close()
    with pytest.raises(GatewayClosed), gateway.stream(("bot", "room")):
        pass


def test_a_stream_that_was_open_before_a_fork_says_so_in_the_child(gateway, channel):
    with gateway.stream(("bot", "room")) as out:
        out.write("so far")
        if (child := os.fork()) == 0:
            try:
                out.write("and from the child")
            except RuntimeError:
                os._exit(7)
            os._exit(1)
        assert 7 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ["so far"] == channel.texts("room")


def test_many_rooms_are_a_job_and_what_failed_is_tried_again(gateway, channel):
    fails, read = [True], []

    async def script(attempt):
        if attempt.room == "r1" and fails:
            raise Failure(Verdict(error_class="non_retryable", reason="room_gone", raw="gone"))

    def rooms():
        for n in range(3):
            read.append(threading.current_thread())
            yield f"r{n}"

    channel.script = script
    job = gateway.broadcast("bot", rooms(), "news", key="june")
    assert isinstance(job, Job)
    assert {threading.main_thread()} == set(read)
    assert {"delivered": 2, "rejected": 1} == dict(job.wait(timeout=SOON).counts)
    assert ["r1"] == [receipt.external_room_id for receipt in job.failed()]
    fails.clear()
    assert 1 == job.retry()
    assert {"delivered": 3} == dict(job.wait().counts)
    found = gateway.group(instance="bot", key="june")
    assert (job.id, "june", "bot") == (found.id, found.key, found.instance_id)
    assert [job.id] == [each.id for each in gateway.groups("bot")]
    assert gateway.group("none") is None
    with pytest.raises(Invalid, match="rooms"):
        gateway.broadcast("bot", "r1", "news")


@pytest.mark.parametrize("channel", [Held], indirect=True)
def test_envelopes_are_a_job_that_is_held_and_ended(gateway, channel):
    many = [Send(instance_id="bot", external_room_id=f"r{n}", text="hi") for n in range(1_000)]
    rooms = (each.external_room_id for each in many)
    assert 1_000 == gateway.foresee_broadcast(many[0], rooms).members
    job = gateway.submit_many(iter(many), group="g")
    assert job.pause().paused
    assert not job.resume().paused
    with pytest.raises(TimeoutError):
        job.wait(timeout=0.01)
    assert job.cancel().cancelled
    channel.let_go()
    assert job.wait().ended
    assert 1_000 == job.progress().done
