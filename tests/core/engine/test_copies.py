"""A message of which copies may stand: its edits and deletions say so, and change those known."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import attrs
import pytest
import trio

from gateway_core import (
    Delete,
    Disposition,
    Edit,
    KeyRef,
    MessageRef,
    Part,
    PartRef,
    Reason,
    Verdict,
)
from gateway_core.authors import Answer, ErrorClass, TransportError, hookimpl
from gateway_core.contract.codec import from_json, to_json
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, open_test_gateway


class Words(FakeChannel):
    """A message for each word. `silent`: the answers to so many sends are lost on their way."""

    silent = 0

    @hookimpl
    def chunk(self, envelope):
        return [Part(payload={"text": word}) for word in envelope.text.split()]

    @hookimpl
    async def send(self, attempt):
        answer = await FakeChannel.send(self, attempt)
        if self.silent:
            self.silent -= 1
            raise TransportError("the answer is lost", dispatched="unknown")
        return answer


class Forgetful(MemoryOutbox):
    """Writes nothing of the kinds that are `unwritten`."""

    unwritten: Collection[str] = ()

    def acknowledged(self, *given: Any) -> None:
        if "acknowledged" not in self.unwritten:
            super().acknowledged(*given)

    def finished(self, *given: Any) -> None:
        if "finished" not in self.unwritten:
            super().finished(*given)


KEY = KeyRef(instance_id="bot", external_room_id="r", key="k")


def named(ref: MessageRef, how: str) -> MessageRef | KeyRef:
    """The message by its ref, by one that is stored as JSON, by its envelope's id, by its key."""
    match how:
        case "stored":
            return from_json(MessageRef, to_json(ref))
        case "ticket":
            return attrs.evolve(ref, parts=(), possible_duplicate=False)
        case "key":
            return KEY
    return ref


HOWS = ["ref", "stored", "ticket", "key"]


@pytest.mark.parametrize("how", HOWS)
async def test_every_change_of_a_message_that_may_be_there_twice_says_so(how, autojump_clock):
    """And only the send counts as one that made a copy."""
    channel = Words()
    channel.silent = 1
    async with open_test_gateway(channel) as gateway:
        sent = await gateway.send("bot", "r", "x", key="k")
        assert ["x", "x"] == channel.texts("r")
        edited = await gateway.edit(named(sent.ref, how), "y")
        assert ["x", "y"] == channel.texts("r")
        again = await gateway.edit(named(edited.ref, how), "z")
        deleted = await gateway.delete(named(again.ref, how))
        receipts = [sent, edited, again, deleted]
        assert [True] * 4 == [receipt.possible_duplicate for receipt in receipts]
        assert [True] * 3 == [receipt.ref.possible_duplicate for receipt in receipts[:3]]
        assert 1 == gateway.statistics().instances[0].possible_duplicates
    assert ["x"] == channel.texts("r")


@pytest.mark.parametrize("how", HOWS)
async def test_and_after_a_restart(how, autojump_clock):
    channel, outbox = Words(), MemoryOutbox()
    channel.silent = 1
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        sent = await gateway.send("bot", "r", "x", key="k")
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        edited = await gateway.edit(named(sent.ref, how), "y")
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        deleted = await gateway.delete(named(sent.ref, how))
    assert (True, True) == (edited.possible_duplicate, deleted.possible_duplicate)
    assert ["x"] == channel.texts("r")


async def test_of_a_message_that_stands_once_nothing_is_said(autojump_clock):
    channel, outbox = Words(), MemoryOutbox()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        sent = await gateway.send("bot", "r", "a b", key="k")
        receipts = [sent, await gateway.edit(sent.ref, "c"), await gateway.edit(KEY, "d e")]
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        receipts += [await gateway.edit(KEY, "f"), await gateway.delete(sent.ref)]
    assert [False] * 5 == [receipt.possible_duplicate for receipt in receipts]
    assert not any(receipt.ref.possible_duplicate for receipt in receipts[:4])


async def test_a_change_that_did_nothing_says_nothing(autojump_clock):
    """So its key is free again."""
    channel = Words()
    channel.silent = 1
    gone = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.MESSAGE_GONE)

    async def refuse(attempt):
        raise Failure(gone)

    async with open_test_gateway(channel) as gateway:
        sent = await gateway.send("bot", "r", "x")
        channel.script = refuse
        edited = await gateway.edit(sent.ref, "y", raises=False)
        assert Disposition.REJECTED is edited.disposition
        assert not edited.possible_duplicate
        channel.script = None
        assert (await gateway.edit(sent.ref, "z")).possible_duplicate


@pytest.mark.parametrize("cut", ["between", "at the end"])
@pytest.mark.parametrize("kind", ["edit", "delete"])
async def test_a_change_that_a_previous_run_had_begun_says_it_too(kind, cut, autojump_clock):
    """Also where all of it was done, and only its end was not written."""
    channel, outbox, ends = Words(), Forgetful(), []
    channel.silent = 1
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        sent = await gateway.send("bot", "r", "a b", key="k", thread="t")
    begun = len(channel.made)

    async def stall(attempt):
        if cut == "between" and len(channel.made) == begun + 2:
            await trio.sleep_forever()

    class End:
        @hookimpl
        def after_disposition(self, receipt):
            ends.append(receipt)

    channel.script, outbox.unwritten = stall, {"finished"}
    fields: Any = {"instance_id": "bot", "external_room_id": "r", "target": KEY}
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
        await gateway.submit(Edit(**fields, text="c d e") if kind == "edit" else Delete(**fields))
        await trio.sleep(1)
    channel.script, outbox.unwritten = None, ()
    async with open_test_gateway(channel, outbox=outbox, plugins=[End()]):
        await trio.sleep(60)
    (receipt,) = ends
    assert (Disposition.DELIVERED, True) == (receipt.disposition, receipt.possible_duplicate)
    if kind == "delete":
        assert ["a"] == channel.texts("r")
        return
    ref = receipt.ref
    assert (1, "t", True) == (ref.revision, ref.thread_id, ref.possible_duplicate)
    assert {"t"} == {made.attempt.thread for made in channel.made}
    assert ref == outbox.look_up(sent.envelope_id).newest


@pytest.mark.parametrize("unread", [False, True])
async def test_a_part_without_a_name_is_beyond_every_change(unread, autojump_clock):
    """It may stand there, or does, and nobody knows its id."""
    channel = Words()

    async def nameless(attempt):
        if attempt.operation == "send" and attempt.part.payload["text"] == "b":
            channel.rooms["r"]["?"] = "b"
            if unread:
                return Answer()
            raise TransportError("the answer is lost", dispatched="unknown")
        return None

    channel.script = nameless
    async with open_test_gateway(channel) as gateway:
        sent = await gateway.send("bot", "r", "a b", on_unknown="give_up", raises=False)
        assert not sent.possible_duplicate
        assert (1, True) == (len(sent.ref.parts), sent.ref.possible_duplicate)
        deleted = await gateway.delete(sent.ref)
        assert (True, True) == (deleted.delivered, deleted.possible_duplicate)
        assert ["b"] == channel.texts("r")


async def told_and_sent_again(channel: Words, outbox: Forgetful, text: str) -> MessageRef:
    """The ref that a killed run told its caller; the next run has sent the message again."""
    outbox.unwritten = {"acknowledged", "finished"}
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        sent = await gateway.send("bot", "r", text, key="k")
    outbox.unwritten = ()
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(60)
    return sent.ref


@pytest.mark.parametrize("later", [False, True])
async def test_where_both_are_known_both_are_deleted(later, autojump_clock):
    channel, outbox = Words(), Forgetful()
    told = await told_and_sent_again(channel, outbox, "a b")
    assert ["a", "b", "a", "b"] == channel.texts("r")
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        if later:  # it is known already
            await gateway.send("bot", "r", "other")
            await gateway.edit(KEY, "a b")
            told = attrs.evolve(told, revision=1)
        deleted = await gateway.delete(told)
    assert (True, True) == (deleted.delivered, deleted.possible_duplicate)
    assert ["other"] * later == channel.texts("r")


async def test_where_both_are_known_an_edit_leaves_one(autojump_clock):
    """What stands twice says the new text once."""
    channel, outbox = Words(), Forgetful()
    told = await told_and_sent_again(channel, outbox, "a b")
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        edited = await gateway.edit(told, "c d e")
        assert ["c", "d", "e"] == channel.texts("r")
        assert (True, 3) == (edited.possible_duplicate, len(edited.ref.parts))
        assert ("3", "4") == tuple(part.message_id for part in edited.ref.parts)[:2]
        await gateway.edit(edited.ref, "f")
        assert ["f"] == channel.texts("r")


async def test_a_change_waits_for_a_message_that_is_sent_again(autojump_clock):
    """Its ref names what a killed run told; what this one is sending is of the same message."""
    channel, outbox = Words(), Forgetful()
    outbox.unwritten = {"acknowledged", "finished"}
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        sent = await gateway.send("bot", "r", "a", key="k")
    outbox.unwritten = ()
    channel.latency = 5.0
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(1)
        change = Edit(
            instance_id="bot", external_room_id="r", target=sent.ref, text="b", order="none"
        )
        edited = await (await gateway.submit(change)).receipt()
        await trio.sleep(100)
        assert (True, ["b"]) == (edited.possible_duplicate, channel.texts("r"))


async def test_a_copy_that_stayed_is_deleted_by_the_next_edit(autojump_clock):
    """As any part that an edit has over."""
    channel, outbox = Words(), Forgetful()
    told = await told_and_sent_again(channel, outbox, "a")

    async def refuse(attempt):
        if attempt.operation == "delete":
            gone = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.FORBIDDEN)
            raise Failure(gone)

    async with open_test_gateway(channel, outbox=outbox) as gateway:
        channel.script = refuse
        edited = await gateway.edit(told, "b", raises=False)
        assert (["a", "b"], True) == (channel.texts("r"), edited.possible_duplicate)
        channel.script = None
        await gateway.edit(told, "c")
    assert ["c"] == channel.texts("r")


async def test_what_an_edit_deleted_is_no_copy(autojump_clock):
    """An old ref names it still."""
    channel, outbox = Words(), MemoryOutbox()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        sent = await gateway.send("bot", "r", "a b c")
        await gateway.edit(sent.ref, "d")
        await gateway.edit(sent.ref, "e")
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await gateway.edit(sent.ref, "f")
    asked = [made.attempt.operation for made in channel.made]
    assert ["send"] * 3 + ["edit", "delete", "delete", "edit", "edit"] == asked


async def test_a_later_ref_hears_of_the_duplicate_that_the_outbox_knows(autojump_clock):
    """What a killed run had edited, and no other run after it."""
    channel, outbox = Words(), Forgetful()
    told = await told_and_sent_again(channel, outbox, "a")
    later = attrs.evolve(told, revision=1, parts=(PartRef(message_id="1"),))
    assert not later.possible_duplicate
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        edited = await gateway.edit(later, "b")
    assert (["b", "a"], True) == (channel.texts("r"), edited.possible_duplicate)


def test_a_stored_ref_is_read_with_and_without_the_word():
    """Where it is false it is left out, as it is in a ref that was stored without it."""
    ref = MessageRef(
        instance_id="bot", external_room_id="r", envelope_id="e", parts=(PartRef(message_id="1"),)
    )
    twice = attrs.evolve(ref, possible_duplicate=True)
    plain = to_json(ref)
    assert "possible_duplicate" not in plain
    assert plain | {"possible_duplicate": True} == to_json(twice)
    for one in (ref, twice):
        assert one == from_json(MessageRef, to_json(one))
        change = Delete(instance_id="bot", external_room_id="r", target=one)
        assert change == from_json(Delete, to_json(change))
    assert ref == from_json(MessageRef, plain | {"possible_duplicate": False})
