"""A broadcast through the outbox in a file: paced, held, tried again, and on after a restart."""

from __future__ import annotations

import apsw
import pytest
import trio
from broadcasting import got, paced, rooms

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import (
    Disposition,
    ErrorClass,
    File,
    GatewayClosed,
    IdempotencyConflict,
    Reason,
    Send,
    Verdict,
)
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall

GONE = Verdict(
    error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE, dispatched="no", raw="gone"
)


@pytest.fixture
def outbox(tmp_path):
    """As virtual worlds have it: no thread, and the time is theirs."""
    settings = SqliteSettings(in_thread=False)
    return SqliteOutbox(tmp_path / "outbox.db", settings, wall_clock=virtual_wall)


async def test_each_room_gets_it_once_in_the_time_of_the_limits(outbox, autojump_clock):
    channel = paced(latency=0.1)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        began = trio.current_time()
        job = await gateway.broadcast("bot", rooms(600), "news")
        progress = await job.wait()
        assert 20 == pytest.approx(trio.current_time() - began, rel=0.01)
    assert {Disposition.DELIVERED: 600} == dict(progress.counts)
    assert dict.fromkeys(rooms(600), 1) == got(channel)


async def test_a_next_run_goes_on_where_it_was_paused(outbox, autojump_clock):
    channel = paced()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        job = await gateway.broadcast("bot", rooms(300), "news", key="june")
        await trio.sleep(3)
        assert (await job.pause()).paused
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(60)
        assert len(got(channel)) < 150
        with pytest.raises(IdempotencyConflict):
            await gateway.broadcast("bot", rooms(299), "news", key="june")
        again = await gateway.broadcast("bot", rooms(300), "news", key="june")
        assert job.id == again.id
        await again.resume()
        assert {Disposition.DELIVERED: 300} == dict((await again.wait()).counts)
    assert dict.fromkeys(rooms(300), 1) == got(channel)


async def test_just_those_that_failed_are_tried_again(outbox, autojump_clock):
    """In a later run as well; the others get nothing twice."""

    async def script(attempt):
        if attempt.room.endswith("7"):
            raise Failure(GONE)

    channel = paced(script=script)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        job = await gateway.broadcast("bot", rooms(200), "news")
        progress = await job.wait()
        assert (20, 180) == (progress.failed, progress.counts[Disposition.DELIVERED])
    channel.script = None
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        job = await gateway.group(job.id)
        failed = [each.external_room_id async for each in job.failed()]
        assert [f"room{n}" for n in range(7, 200, 10)] == failed
        assert 20 == await job.retry()
        progress = await job.wait()
        assert ({Disposition.DELIVERED: 200}, 0) == (dict(progress.counts), progress.failed)
        assert gateway.statistics().conserved
    assert dict.fromkeys(rooms(200), 1) == got(channel)


async def test_what_has_expired_has_its_time_again(outbox, autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        gateway.suspend("bot")
        job = await gateway.broadcast("bot", rooms(20), "news", ttl=60)
        await trio.sleep(100)
        gateway.resume("bot")
        assert {Disposition.EXPIRED: 20} == dict((await job.wait()).counts)
        await job.retry()
        assert {Disposition.DELIVERED: 20} == dict((await job.wait()).counts)


async def test_envelopes_of_their_own_are_stored_with_the_group(outbox, autojump_clock):
    channel = paced()
    some = [Send(instance_id="bot", external_room_id=f"room{n}", text=f"t{n}") for n in range(90)]
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        job = await gateway.submit_many(some, group="june")
        await trio.sleep(1)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        job = await gateway.group(instance="bot", key="june")
        assert {Disposition.DELIVERED: 90} == dict((await job.wait()).counts)
    assert [[f"t{n}"] for n in range(90)] == [channel.texts(f"room{n}") for n in range(90)]


async def test_a_cancelled_group_stays_cancelled(outbox, autojump_clock):
    channel = paced()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        job = await gateway.broadcast("bot", rooms(300), "news")
        await trio.sleep(1)
        progress = await job.cancel()
        assert progress.cancelled
        counts = (await job.wait()).counts
        assert 300 == sum(counts.values())
    sent = len(channel.made)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(60)
        assert 0 == gateway.statistics().groups
    assert sent == len(channel.made) == counts[Disposition.DELIVERED]


async def test_the_files_of_a_group_are_stored_once_until_no_room_needs_them(
    outbox, tmp_path, autojump_clock
):
    """Over a restart, and for as long as what failed may be tried again."""
    large, small = bytes(300_000), b"small"
    files = [File(large, name="large.bin"), File(small, name="small.txt")]

    async def script(attempt):
        if attempt.room == "room7":
            raise Failure(GONE)

    def stored():
        there = apsw.Connection(str(tmp_path / "outbox.db")).execute("SELECT count(*) FROM bytes")
        return there.get, len(list((tmp_path / "outbox.db.bytes").glob("*")))

    channel = paced(script=script)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        job = await gateway.broadcast("bot", rooms(60), "news", files=files)
        await trio.sleep(1)
        await job.pause()
        assert (2, 1) == stored()
    assert (2, 1) == stored()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        job = await gateway.group(job.id)
        await job.resume()
        assert 1 == (await job.wait()).failed
        assert (2, 1) == stored()
        channel.script = None
        await job.retry()
        assert {Disposition.DELIVERED: 60} == dict((await job.wait()).counts)
    assert (0, 0) == stored()
    assert dict.fromkeys(rooms(60), 1) == got(channel)
    assert {large, small} == set(channel.contents.values())
    assert {2} == {len(names) for names in channel.files.values()}


@pytest.mark.parametrize("asked", ["progress", "pause", "resume", "cancel", "retry", "wait"])
async def test_a_handle_says_after_the_close_that_the_group_is_stored(
    asked, outbox, autojump_clock
):
    """Not that the file, which has closed as well, cannot be read."""
    async with open_test_gateway(paced(), outbox=outbox, drain_timeout=0.0) as gateway:
        job = await gateway.broadcast("bot", rooms(300), "news")
    with trio.fail_after(5), pytest.raises(GatewayClosed) as closed:
        await getattr(job, asked)()
    assert closed.value.kept


async def test_failures_cannot_be_listed_after_the_close(outbox, autojump_clock):
    async with open_test_gateway(paced(), outbox=outbox, drain_timeout=0.0) as gateway:
        job = await gateway.broadcast("bot", rooms(300), "news")
    with pytest.raises(GatewayClosed) as closed:
        await anext(job.failed())
    assert closed.value.kept
