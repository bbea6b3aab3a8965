"""Other processes append, whose clocks are hours apart: ids are no order, the owner's sequence is.

`Shared` is an outbox as an engine on another machine would be one: what another process appended
gets its position as the owner's page comes to it.
"""

from __future__ import annotations

from bisect import insort
from random import Random

import attrs
import pytest
import trio

from gateway_core import Disposition, Edit, KeyRef, MessageRef, Part, Send
from gateway_core.contract.ids import Ids
from gateway_core.outboxes import Entry
from gateway_core.testing import EPOCH, FakeChannel, MemoryOutbox, open_test_gateway

HOUR = 3600.0


class Shared(MemoryOutbox):
    """What other processes appended has no position until the owner takes it on."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[str] = []
        self.sequences: dict[str, int] = {}

    async def arrive(self, entry: Entry) -> None:
        """Another process appends it."""
        await super().append(entry, lambda: None)
        self._order.remove((self._rows[entry.id].position, entry.id))
        self.came.append(entry.id)

    async def page(self, instance_id, **asked):
        arrived, self.came = self.came, []
        for name in arrived:
            row = self._rows.get(name)
            if row is not None:
                row.position = self.sequences[name] = self.next_position()
                insort(self._order, (row.position, name))
        return [
            self._numbered_as_taken(stored) for stored in await super().page(instance_id, **asked)
        ]

    def _numbered_as_taken(self, stored):
        return attrs.evolve(stored, sequence=self.sequences.get(stored.entry.id))

    async def find(self, what):
        found = await super().find(what)
        if found is None:
            return None
        stored = found.stored and self._numbered_as_taken(found.stored)
        return attrs.evolve(found, stored=stored, sequence=self.sequences.get(found.envelope_id))


class Producer:
    """A process that appends; its clock goes wrong by `error` seconds."""

    def __init__(self, outbox: Shared, name: str, error: float) -> None:
        self._outbox, self._error, self._ids = outbox, error, Ids(Random(name))

    async def append(self, envelope) -> str:
        """Its id."""
        text = envelope.text
        entry = Entry(
            id=self._ids.next(EPOCH + self._error),
            envelope=envelope,
            plan=(Part(payload={"text": text}, span=(0, len(text))),),
            accepted_at=EPOCH,
            deadline=EPOCH + 24 * HOUR,
            fingerprint="print" if envelope.key is not None else "",
        )
        await self._outbox.arrive(entry)
        return entry.id


def message(text, **fields):
    return Send(instance_id="bot", external_room_id="r", text=text, **fields)


def edit(target, text, **fields):
    return Edit(instance_id="bot", external_room_id="r", target=target, text=text, **fields)


@pytest.fixture
def outbox():
    return Shared()


@pytest.fixture
def ahead(outbox):
    """A producer whose clock is three hours ahead."""
    return Producer(outbox, "ahead", 3 * HOUR)


@pytest.fixture
def behind(outbox):
    """A producer whose clock is three hours behind."""
    return Producer(outbox, "behind", -3 * HOUR)


async def delivered(outbox, channel, count):
    """A gateway owns the account until so many have ended."""
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        with trio.fail_after(600):
            while len(outbox._ended) < count:  # noqa: ASYNC110 - what is looked at has no event
                await trio.sleep(0.1)
        await gateway.send("bot", "r", "the owner's own")
    return channel.texts("r")


async def test_what_arrived_first_goes_first_whatever_the_clocks_say(
    outbox, ahead, behind, autojump_clock
):
    for producer, text in [(ahead, "one"), (behind, "two"), (ahead, "three"), (behind, "four")]:
        await producer.append(message(text))
    found = await delivered(outbox, FakeChannel(), 4)
    assert ["one", "two", "three", "four", "the owner's own"] == found


async def test_of_two_that_collapse_the_one_that_arrived_later_stands(
    outbox, ahead, behind, autojump_clock
):
    async def slow(_):
        await trio.sleep(1)

    await ahead.append(message("first"))
    old = await ahead.append(message("old", collapse="c"))
    await behind.append(message("new", collapse="c"))
    found = await delivered(outbox, FakeChannel(script=slow), 3)
    assert ["first", "new", "the owner's own"] == found
    assert Disposition.SUPERSEDED is outbox._ended[old].receipt.disposition


async def test_an_edit_finds_the_message_that_a_clock_far_ahead_sent(
    outbox, ahead, behind, autojump_clock
):
    await ahead.append(message("as sent", key="k"))
    key = KeyRef(instance_id="bot", external_room_id="r", key="k")
    name = await behind.append(edit(key, "as edited"))
    found = await delivered(outbox, FakeChannel(), 2)
    assert ["as edited", "the owner's own"] == found
    assert outbox._ended[name].receipt.delivered


async def test_an_edit_by_key_is_of_a_message_of_a_former_run_as_well(
    outbox, ahead, behind, autojump_clock
):
    """That has ended, and the outbox alone knows it."""
    channel = FakeChannel()
    await ahead.append(message("as sent", key="k"))
    await delivered(outbox, channel, 1)
    key = KeyRef(instance_id="bot", external_room_id="r", key="k")
    await behind.append(edit(key, "as edited"))
    found = await delivered(outbox, channel, 3)
    assert ["as edited", "the owner's own", "the owner's own"] == found


async def test_of_two_edits_the_one_that_arrived_later_stands(
    outbox, ahead, behind, autojump_clock
):
    sent = await ahead.append(message("as sent"))
    target = MessageRef(instance_id="bot", external_room_id="r", envelope_id=sent)
    await ahead.append(edit(target, "the older"))
    await behind.append(edit(target, "the newer"))
    found = await delivered(outbox, FakeChannel(), 3)
    assert ["the newer", "the owner's own"] == found


async def test_a_clock_that_was_set_back_gives_no_place_before_one_that_was_given(autojump_clock):
    """A scheduled message got its place late in one run; a later one is accepted in the next."""
    outbox = MemoryOutbox()
    given = Ids(Random("late")).next_position(EPOCH + HOUR)
    producer = Ids(Random("early"))
    entry = Entry(
        id=producer.next(EPOCH - HOUR),
        envelope=message("was due"),
        plan=(Part(payload={"text": "was due"}, span=(0, 7)),),
        accepted_at=EPOCH - HOUR,
        deadline=EPOCH + 24 * HOUR,
        due=EPOCH - 60.0,
    )
    await outbox.append(entry, lambda: None)
    outbox.entered(entry.id, given)
    assert given == (await outbox.overview()).sequence
    async with open_test_gateway(outbox=outbox) as gateway:
        gateway.suspend("bot")
        await gateway.enqueue("bot", "r", "accepted later")
    page = await outbox.page("bot")
    assert ["was due", "accepted later"] == [stored.entry.envelope.text for stored in page]
