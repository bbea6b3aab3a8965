"""Files of many messages: stored once, sent to each room, and gone once no room needs them."""

from __future__ import annotations

import attrs
import pytest
import trio
from broadcasting import rooms

from gateway_core import (
    Disposition,
    ErrorClass,
    File,
    GroupTooLong,
    IdempotencyConflict,
    Invalid,
    Limit,
    Reason,
    Send,
    Verdict,
)
from gateway_core.authors import hookimpl
from gateway_core.testing import Failure, FakeChannel

PICTURE = File(b"picture", name="cat.png", alt="a cat")
GONE = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE, raw="gone")


def held(gateway, opened):
    """How many different contents are kept."""
    if opened.outbox is None:
        return len(gateway._parts.files.spool)
    return len(opened.outbox._bytes._contents)


def bytes_by_room(channel):
    """What the files of each message are made of."""
    return {
        room: [[channel.contents[name] for name in channel.files.get(one, ())] for one in messages]
        for room, messages in channel.rooms.items()
    }


async def test_a_picture_for_many_rooms_is_stored_once_and_then_gone(opened, autojump_clock):
    channel = FakeChannel(latency=1.0)
    async with opened(channel) as gateway:
        job = await gateway.broadcast("bot", rooms(300), "news", files=[PICTURE])
        await trio.sleep(0.5)
        assert 1 == held(gateway, opened)
        assert {Disposition.DELIVERED: 300} == dict((await job.wait()).counts)
        assert 0 == held(gateway, opened)
    assert {key: [[b"picture"]] for key in rooms(300)} == bytes_by_room(channel)
    assert "a cat" == channel.made[0].attempt.files[0].file.alt


async def test_each_envelope_of_a_group_has_its_own_files(opened, autojump_clock):
    channel = FakeChannel()
    files = {"a": (PICTURE,), "b": (PICTURE, File(b"2", name="2")), "c": ()}
    every = [
        Send(instance_id="bot", external_room_id=room, text=room, files=own)
        for room, own in files.items()
    ]
    async with opened(channel) as gateway:
        await (await gateway.submit_many(every)).wait()
        assert 0 == held(gateway, opened)
    wanted = {"a": [[b"picture"]], "b": [[b"picture", b"2"]], "c": [[]]}
    assert wanted == bytes_by_room(channel)


async def test_a_group_that_is_cancelled_needs_them_no_more(opened, autojump_clock):
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("all", count=1, per=10)])
    async with opened(channel) as gateway:
        job = await gateway.broadcast("bot", rooms(9), "news", files=[PICTURE])
        await trio.sleep(15)
        await job.cancel()
        await job.wait()
        assert 0 == held(gateway, opened)
        assert 2 == len(channel.made)


async def test_what_failed_is_tried_again_with_its_files(opened, autojump_clock):
    async def refused(_):
        raise Failure(GONE)

    channel = FakeChannel(script=refused)
    async with opened(channel) as gateway:
        job = await gateway.broadcast("bot", rooms(3), "news", files=[PICTURE])
        assert 3 == (await job.wait()).failed
        assert 1 == held(gateway, opened)
        channel.script = None
        assert 3 == await job.retry()
        assert {Disposition.DELIVERED: 3} == dict((await job.wait()).counts)
        assert 0 == held(gateway, opened)
    assert {key: [[b"picture"]] for key in rooms(3)} == bytes_by_room(channel)


async def test_a_group_that_is_not_accepted_leaves_none(opened, autojump_clock):
    slow = FakeChannel(limits=lambda _room, _operation: [Limit("all", count=1, per=10)])
    async with opened(slow) as gateway:
        with pytest.raises(GroupTooLong):
            await gateway.broadcast("bot", rooms(9), "news", files=[PICTURE], ttl=5)
        job = await gateway.broadcast("bot", rooms(2), "news", files=[PICTURE], key="k")
        again = await gateway.broadcast("bot", rooms(2), "news", files=[PICTURE], key="k")
        assert job.id == again.id
        other = attrs.evolve(PICTURE, source=b"another")
        with pytest.raises(IdempotencyConflict):
            await gateway.broadcast("bot", rooms(2), "news", files=[other], key="k")
        await job.wait()
        assert 0 == held(gateway, opened)


@pytest.mark.parametrize("opened", ["with an outbox"], indirect=True)
async def test_what_a_kill_left_of_it_goes_on_with_its_files(opened, autojump_clock):
    def limits(_room, _operation):
        return [Limit("all", count=1, per=10)]

    first, second = FakeChannel(limits=limits), FakeChannel(limits=limits)
    with trio.move_on_after(25):
        async with opened(first) as gateway:
            job = await gateway.broadcast("bot", rooms(6), "news", files=[PICTURE])
            await job.wait()
    async with opened(second) as gateway:
        found = await gateway.group(job.id)
        await found.wait()
        assert 0 == held(gateway, opened)
    got = {**bytes_by_room(first), **bytes_by_room(second)}
    assert {key: [[b"picture"]] for key in rooms(6)} == got
    assert 6 == len(first.made) + len(second.made)


async def test_what_is_wrong_with_a_file_is_named(opened, autojump_clock):
    wrong, long = File("no/such.png"), File(b"x", name="x" * 300)
    own = Send(instance_id="bot", external_room_id="a", text="a", files=(PICTURE, wrong))
    async with opened() as gateway:
        with pytest.raises(Invalid, match=r"^files\.0: 'no/such\.png' cannot be read: No such"):
            await gateway.broadcast("bot", rooms(3), "news", files=[wrong])
        with pytest.raises(Invalid, match=r"files\.0\.name: has 300 bytes"):
            await gateway.broadcast("bot", rooms(3), "news", files=[long])
        with pytest.raises(Invalid, match=r"envelopes\.1: files\.1: 'no/such\.png' cannot be read"):
            await gateway.submit_many([attrs.evolve(own, files=()), own])
        assert 0 == held(gateway, opened)


async def test_a_forecast_keeps_nothing(opened, autojump_clock):
    template = Send(instance_id="bot", external_room_id="-", text="news", files=(PICTURE,))
    async with opened() as gateway:
        assert 3 == (await gateway.foresee_broadcast(template, rooms(3))).attempts
        assert 0 == held(gateway, opened)


async def test_a_policy_may_take_files_from_members(opened, autojump_clock):
    class NoneInB:
        @hookimpl
        def rewrite(self, envelope):
            return attrs.evolve(envelope, files=()) if envelope.external_room_id == "b" else None

    channel = FakeChannel()
    async with opened(channel, plugins=[NoneInB()]) as gateway:
        job = await gateway.broadcast("bot", list("abc"), "news", files=[PICTURE])
        await job.wait()
        assert 0 == held(gateway, opened)
    assert {"a": [[b"picture"]], "b": [[]], "c": [[b"picture"]]} == bytes_by_room(channel)


def stamped(room):
    """A picture of that room's own, and one that all have."""
    return (File(room.encode(), name="stamp.png"), File(b"logo", name="logo.png"))


class Stamping:
    """Gives each message a picture of its room's own beside the one of all."""

    @hookimpl
    def rewrite(self, envelope):
        own = stamped(envelope.external_room_id)
        kept = [file for file in envelope.files if file.name not in {each.name for each in own}]
        return attrs.evolve(envelope, files=(*kept, *own))


async def test_a_policy_may_give_members_files_of_their_own(opened, autojump_clock):
    channel = FakeChannel()
    own = [Send(instance_id="bot", external_room_id="c", text="own", files=(PICTURE,))]
    async with opened(channel, plugins=[Stamping()]) as gateway:
        jobs = [
            await gateway.broadcast("bot", ["a", "b"], "news", files=[PICTURE], key="k"),
            await gateway.submit_many(own),
        ]
        again = await gateway.broadcast("bot", ["a", "b"], "news", files=[PICTURE], key="k")
        assert jobs[0].id == again.id
        for job in jobs:
            await job.wait()
        assert 0 == held(gateway, opened)
    wanted = {room: [[b"picture", room.encode(), b"logo"]] for room in "abc"}
    assert wanted == bytes_by_room(channel)


async def test_what_is_wrong_with_a_file_of_a_policy_is_named(opened, autojump_clock):
    class Broken:
        @hookimpl
        def rewrite(self, envelope):
            return attrs.evolve(envelope, files=(File("no/such.png"),))

    own = [Send(instance_id="bot", external_room_id="c", text="own")]
    async with opened(plugins=[Broken()]) as gateway:
        with pytest.raises(Invalid, match=r"rooms\.0: files\.0: 'a' 'no/such\.png' cannot be read"):
            await gateway.broadcast("bot", ["a"], "news")
        with pytest.raises(Invalid, match=r"envelopes\.0: files\.0: 'no/such\.png' cannot be read"):
            await gateway.submit_many(own)
        assert 0 == held(gateway, opened)
