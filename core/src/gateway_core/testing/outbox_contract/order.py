"""Tests that appended entries are found again: whole, in order, by stream, time and deadline."""

# ruff: noqa: S101, SIM300 - these are tests, shipped to authors

from __future__ import annotations

from itertools import product

import attrs
import trio
import trio.testing

from gateway_core.contract.envelopes import Call, Delete, Envelope, KeyRef, MessageRef, PartRef
from gateway_core.contract.ids import position_of
from gateway_core.outboxes.records import STREAMS, StepShape, Stream
from gateway_core.testing.outbox_contract.making import PARTS, START, Contract, Entries, texts


class OrderContract(Contract):
    """Tests that entries come back unchanged and in order."""

    async def test_an_entry_is_found_again_as_it_was(self, entry: Entries) -> None:
        """Envelope, plan, times and class come back without loss."""
        one = entry("hëllo\nworld 🙂", key="k", extra={"a": [1, {"b": None}]}, ttl=5.0)
        one = attrs.evolve(one, priority="urgent", voted=False)
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
        assert one == stored.entry
        assert (stored.records, stored.shapes) == ((), None)

    async def test_a_plan_is_found_again_with_every_field_of_its_parts(
        self, entry: Entries
    ) -> None:
        """What an edit may do later depends on them; so do steps that were planned anew."""
        one = attrs.evolve(entry("one"), plan=PARTS)
        shapes = tuple(StepShape(kind="send", serial=n, part=part) for n, part in enumerate(PARTS))
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            outbox.replanned(one.id, shapes)
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
        assert one == stored.entry
        assert shapes == stored.shapes

    async def test_entries_come_back_in_order_whoever_waited(self, entry: Entries) -> None:
        """In the order of the appends; `on_stored` is called in it, before the append returns."""
        entries = [entry(str(n)) for n in range(20)]
        order: list[str] = []
        async with self.process_run() as outbox, trio.open_nursery() as nursery:
            for one in entries:
                nursery.start_soon(outbox.append, one, lambda one=one: order.append(one.id))
                await trio.testing.wait_all_tasks_blocked()
        assert [one.id for one in entries] == sorted(order)
        assert order == [one.id for one in entries]
        async with self.process_run() as outbox:
            assert [str(n) for n in range(20)] == texts(await outbox.page("bot"))

    async def test_pages_are_of_one_instance_or_room_and_bounded(self, entry: Entries) -> None:
        """`after` is exclusive, `limit` is a bound, and rooms are read separately."""
        async with self.process_run() as outbox:
            for n in range(6):
                await outbox.append(entry(str(n), room=f"room{n % 2}"), lambda: None)
            await outbox.append(entry("other", instance="other"), lambda: None)
            page = await outbox.page("bot", limit=4)
            assert texts(page) == ["0", "1", "2", "3"]
            assert texts(await outbox.page("bot", after=page[-1].position)) == ["4", "5"]
            assert texts(await outbox.page("bot", room="room1")) == ["1", "3", "5"]

    async def test_streams_are_read_apart_and_together_in_order(self, entry: Entries) -> None:
        """By class, and separately for entries that stand alone; of an instance, and of a room."""
        entries = [
            entry(f"{priority} {order}", priority=priority, order=order, room=f"room{n % 2}")
            for n, (priority, order) in enumerate(product(("bulk", "urgent"), ("room", "none")))
        ]
        entries[2] = attrs.evolve(entries[2], priority="normal")  # as a policy left it
        async with self.process_run() as outbox:
            for one in entries:
                await outbox.append(one, lambda: None)
        async with self.process_run() as outbox:
            page = outbox.page
            found = [texts(await page("bot", streams=[stream])) for stream in STREAMS]
            assert [[], ["urgent room"], ["bulk room"], ["urgent none"], [], ["bulk none"]] == found
            together = [Stream("bulk", alone=True), Stream("normal", alone=False)]
            after = (await page("bot", limit=1))[0].position
            assert texts(await page("bot", streams=together)) == ["bulk none", "urgent room"]
            assert texts(await page("bot", streams=together, limit=1)) == ["bulk none"]
            assert texts(await page("bot", streams=STREAMS[:3], after=after)) == ["urgent room"]
            assert texts(await page("bot", room="room0", streams=STREAMS[3:])) == []
            assert texts(await page("bot", room="room0", streams=STREAMS[:3])) == [
                "bulk room",
                "urgent room",
            ]

    async def test_changes_stand_in_order_whatever_they_ask_for(self, entry: Entries) -> None:
        """Changes, and calls that concern a message, keep the room's order despite `order="none"`.

        They come after their message and its earlier changes. Other calls stand alone.
        """
        target = MessageRef(
            instance_id="bot",
            external_room_id="room",
            envelope_id="1",
            parts=(PartRef(message_id="1"),),
        )
        delete = Delete(
            instance_id="bot",
            external_room_id="room",
            target=target,
            order="none",
            priority="bulk",
        )
        alone = Call(
            instance_id="bot",
            external_room_id="room",
            method="react",
            order="none",
            priority="bulk",
        )
        about = attrs.evolve(alone, target=target, repeat_safe=True)
        by_key = KeyRef(instance_id="bot", external_room_id="room", key="k")
        envelopes: list[Envelope] = [delete, about, attrs.evolve(about, target=by_key), alone]
        entries = [attrs.evolve(entry("x"), envelope=envelope, plan=()) for envelope in envelopes]
        async with self.process_run() as outbox:
            for one in entries:
                await outbox.append(one, lambda: None)
        async with self.process_run() as outbox:
            found = [
                await outbox.page("bot", streams=[Stream("bulk", alone=apart)])
                for apart in (False, True)
            ]
        stand = [[stored.entry for stored in page] for page in found]
        assert [entries[:3], entries[3:]] == stand

    async def test_scheduled_ones_have_no_place_until_they_enter(self, entry: Entries) -> None:
        """They are read by their times; once entered, they come after the entries already there."""
        late = entry("late", due=START + 100)
        soon = entry("soon", due=START + 50)
        now = entry("now")
        async with self.process_run() as outbox:
            for one in (late, soon, now):
                await outbox.append(one, lambda: None)
            assert texts(await outbox.page("bot")) == ["now"]
            assert texts(await outbox.scheduled(until=START + 100)) == ["soon", "late"]
            assert texts(await outbox.scheduled(until=START + 99)) == ["soon"]
            outbox.entered(soon.id, position_of(entry("later").id))
        async with self.process_run() as outbox:
            assert texts(await outbox.page("bot")) == ["now", "soon"]
            assert texts(await outbox.scheduled(until=START + 100)) == ["late"]
            outbox.entered(now.id, position_of(entry("again").id))
        async with self.process_run() as outbox:
            assert texts(await outbox.page("bot")) == ["soon", "now"]
            assert texts(await outbox.page("bot", room=now.envelope.external_room_id)) == [
                "soon",
                "now",
            ]

    async def test_one_that_is_postponed_is_scheduled(self, entry: Entries) -> None:
        """An entry that had a place, and an entry that had a time; both get a new deadline."""
        placed, timed = entry("placed"), entry("timed", due=START + 10)
        async with self.process_run() as outbox:
            for one in (placed, timed):
                await outbox.append(one, lambda: None)
            outbox.postponed(timed.id, START + 50, START + 100)
            outbox.postponed(placed.id, START + 40, START + 90)
            assert texts(await outbox.scheduled(until=START + 45)) == ["placed"]
        async with self.process_run() as outbox:
            assert texts(await outbox.page("bot")) == []
            found = await outbox.scheduled(until=START + 60)
            assert texts(found) == ["placed", "timed"]
            assert [one.entry.due for one in found] == [START + 40, START + 50]
            assert [one.entry.deadline for one in found] == [START + 90, START + 100]
            overdue = await outbox.overdue(until=START + 95)
            assert (texts(overdue.stored), overdue.next) == (["placed"], START + 100)
            outbox.entered(placed.id, position_of(entry("later").id))
        async with self.process_run() as outbox:
            assert texts(await outbox.page("bot")) == ["placed"]

    async def test_overdue_ones_are_read_by_their_deadlines(self, entry: Entries) -> None:
        """Up to a time, from a place on, and with the time at which to ask again."""
        entries = [entry(str(n)) for n in range(3)]
        first, second, third = (one.deadline for one in entries)
        async with self.process_run() as outbox:
            for one in reversed(entries):
                await outbox.append(one, lambda: None)
            found = await outbox.overdue(until=second)
            assert ["0", "1"] == texts(found.stored)
            assert third == found.next
            after = (first, position_of(entries[0].id))
            found = await outbox.overdue(until=third, after=after)
            assert (["1", "2"], None) == (texts(found.stored), found.next)
