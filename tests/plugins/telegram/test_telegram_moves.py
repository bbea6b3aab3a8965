"""A group becomes a supergroup: where its messages go, in this life of the gateway and the next."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random

import attrs
import pytest
import trio

from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import (
    Button,
    Disposition,
    Edit,
    GatewayConfig,
    MessageRef,
    Reason,
    Send,
    open_gateway,
)
from gateway_core.authors import hookimpl
from gateway_core.testing import MemoryOutbox, virtual_wall

OLD = "-7"
HERE = {"instance_id": "support", "external_room_id": OLD}


class Observer:
    """A policy that notes which rooms moved."""

    def __init__(self):
        self.moves = []

    @hookimpl
    def room_moved(self, instance, room, moved_to):
        self.moves.append((instance.id, room, moved_to))


@pytest.fixture(name="world")
def _world(network, instance):
    """An emulator, an outbox that outlives gateways, and what opens one gateway after the other."""

    class World:
        emulator = TelegramEmulator()
        outbox = MemoryOutbox()
        observer = Observer()

        @asynccontextmanager
        async def life(self):
            config = GatewayConfig(instances=[instance], drain_timeout=1.0)
            async with open_gateway(
                config,
                rng=Random("jitter"),
                wall_clock=virtual_wall,
                outbox=self.outbox,
                plugins=[self.observer],
            ) as gateway:
                yield gateway

        def texts(self, room):
            return [message.text for message in self.emulator.rooms.conversation(room)]

        async def edited(self, gateway, ref, text):
            ticket = await gateway.submit(Edit(**HERE, target=ref, text=text))
            return await ticket.receipt()

    world = World()
    network.mount(instance.settings.base_url, world.emulator.app)
    return world


async def test_the_lane_goes_on_in_the_new_room_and_observers_are_told(world, autojump_clock):
    async with world.life() as gateway:
        tickets = [await gateway.submit(Send(**HERE, text=f"{n}")) for n in range(4)]
        await tickets[1].receipt()
        new = world.emulator.migrate_room(OLD)
        receipts = [await ticket.receipt() for ticket in tickets]
        later = await gateway.send("support", OLD, "later")
        asked = world.emulator.counters["requests"]
    assert (["0", "1"], ["2", "3", "later"]) == (world.texts(OLD), world.texts(new))
    assert [None, None, new, None, None] == [r.moved_to for r in (*receipts, later)]
    assert [("support", OLD, new)] == world.observer.moves
    assert 5 + 1 == asked  # one refusal told of the move


async def test_what_was_sent_before_the_move_is_left_alone(world, autojump_clock):
    """Its number is counted anew there: an edit of the old message would change another one."""
    async with world.life() as gateway:
        before = await gateway.send("support", OLD, "before")
        new = world.emulator.migrate_room(OLD)
        after = await gateway.send("support", OLD, "after")
        assert ["-7:1", "1"] == [r.ref.parts[0].message_id for r in (before, after)]
        old = await world.edited(gateway, before.ref, "changed")
        assert (await world.edited(gateway, after.ref, "changed")).delivered
        answer = await gateway.send("support", OLD, "answer", reply_to="-7:1")
        gone = await gateway.delete(before.ref, raises=False)
    assert (Disposition.REJECTED, Reason.MESSAGE_GONE) == (old.disposition, old.verdict.reason)
    assert (Disposition.REJECTED, Reason.UNSUPPORTED) == (gone.disposition, gone.verdict.reason)
    assert (["before"], ["changed", "answer"]) == (world.texts(OLD), world.texts(new))
    assert ("without_reply",) == answer.transforms


async def test_an_event_from_before_the_move_names_no_message_of_the_new_room(
    world, autojump_clock
):
    """Neither a ref to the event's message, nor an answer to the event, reaches another message."""
    async with world.life() as gateway:
        await gateway.send("support", OLD, "Deploy?", buttons=[Button("Yes", "yes")])
        people = world.emulator.people
        press, said = people.press(OLD, "1", "yes", user=5), people.say(OLD, "hello", user=5)
        refs = [MessageRef.at("support", gateway.address("support", e)) for e in (press, said)]
        new = world.emulator.migrate_room(OLD)
        for text in ("important", "too"):
            await gateway.send("support", OLD, text)
        edited = await gateway.edit(refs[0], "Deployed.", raises=False)
        gone = await gateway.delete(refs[1], raises=False)
        reaction = await gateway.react(refs[0], "👍", raises=False)
        answers = [await gateway.reply(event, "answer") for event in (press, said)]
    assert Reason.MESSAGE_GONE is edited.verdict.reason is reaction.verdict.reason
    assert Reason.UNSUPPORTED is gone.verdict.reason
    assert ["important", "too", "answer", "answer"] == world.texts(new)
    assert 2 * [("without_reply",)] == [answer.transforms for answer in answers]


async def test_an_edit_may_be_the_first_to_hear_of_the_move(world, autojump_clock):
    async with world.life() as gateway:
        before = await gateway.send("support", OLD, "before")
        new = world.emulator.migrate_room(OLD)
        edited = await world.edited(gateway, before.ref, "changed")
        assert (await gateway.send("support", OLD, "after")).delivered
    assert (Disposition.REJECTED, Reason.MESSAGE_GONE) == (
        edited.disposition,
        edited.verdict.reason,
    )
    assert (["before"], ["after"]) == (world.texts(OLD), world.texts(new))


async def test_a_delete_that_hears_of_the_move_does_not_say_that_the_message_is_gone(
    world, autojump_clock
):
    """It is made a second time for the new room, and the message stands in the old one."""
    async with world.life() as gateway:
        before = await gateway.send("support", OLD, "before")
        world.emulator.migrate_room(OLD)
        gone = await gateway.delete(before.ref, raises=False)
    assert (Disposition.REJECTED, Reason.UNSUPPORTED) == (gone.disposition, gone.verdict.reason)
    assert ["before"] == world.texts(OLD)


async def test_a_deletion_of_several_messages_does_not_pass_over_those_that_stay(
    world, autojump_clock
):
    async with world.life() as gateway:
        before = await gateway.send("support", OLD, "x " * 4000)
        new = world.emulator.migrate_room(OLD)
        after = await gateway.send("support", OLD, "after")
        mixed = attrs.evolve(before.ref, parts=(before.ref.parts[0], *after.ref.parts))
        gone = await gateway.delete(attrs.evolve(mixed, envelope_id=""), raises=False)
    assert (Disposition.REJECTED, Reason.UNSUPPORTED) == (gone.disposition, gone.verdict.reason)
    assert (2, []) == (len(world.texts(OLD)), world.texts(new))


async def test_the_next_life_knows_the_move(world, autojump_clock):
    """What waited, what is new and edits of old messages all go to the new room at once."""
    async with world.life() as gateway:
        before = await gateway.send("support", OLD, "before")
        new = world.emulator.migrate_room(OLD)
        after = await gateway.send("support", OLD, "after")
        soon = virtual_wall() + 600
        await gateway.submit(Send(**HERE, text="scheduled", not_before=soon, ttl=86_400))
    asked = world.emulator.counters["requests"]
    await trio.sleep(2)
    async with world.life() as gateway:
        assert (await gateway.send("support", OLD, "in the next life")).delivered
        assert (await world.edited(gateway, after.ref, "after, edited")).delivered
        left_behind = await world.edited(gateway, before.ref, "changed")
        await trio.sleep(700)
    assert Reason.MESSAGE_GONE is left_behind.verdict.reason
    assert ["after, edited", "in the next life", "scheduled"] == world.texts(new)
    assert ["before"] == world.texts(OLD)
    # Not one request was made to the old room, nor for a message that stayed in it.
    assert 3 == world.emulator.counters["requests"] - asked
    assert 1 == len(world.observer.moves)
