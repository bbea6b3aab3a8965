"""What the platform answers a call with, as a message that can be changed."""

from __future__ import annotations

import attrs
import pytest
import trio

from gateway_core import Button, Call, Disposition, MessageRef, PartRef, Reason
from gateway_core.authors import Answer
from gateway_core.testing import FakeChannel


def saying(**fields):
    """A channel whose calls are answered so."""

    async def script(attempt):
        return Answer(**fields) if attempt.method is not None else None

    return FakeChannel(script=script)


async def test_a_call_that_is_answered_with_a_message_has_its_ref(engine, autojump_clock):
    async with engine(saying(message_id="7", result={"id": 7})) as gateway:
        receipt = await gateway.call("bot", "r", "post", {"text": "x"}, thread="t")
    assert {"id": 7} == receipt.result
    assert receipt.ref == MessageRef(
        instance_id="bot",
        external_room_id="r",
        envelope_id=receipt.envelope_id,
        thread_id="t",
        parts=(PartRef(message_id="7"),),
    )


async def test_further_messages_are_parts_of_it(engine, autojump_clock):
    channel = saying(message_id="7", more=("8", "9"))
    async with engine(channel) as gateway:
        album = await gateway.call("bot", "r", "album")
        assert ["7", "8", "9"] == [part.message_id for part in album.ref.parts]
        assert [(0, 1), (1, 0), (2, 0)] == [(part.index, part.attempts) for part in album.parts]
        await gateway.delete(album.ref)
        again = await gateway.delete(album.ref, raises=False)
    gone = [made.attempt.message_id for made in channel.made if made.attempt.operation == "delete"]
    assert ["9", "8", "7"] == gone
    assert Disposition.REJECTED == again.disposition


async def test_an_album_stays_fixed_after_other_changes(engine, say, autojump_clock):
    """Neither an edit of buttons nor half a delete makes a text edit take its messages."""
    channel = saying(message_id="7", more=("8", "9"))
    async with engine(channel) as gateway:
        album = await gateway.call("bot", "r", "album")
        pressable = await gateway.edit(album.ref, buttons=[Button("A", "a")])
        assert [False, True, True] == [part.fixed for part in pressable.ref.parts]
        channel.script = say.script(None, say.rejected())
        assert not (await gateway.delete(album.ref, raises=False)).delivered
        channel.script = None
        edited = await gateway.edit(attrs.evolve(album.ref, parts=()), "new", raises=False)
    assert Reason.UNSUPPORTED == edited.verdict.reason


@pytest.mark.parametrize(("room", "fields"), [("", {"message_id": "7"}), ("r", {})])
async def test_without_a_room_or_a_message_there_is_none(engine, autojump_clock, room, fields):
    async with engine(saying(**fields)) as gateway:
        receipt = await gateway.call("bot", room, "post")
    assert (True, None) == (receipt.delivered, receipt.ref)


async def test_an_edit_of_it_waits_for_nothing(engine, autojump_clock):
    """Its content is not known, so that an edit is always made."""
    channel = saying(message_id="7")
    async with engine(channel) as gateway:
        call = Call(instance_id="bot", external_room_id="r", method="post")
        ticket = await gateway.submit(call)
        await ticket.receipt()
        first = await gateway.edit(ticket, "same")
        again = await gateway.edit(ticket, "same")
    assert ["delivered", "unchanged"] == [r.parts[0].outcome for r in (first, again)]
    assert {"7": "same"} == channel.rooms["r"]


async def test_names_that_no_change_could_name_are_left_out(engine, autojump_clock):
    async with engine(saying(message_id="7", more=("8", "a\x00b", ""))) as gateway:
        receipt = await gateway.call("bot", "r", "album")
    assert ["7", "8"] == [part.message_id for part in receipt.ref.parts]


async def test_others_are_a_mistake_of_the_adapters(engine, autojump_clock):
    async with engine(saying(message_id="7", more=["8"])) as gateway:
        receipt = await gateway.call("bot", "r", "album", raises=False)
    assert Disposition.CRASHED == receipt.disposition
    assert "more is a tuple of texts" in receipt.verdict.raw


async def test_a_change_waits_for_the_call_that_makes_its_message(engine, autojump_clock):
    async def script(attempt):
        if attempt.method is None:
            return None
        await trio.sleep(5)
        return Answer(message_id="7")

    channel = FakeChannel(script=script)
    async with engine(channel) as gateway:
        call = Call(instance_id="bot", external_room_id="r", method="post", order="none")
        ticket = await gateway.submit(call)
        await gateway.delete(ticket)
    assert ["call:post", "delete"] == [made.attempt.operation for made in channel.made]
    assert "7" == channel.made[1].attempt.message_id


async def test_a_change_of_a_call_that_made_none_ends_rejected(engine, autojump_clock):
    channel = saying()
    async with engine(channel) as gateway:
        ticket = await gateway.submit(Call(instance_id="bot", external_room_id="r", method="look"))
        for change in (gateway.edit(ticket, "x", raises=False), gateway.pin(ticket, raises=False)):
            receipt = await change
            assert Disposition.REJECTED == receipt.disposition
            assert Reason.MESSAGE_GONE == receipt.verdict.reason
    assert 1 == len(channel.made)
