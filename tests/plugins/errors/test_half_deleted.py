"""Deletions of messages of which somebody else has deleted a part, on each channel."""

from __future__ import annotations

import attrs
import pytest
import trio

from gateway_core import Disposition, KeyRef, Reason
from gateway_core.testing import MemoryOutbox

TEXT = "\n\n".join(f"{word} {'x' * 148}" for word in "abc")
"""Three parts."""


async def take_away(gateway, ref, places):
    """What somebody else deletes, of which the gateway knows nothing."""
    for place in places:
        other = attrs.evolve(ref, envelope_id="", parts=(ref.parts[place],))
        assert (await gateway.delete(other)).delivered


def named(world, ref, how):
    if how == "ref":
        return ref
    return KeyRef(instance_id="bot", external_room_id=world.room, key="k")


@pytest.mark.parametrize("how", ["ref", "key"])
@pytest.mark.parametrize("places", [(0,), (1,), (2,), (1, 2), (0, 2), (0, 1)])
async def test_what_is_left_is_deleted(world, places, how, autojump_clock):
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, TEXT, key="k")
        await take_away(gateway, sent.ref, places)
        receipt = await gateway.delete(named(world, sent.ref, how))
    assert ["deleted"] * 3 == [part.outcome for part in receipt.parts]
    assert [] == world.texts()


@pytest.mark.parametrize("how", ["ref", "key"])
async def test_the_rest_is_deleted_in_the_next_run(world, how, autojump_clock):
    outbox = MemoryOutbox()
    async with world.opened(outbox) as gateway:
        sent = await gateway.send("bot", world.room, TEXT, key="k")
        await take_away(gateway, sent.ref, (2,))
        await trio.sleep(60)
    async with world.opened(outbox) as gateway:
        assert (await gateway.delete(named(world, sent.ref, how))).delivered
    assert [] == world.texts()


@pytest.mark.parametrize("text", ["a", TEXT])
async def test_nothing_is_left(world, text, autojump_clock):
    """Discord's deletions say that they are done."""
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, text)
        await take_away(gateway, sent.ref, range(len(sent.ref.parts)))
        receipt = await gateway.delete(sent.ref, raises=False)
    ends = Disposition.DELIVERED if world.name == "discord" else Disposition.REJECTED
    assert (ends, Reason.MESSAGE_GONE) == (receipt.disposition, receipt.verdict.reason)


async def test_an_edit_takes_away_what_is_gone_already(world, autojump_clock):
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, TEXT)
        await take_away(gateway, sent.ref, (2,))
        assert (await gateway.edit(sent.ref, "short")).delivered
    assert ["short"] == world.texts()
