"""Reactions and pins on each channel, up to what stands on the platform."""

from __future__ import annotations

import pytest
import trio

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import (
    Call,
    Disposition,
    Invalid,
    MessageRef,
    PartRef,
    Reason,
    from_json,
    to_json,
)
from gateway_core.testing import virtual_wall

THUMB = {"telegram": {"type": "emoji", "emoji": "👍"}, "slack": "+1", "discord": "👍"}
HEART = {"telegram": {"type": "emoji", "emoji": "❤"}, "slack": "heart", "discord": "❤️"}


def on(world, message=None):
    """The reactions on a message, the first one unless it is named."""
    name = world.messages()[0].id if message is None else message
    found = world.emulator.reactions(world.room, name)
    return found if world.name == "telegram" else [emoji for _, emoji in found]


def sqlite(path):
    return SqliteOutbox(path / "o.db", SqliteSettings(in_thread=False), wall_clock=virtual_wall)


@pytest.fixture(params=["none", "sqlite"])
def outbox(request, tmp_path):
    return sqlite(tmp_path) if request.param == "sqlite" else None


async def test_a_reaction_is_put_on_and_taken_off_as_often_as_one_likes(
    world, outbox, autojump_clock
):
    async with world.opened(outbox) as gateway:
        sent = await gateway.send("bot", world.room, "hello")
        for _ in range(2):
            receipt = await gateway.react(sent.ref, "👍")
            assert receipt.delivered
            assert [THUMB[world.name]] == on(world)
        for _ in range(2):
            assert (await gateway.unreact(sent.ref, "👍")).delivered
            assert [] == on(world)


async def test_several_reactions_stand_together_where_a_bot_may_have_several(world, autojump_clock):
    """On Telegram another takes the place of the one before."""
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, "hello")
        await gateway.react(sent.ref, "👍")
        await gateway.react(sent.ref, "❤️")
    both = [THUMB[world.name], HEART[world.name]]
    assert (both[1:] if world.name == "telegram" else both) == on(world)


async def test_a_message_is_pinned_and_unpinned_as_often_as_one_likes(
    world, outbox, autojump_clock
):
    async with world.opened(outbox) as gateway:
        sent = await gateway.send("bot", world.room, "hello")
        name = sent.ref.parts[0].message_id
        for _ in range(2):
            assert (await gateway.pin(sent.ref, silent=True)).delivered
            assert [name] == world.emulator.pins(world.room)
        for _ in range(2):
            assert (await gateway.unpin(sent.ref)).delivered
            assert [] == world.emulator.pins(world.room)


async def test_a_ticket_is_marked_once_its_message_is_there(world, outbox, autojump_clock):
    async with world.opened(outbox) as gateway:
        ticket = await gateway.enqueue("bot", world.room, "hello")
        await gateway.react(ticket, "👍")
        await gateway.pin(ticket.ref)
    assert [THUMB[world.name]] == on(world)
    assert [world.messages()[0].id] == world.emulator.pins(world.room)


async def test_a_message_of_somebody_else_is_marked_too(world, autojump_clock):
    """By the ids of an incoming event; the gateway has never heard of it."""
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, "hello")
    (name,) = [part.message_id for part in sent.ref.parts]
    ref = MessageRef(
        instance_id="bot",
        external_room_id=world.room,
        envelope_id="",
        parts=(PartRef(message_id=name),),
    )
    async with world.opened() as gateway:
        await gateway.react(ref, "👍")
    assert [THUMB[world.name]] == on(world)


async def test_a_message_that_is_gone_ends_rejected(world, autojump_clock):
    """Known here as deleted, and deleted by somebody else."""
    async with world.opened() as gateway:
        first = await gateway.send("bot", world.room, "one")
        second = await gateway.send("bot", world.room, "two")
        stored = to_json(second.ref)
        await gateway.delete(first.ref)
        here = await gateway.react(first.ref, "👍", raises=False)
        await gateway.delete(second.ref)
    async with world.opened() as gateway:
        gone = from_json(MessageRef, stored)
        there = [
            await mark(gone, *more, raises=False)
            for mark, *more in [(gateway.react, "👍"), (gateway.pin,)]
        ]
    for receipt in (here, *there):
        assert Disposition.REJECTED == receipt.disposition
        assert Reason.MESSAGE_GONE == receipt.verdict.reason


async def test_a_reaction_that_waited_through_a_kill_is_put_on(world, tmp_path, autojump_clock):
    world.front.answers = lambda _method, _fields: (503, {"ok": False, "message": "away"})
    async with world.opened(sqlite(tmp_path)) as gateway:
        ticket = await gateway.enqueue("bot", world.room, "hello", key="hello")
        with trio.move_on_after(3):
            await gateway.react(ticket, "👍", on_cancel="detach")
        gateway.quiet()
    world.front.answers = lambda _method, _fields: None
    async with world.opened(sqlite(tmp_path)):
        await trio.sleep(100)
    assert ["hello"] == world.texts()
    assert [THUMB[world.name]] == on(world)


BAD = {
    "telegram": ["👍🏽", "🦀", "thumbsup", "❤️👍"],
    "slack": ["no name", "\ue000", "Ünknown"],
    "discord": ["thumbsup", ":thumbsup:", "name:", "x" * 40, "👍" * 40],
}


async def test_an_emoji_that_the_platform_lacks_is_refused_before_it_is_accepted(
    world, autojump_clock
):
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, "hello")
        for emoji in BAD[world.name]:
            for verb in (gateway.react, gateway.unreact):
                with pytest.raises(Invalid, match="emoji: "):
                    await verb(sent.ref, emoji)
        assert 1 == gateway.statistics().accepted


TAKING = {
    "telegram": ("sendMessage", "takes no message_id"),
    "slack": ("users.info", "is not about a message"),
    "discord": ("POST /channels/{channel}/typing", "has no {message}"),
}


async def test_a_call_about_a_message_has_a_method_that_takes_one(world, autojump_clock):
    method, words = TAKING[world.name]
    ref = MessageRef(
        instance_id="bot",
        external_room_id=world.room,
        envelope_id="",
        parts=(PartRef(message_id="!"),),
    )
    call = Call(instance_id="bot", external_room_id=world.room, method=method, target=ref)
    async with world.opened() as gateway:
        problems = {problem.place: problem.text for problem in gateway.preview(call).problems}
    assert words in problems["target"]
    assert 2 == len(problems)  # its id is none, either


async def test_many_marks_meet_no_limit(world, autojump_clock):
    """Slack takes 50 reactions a minute, 20 to be taken off, and 20 pins."""
    async with world.opened() as gateway, trio.open_nursery() as nursery:
        tickets = [await gateway.enqueue("bot", world.room, f"{n}") for n in range(30)]
        for ticket in tickets:
            nursery.start_soon(gateway.react, ticket, "👍")
            nursery.start_soon(gateway.pin, ticket)
            nursery.start_soon(gateway.unreact, ticket, "👍")
            nursery.start_soon(gateway.unpin, ticket)
    assert 0 == world.emulator.counters["rate_limited"]
    assert 30 == len(world.texts())
