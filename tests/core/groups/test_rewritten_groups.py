"""Policies that change or delay the members of a group, as it is accepted and never again."""

from __future__ import annotations

import attrs
import pytest
import trio

from gateway_core import (
    Delete,
    Edit,
    HookContractError,
    IdempotencyConflict,
    Invalid,
    KeyRef,
    Limit,
    Send,
    Ttl,
)
from gateway_core.authors import Delay, Problem, hookimpl
from gateway_core.testing import EPOCH, FakeChannel, MemoryOutbox, open_test_gateway

HOUR = 3600.0


class Rewriting:
    def __init__(self, change):
        self.change = change
        self.asked = []

    @hookimpl
    def rewrite(self, envelope):
        self.asked.append(envelope)
        return self.change(envelope)


def footer(envelope):
    return attrs.evolve(envelope, text=envelope.text.removesuffix(" - us") + " - us")


def in_each(envelope):
    text = f"{envelope.text.split(' in ')[0]} in {envelope.external_room_id}"
    return attrs.evolve(envelope, text=text)


def to_sandbox(envelope):
    return attrs.evolve(envelope, external_room_id="sandbox")


async def test_each_member_has_what_policies_made_of_it_once(opened, autojump_clock):
    policy, channel = Rewriting(footer), FakeChannel()
    async with opened(channel, plugins=[policy]) as gateway:
        job = await gateway.broadcast("bot", list("abc"), "news", key="k")
        await job.wait()
        assert {room: ["news - us"] for room in "abc"} == {r: channel.texts(r) for r in "abc"}
        assert ["a", "b", "c"] == [envelope.external_room_id for envelope in policy.asked]


async def test_a_policy_may_make_another_text_in_each_room(opened, autojump_clock):
    """The first two alike, as the third shows that they are not."""
    policy = Rewriting(lambda e: in_each(e) if e.external_room_id == "c" else None)
    channel = FakeChannel()
    async with opened(channel, plugins=[policy]) as gateway:
        job = await gateway.broadcast("bot", list("abcd"), "news", key="k", ttl=60)
        progress = await job.wait()
        assert {"delivered": 4} == dict(progress.counts)
    texts = {room: channel.texts(room) for room in "abcd"}
    assert {"a": ["news"], "b": ["news"], "c": ["news in c"], "d": ["news"]} == texts


async def test_a_broadcast_moved_to_one_room_does_not_collide_with_itself(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, plugins=[Rewriting(to_sandbox)]) as gateway:
        job = await gateway.broadcast("bot", list("abc"), "news", key="k")
        progress = await job.wait()
        assert {"delivered": 3} == dict(progress.counts)
        assert job.id == (await gateway.broadcast("bot", list("cba"), "news", key="k")).id
    assert ["news"] * 3 == channel.texts("sandbox")
    assert {"sandbox"} == set(channel.rooms)


async def test_the_key_of_a_group_stands_for_what_was_handed_in(opened, autojump_clock):
    policy = Rewriting(footer)
    async with opened(plugins=[policy]) as gateway:
        job = await gateway.broadcast("bot", list("abc"), "news", key="k")
        policy.change = in_each
        assert job.id == (await gateway.broadcast("bot", list("abc"), "news", key="k")).id
        with pytest.raises(IdempotencyConflict):
            await gateway.broadcast("bot", list("abc"), "news - us", key="k")
        await job.wait()


async def test_envelopes_of_a_group_are_asked_about_too(opened, autojump_clock):
    policy, channel = Rewriting(footer), FakeChannel()
    own = [Send(instance_id="bot", external_room_id=room, text=f"to {room}") for room in "ab"]
    async with opened(channel, plugins=[policy]) as gateway:
        job = await gateway.submit_many(own, group="g")
        await job.wait()
        policy.change = lambda _envelope: None
        assert job.id == (await gateway.submit_many(own, group="g")).id
    assert [["to a - us"], ["to b - us"]] == [channel.texts(room) for room in "ab"]


async def test_a_forecast_is_of_what_would_be_sent(opened, autojump_clock):
    async with opened(plugins=[Rewriting(footer)]) as gateway:
        template = Send(instance_id="bot", external_room_id="-", text="news")
        forecast = await gateway.foresee_broadcast(template, list("abc"))
        assert (("news - us",), 3) == (forecast.parts, forecast.attempts)


async def test_one_that_a_policy_fails_on_refuses_all(opened, autojump_clock):
    def fails(envelope):
        if envelope.external_room_id == "c":
            raise LookupError("no c")

    channel = FakeChannel()
    async with opened(channel, plugins=[Rewriting(fails)]) as gateway:
        with pytest.raises(HookContractError, match="rewrite: raised LookupError: no c"):
            await gateway.broadcast("bot", list("abc"), "news")
        own = [Send(instance_id="bot", external_room_id=room, text="hello") for room in "abc"]
        with pytest.raises(HookContractError):
            await gateway.submit_many(own)
        assert (0, []) == (gateway.statistics().members, channel.made)


async def test_a_room_for_which_a_policy_leaves_nothing_is_named(opened, autojump_clock):
    policy = Rewriting(lambda e: attrs.evolve(e, text=" ") if e.external_room_id in "ac" else None)
    async with opened(plugins=[policy]) as gateway:
        with pytest.raises(Invalid) as caught:
            await gateway.broadcast("bot", list("abc"), "news")
        assert [
            Problem("rooms.0", "text: 'a' is empty"),
            Problem("rooms.2", "text: 'c' is empty"),
        ] == [*caught.value.problems]


async def test_changes_of_a_group_go_to_where_their_messages_were_moved(opened, autojump_clock):
    channel, policy = FakeChannel(), Rewriting(to_sandbox)
    async with opened(channel, plugins=[policy], partition_count=8) as gateway:
        for room in "ab":
            await gateway.send("bot", room, f"to {room}", key="k")
        policy.change = lambda _envelope: None
        keys = [KeyRef(instance_id="bot", external_room_id=room, key="k") for room in "ab"]
        place = [{"instance_id": "bot", "external_room_id": key.external_room_id} for key in keys]
        job = await gateway.submit_many(
            [Edit(**place[0], target=keys[0], text="new"), Delete(**place[1], target=keys[1])]
        )
        assert {"delivered": 2} == dict((await job.wait()).counts)
    assert ["new"] == channel.texts("sandbox")
    assert {"sandbox"} == set(channel.rooms)


class Quiet:
    """Delays these rooms by an hour."""

    def __init__(self, *rooms):
        self.rooms = rooms

    @hookimpl
    def admit(self, envelope):
        return Delay(EPOCH + HOUR) if envelope.external_room_id in self.rooms else None


async def test_members_that_are_delayed_keep_no_other_waiting(opened, autojump_clock):
    """Neither those that come after them, nor more of them than are unfinished at a time."""
    late = [f"late{number}" for number in range(40)]
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("account", count=2)])
    async with opened(channel, plugins=[Quiet(*late)]) as gateway:
        job = await gateway.broadcast("bot", [*late, *"abcd"], "news")
        await trio.sleep(60)
        assert [*"abcd"] == [made.attempt.room for made in channel.made]
        progress = await job.progress()
        assert (0, 40) == (progress.waiting, progress.in_flight)
        assert HOUR - 60 + 20 == pytest.approx(progress.estimate, abs=5)
        await trio.sleep(HOUR)
        progress = await job.progress()
        assert {"delivered": 44} == dict(progress.counts)
        assert 0.0 == progress.estimate


async def test_members_that_are_delayed_are_cancelled_with_their_group(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, plugins=[Quiet("late")]) as gateway:
        job = await gateway.broadcast("bot", ["late", "a"], "news")
        await trio.sleep(60)
        await job.cancel()
        assert {"delivered": 1, "cancelled": 1} == dict((await job.progress()).counts)


async def test_closing_waits_for_no_member_that_is_delayed(opened, autojump_clock):
    """As for any other delayed envelope; it waits for those under way."""
    channel = FakeChannel(latency=5.0)
    async with opened(channel, plugins=[Quiet("late", "later")], drain_timeout=600) as gateway:
        await gateway.broadcast("bot", ["late", "a", "later"], "news")
        await trio.sleep(1)
        await gateway.drain()
        assert 5 == pytest.approx(trio.current_time(), abs=2)
    assert ["news"] == channel.texts("a")
    assert {"a"} == set(channel.rooms)


@pytest.mark.parametrize(("fields", "ends"), [({}, "delivered"), ({"ttl": 40}, "expired")])
async def test_the_ttl_of_a_members_class_counts_from_its_delay(
    opened, fields, ends, autojump_clock
):
    """And an own one of the broadcast does not wait."""

    class Minutes:
        @hookimpl
        def admit(self):
            return Delay(EPOCH + 120)

    async with opened(plugins=[Minutes()], ttl=Ttl(bulk=60)) as gateway:
        job = await gateway.broadcast("bot", ["a", "b"], "news", **fields)
        assert {ends: 2} == dict((await job.wait()).counts)


async def test_an_entry_of_a_member_has_both_rooms(autojump_clock):
    outbox = MemoryOutbox()
    later = EPOCH + HOUR
    own = [Send(instance_id="bot", external_room_id=room, text="own") for room in "cd"]
    async with open_test_gateway(
        outbox=outbox, plugins=[Rewriting(to_sandbox), Later(later)]
    ) as gateway:
        for job in (
            await gateway.broadcast("bot", ["a", "sandbox", "b"], "news"),
            await gateway.submit_many(own),
        ):
            assert 0 == (await job.progress()).failed
        await trio.sleep(60)
        entries = sorted((row.entry for row in outbox._rows.values()), key=lambda e: e.member)
    assert [("a", "sandbox"), (None, "sandbox"), ("b", "sandbox")] == [
        (entry.asked_room, entry.envelope.external_room_id) for entry in entries[:3]
    ]
    assert ["c", "d"] == [entry.asked_room for entry in entries[3:]]


class Later:
    """Delays everything."""

    def __init__(self, until):
        self.until = until

    @hookimpl
    def admit(self):
        return Delay(self.until)
