"""Edits of messages of several parts, on each channel, up to what stands on the platform."""

from __future__ import annotations

import json

import attrs
import pytest

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import Disposition, KeyRef, MessageRef, from_json, to_json
from gateway_core.testing import MemoryOutbox, virtual_wall


def text(*words: str) -> str:
    """A paragraph of 150 characters for each word: a part of its own."""
    return "\n\n".join(paragraph(word) for word in words)


def paragraph(word: str) -> str:
    return f"{word} {'x' * (149 - len(word))}"


def standing(*words: str) -> list[str]:
    return [paragraph(word) for word in words]


async def test_only_what_changed_is_touched(world, autojump_clock):
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, text("a", "b", "c"))
        before = [message.id for message in world.messages()]
        edited = await gateway.edit(sent.ref, text("a", "B", "c"))
    assert standing("a", "B", "c") == world.texts()
    assert before == [message.id for message in world.messages()]
    assert (3, 1, 0) == world.counts()
    assert [0, 1, 0] == [len(message.revisions) for message in world.messages()]
    assert ["unchanged", "delivered", "unchanged"] == [part.outcome for part in edited.parts]


async def test_what_is_new_is_appended(world, autojump_clock):
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, text("a", "b"))
        edited = await gateway.edit(sent.ref, text("a", "b", "c", "d"))
    assert standing("a", "b", "c", "d") == world.texts()
    assert (4, 0, 0) == world.counts()
    assert [part.message_id for part in edited.ref.parts] == [
        part.message_id for part in edited.parts
    ]


async def test_what_is_over_is_deleted(world, autojump_clock):
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, text("a", "b", "c"))
        edited = await gateway.edit(sent.ref, text("a"))
    assert standing("a") == world.texts()
    assert (3, 0, 2) == world.counts()
    assert 1 == len(edited.ref.parts)


async def test_the_same_again_asks_nobody(world, autojump_clock):
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, text("a", "b"))
        asked = len(world.front.posted)
        assert (await gateway.edit(sent.ref, text("a", "b"))).delivered
    assert asked == len(world.front.posted)


async def test_another_format_is_another_look_in_the_same_place(world, autojump_clock):
    """Where a platform keeps what an edit does not name, the old look would stay."""
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, "**a**")
        plain = await gateway.edit(sent.ref, "**b**", format="plain")
        assert ["**b**"] == world.texts()
        await gateway.edit(plain.ref, "**c**")
    assert ["c"] == world.texts()
    assert (1, 2, 0) == world.counts()


# -- buttons


@pytest.mark.parametrize(("asked", "then"), [("kept", "old"), ("changed", "new"), ("dropped", "")])
async def test_buttons_move_to_the_new_last_part(world, asked, then, autojump_clock):
    async with world.opened() as gateway:
        extra = {"kept": None, "changed": world.channel.buttons("new"), "dropped": {}}[asked]
        sent = await gateway.send("bot", world.room, text("a"), extra=world.channel.buttons("old"))
        assert ["old"] == world.buttons()
        grown = await gateway.edit(sent.ref, text("a", "b"), extra=extra)
        assert (standing("a", "b"), ["", then]) == (world.texts(), world.buttons())
        shrunk = await gateway.edit(grown.ref, text("A"))
        assert (standing("A"), [then]) == (world.texts(), world.buttons())
    assert shrunk.delivered


@pytest.mark.parametrize(("asked", "then"), [("kept", "old"), ("changed", "new"), ("dropped", "")])
async def test_buttons_are_kept_changed_or_dropped(world, asked, then, autojump_clock):
    async with world.opened() as gateway:
        extra = {"kept": None, "changed": world.channel.buttons("new"), "dropped": {}}[asked]
        sent = await gateway.send(
            "bot", world.room, text("a", "b"), extra=world.channel.buttons("old")
        )
        await gateway.edit(sent.ref, text("a", "B"), extra=extra)
    assert (standing("a", "B"), ["", then]) == (world.texts(), world.buttons())
    assert (2, 1, 0) == world.counts()


async def test_buttons_alone_can_change(world, autojump_clock):
    async with world.opened() as gateway:
        sent = await gateway.send(
            "bot", world.room, text("a", "b"), extra=world.channel.buttons("old")
        )
        await gateway.edit(sent.ref, text("a", "b"), extra=world.channel.buttons("new"))
    assert (["", "new"], (2, 1, 0)) == (world.buttons(), world.counts())


REFUSALS = {
    "telegram": (400, {"ok": False, "error_code": 400, "description": "Bad Request: no"}),
    "slack": (200, {"ok": False, "error": "nothing_known"}),
    "discord": (400, {"code": 50006, "message": "Cannot send an empty message"}),
}


async def test_a_half_sent_message_is_made_whole_with_its_buttons(world, autojump_clock):
    """The part that was to carry them never arrived; the edit sends it, with them."""
    said = ("text", "content")
    world.front.answers = lambda _method, fields: (
        REFUSALS[world.name] if any("c x" in fields.get(name, "") for name in said) else None
    )
    async with world.opened() as gateway:
        extra = world.channel.buttons("old")
        sent = await gateway.send("bot", world.room, text("a", "b", "c"), extra=extra, raises=False)
        assert (Disposition.REJECTED, ["", ""]) == (sent.disposition, world.buttons())
        world.front.answers = lambda _method, _fields: None
        await gateway.edit(stored(sent.ref), text("a", "b", "c"))
    assert (standing("a", "b", "c"), ["", "", "old"]) == (world.texts(), world.buttons())
    assert (3, 0, 0) == world.counts()


# -- refs that were stored


def stored(ref: MessageRef) -> MessageRef:
    """As a database gives it back."""
    return from_json(MessageRef, json.loads(json.dumps(to_json(ref))))


async def test_a_ref_of_last_week_is_all_that_an_edit_needs(world, autojump_clock):
    """Another life of the gateway, without any memory of the message: each part is written anew."""
    async with world.opened() as gateway:
        extra = world.channel.buttons("old")
        kept = stored((await gateway.send("bot", world.room, text("a", "b"), extra=extra)).ref)
    async with world.opened() as gateway:
        grown = stored((await gateway.edit(kept, text("a", "B", "c"))).ref)
    assert (standing("a", "B", "c"), ["", "", "old"]) == (world.texts(), world.buttons())
    assert (3, 0) == (world.counts()[0], world.counts()[2])
    async with world.opened() as gateway:
        await gateway.edit(grown, text("a"))
    assert (standing("a"), ["old"]) == (world.texts(), world.buttons())


async def test_a_stale_ref_is_resolved_and_nothing_doubles(world, autojump_clock):
    async with world.opened() as gateway:
        first = stored((await gateway.send("bot", world.room, text("a"))).ref)
        await gateway.edit(first, text("a", "b", "c"))
        await gateway.edit(first, text("a", "b", "c", "d"))
        assert standing("a", "b", "c", "d") == world.texts()
        assert (4, 0, 0) == world.counts()
        await gateway.edit(first, text("x"))
    assert standing("x") == world.texts()


OUTBOXES = {
    "memory": lambda _: MemoryOutbox(),
    "sqlite": lambda path: SqliteOutbox(
        path / "outbox.db", SqliteSettings(in_thread=False), wall_clock=virtual_wall
    ),
}


@pytest.mark.parametrize("outbox", OUTBOXES)
@pytest.mark.parametrize("by", ["ref", "ticket", "key"])
async def test_a_stale_ref_is_resolved_in_a_later_life(world, outbox, by, tmp_path, autojump_clock):
    """The process that made the newer revisions is gone; its outbox is not."""
    kept = OUTBOXES[outbox](tmp_path)
    async with world.opened(outbox=kept) as gateway:
        sent = await gateway.send("bot", world.room, text("a"), key="k")
        first = stored(sent.ref)
        await gateway.edit(first, text("a", "b"))
        await gateway.edit(first, text("a", "b", "c"))
    target = {
        "ref": first,
        "ticket": attrs.evolve(first, parts=()),
        "key": KeyRef(instance_id="bot", external_room_id=world.room, key="k"),
    }[by]
    async with world.opened(
        outbox=OUTBOXES[outbox](tmp_path) if outbox == "sqlite" else kept
    ) as gateway:
        edited = await gateway.edit(target, text("a", "B", "c", "d"))
    assert standing("a", "B", "c", "d") == world.texts()
    # What its parts hold is not certain in a later life: each is written anew, and only Telegram
    # says of two that they were so already.
    assert (4, 1 if world.name == "telegram" else 3, 0) == world.counts()
    assert 3 == edited.ref.revision


async def test_a_ref_newer_than_what_the_outbox_remembers_is_taken_as_it_is(world, autojump_clock):
    outbox = MemoryOutbox()
    async with world.opened(outbox=outbox) as gateway:
        first = (await gateway.send("bot", world.room, text("a"))).ref
        second = (await gateway.edit(first, text("a", "b"))).ref
    async with world.opened() as gateway:  # it does not know of that outbox
        third = (await gateway.edit(second, text("a", "b", "c"))).ref
    async with world.opened(outbox=outbox) as gateway:
        await gateway.edit(third, text("a", "b", "c", "d"))
    assert standing("a", "b", "c", "d") == world.texts()
    assert (4, 0) == (world.counts()[0], world.counts()[2])


async def test_a_ref_without_parts_that_nobody_remembers_is_refused(world, autojump_clock):
    async with world.opened() as gateway:
        ref = MessageRef(instance_id="bot", external_room_id=world.room, envelope_id="long ago")
        receipt = await gateway.edit(ref, text("a"), raises=False)
    assert (Disposition.REJECTED, []) == (receipt.disposition, world.texts())


async def test_a_message_that_somebody_took_away_is_not_sent_anew(world, autojump_clock):
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, text("a", "b"))
        world.messages()[1].deleted = True
        receipt = await gateway.edit(sent.ref, text("a", "B"), raises=False)
    assert (Disposition.REJECTED, standing("a")) == (receipt.disposition, world.texts())
