"""Policies that change the members of a group, as it is accepted and never again."""

from __future__ import annotations

import attrs
import pytest

from gateway_core import HookContractError, IdempotencyConflict, Invalid, Send
from gateway_core.authors import Problem, hookimpl
from gateway_core.testing import FakeChannel


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
