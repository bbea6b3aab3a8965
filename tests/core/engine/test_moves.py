"""A room gets a new id: its lane goes on there, and whoever knows the old id need not care."""

from __future__ import annotations

import pytest
import trio

from gateway_core import ErrorClass, Instance, Limit, Reason, Scope, Verdict
from gateway_core.authors import Traits, hookimpl
from gateway_core.testing import Failure, FakeChannel, FakeSettings


class Moving(FakeChannel):
    """A platform on which `moves` says where rooms went."""

    def __init__(self, moves: dict[str, str], **options) -> None:
        super().__init__(script=self._gone, **options)
        self.moves = moves

    async def _gone(self, attempt) -> None:
        if attempt.room in self.moves:
            raise moved(self.moves[attempt.room])

    def asked(self) -> list[str]:
        return [made.attempt.room for made in self.made]


def moved(to: str | None) -> Failure:
    verdict = Verdict(
        error_class=ErrorClass.RETRYABLE, reason=Reason.ROOM_MOVED, scope=Scope.ROOM, moved_to=to
    )
    return Failure(verdict)


class Watcher:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    @hookimpl
    def room_moved(self, instance, room, moved_to):
        self.told.append((instance.id, room, moved_to))


async def test_the_lane_goes_on_at_the_new_address(engine, say, autojump_clock):
    watcher, channel = Watcher(), Moving({"old": "new"}, latency=1)
    async with engine(channel, plugins=[watcher]) as gateway:
        tickets = [await gateway.submit(say.message("old", f"{n}")) for n in range(4)]
        receipts = [await ticket.receipt() for ticket in tickets]
        assert all(receipt.delivered for receipt in receipts)
        assert ["0", "1", "2", "3"] == channel.texts("new")
        assert ["old", "new", "new", "new", "new"] == channel.asked()
        assert [("bot", "old", "new")] == watcher.told
        assert 5 == trio.current_time()  # at once, without a pause


async def test_the_receipt_tells_of_the_move(engine, autojump_clock):
    channel = Moving({"old": "new"})
    async with engine(channel) as gateway:
        first = await gateway.send("bot", "old", "x")
        assert ("new", "old") == (first.moved_to, first.external_room_id)
        assert 2 == first.attempts
        assert not first.possible_duplicate
        second = await gateway.send("bot", "old", "x")
        assert second.moved_to is None
        assert 1 == second.attempts


async def test_later_sends_to_the_old_id_are_mapped(engine, autojump_clock):
    """When the room is long forgotten, the alias is not."""
    channel = Moving({"old": "new"})
    async with engine(channel) as gateway:
        await gateway.send("bot", "old", "x")
        await trio.sleep(10_000)
        assert all({} == partition.scheduler.rooms for partition in gateway._partitions)
        await gateway.send("bot", "old", "y")
        assert ["old", "new", "new"] == channel.asked()


async def test_a_room_that_moves_twice_is_found_under_its_first_id(engine, autojump_clock):
    watcher, channel = Watcher(), Moving({"a": "b"})
    async with engine(channel, plugins=[watcher]) as gateway:
        await gateway.send("bot", "a", "1")
        channel.moves["b"] = "c"
        await gateway.send("bot", "a", "2")
        await gateway.send("bot", "b", "3")
        await gateway.send("bot", "a", "4")
        assert ["a", "b", "b", "c", "c", "c"] == channel.asked()
        assert ["2", "3", "4"] == channel.texts("c")
        assert [("bot", "a", "b"), ("bot", "a", "c")] == watcher.told


async def test_a_chain_of_moves_is_followed_at_once(engine, autojump_clock):
    channel = Moving({"a": "b", "b": "c"})
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "a", "x")
        assert receipt.delivered
        assert "c" == receipt.moved_to
        assert ["a", "b", "c"] == channel.asked()
        await gateway.send("bot", "b", "y")
        assert "c" == channel.asked()[-1]


async def test_rooms_that_move_in_circles_end(engine, autojump_clock):
    channel = Moving({"a": "b", "b": "a"})
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "a", "x", raises=False)
        assert not receipt.delivered
        assert Reason.ROOM_MOVED is receipt.verdict.reason
        assert len(channel.made) <= 4
        assert 0 == trio.current_time()


async def test_a_move_that_names_no_place_is_a_refusal(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(moved(None)))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "a", "x", raises=False)
        assert not receipt.delivered
        assert 1 == receipt.attempts


async def test_old_messages_are_edited_at_the_new_address(engine, autojump_clock):
    channel = Moving({})
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "old", "x", key="k")
        channel.moves["old"] = "new"
        channel.rooms["new"] = channel.rooms.pop("old")
        edited = await gateway.edit(sent.ref, "y")
        assert ["old", "old", "new"] == channel.asked()
        assert ["y"] == channel.texts("new")
        assert "old" == edited.ref.external_room_id  # the routing key stays what it was
        again = await gateway.edit(edited.ref, "z")
        assert 2 == again.ref.revision
        assert (await gateway.delete(sent.ref)).delivered
        assert [] == channel.texts("new")


async def test_the_order_holds_between_old_and_queued_edits(engine, say, autojump_clock):
    channel = Moving({"old": "new"}, latency=1)
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message("old", "one"))
        other = await gateway.submit(say.message("old", "two"))
        edit = await gateway.edit(ticket, "one!")
        assert edit.delivered
        assert (await other.receipt()).delivered
        assert ["one!", "two"] == channel.texts("new")


async def test_the_limits_of_the_new_address_count(engine, say, autojump_clock):
    def limits(room: str, _operation: str) -> list[Limit]:
        return [Limit(f"room {room}", 1, 10.0 if room == "new" else 1.0)]

    channel = Moving({"old": "new"}, limits=limits)
    async with engine(channel) as gateway:
        tickets = [await gateway.submit(say.message("old", f"{n}")) for n in range(3)]
        for ticket in tickets:
            await ticket.receipt()
        assert [0, 0, 10, 20] == [round(at) for at in channel.times]


async def test_idempotency_knows_the_room_by_the_id_that_was_asked(engine, autojump_clock):
    channel = Moving({"old": "new"})
    async with engine(channel) as gateway:
        first = await gateway.send("bot", "old", "x", key="k")
        again = await gateway.send("bot", "old", "x", key="k")
        assert again.replayed
        assert "new" == again.moved_to
        assert first.envelope_id == again.envelope_id


async def test_lanes_of_a_moved_room_all_go_there(engine, say, autojump_clock):
    traits = Traits(independent_threads=True)
    channel = Moving({"old": "new"}, latency=1, traits=traits)
    async with engine(channel) as gateway:
        tickets = [
            await gateway.submit(say.message("old", f"{thread} {n}", thread_id=thread))
            for n in range(2)
            for thread in ("s", "t")
        ]
        tickets.append(await gateway.submit(say.message("old", "alone", order="none")))
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
        assert [] == channel.texts("old")
        assert 5 == len(channel.texts("new"))


async def test_another_instance_has_its_own_rooms(engine, autojump_clock):
    channel = Moving({"old": "new"})
    async with engine(channel, instances=["bot", "other"]) as gateway:
        await gateway.send("bot", "old", "x")
        channel.moves.clear()
        await gateway.send("other", "old", "y")
        assert ["y"] == channel.texts("old")


async def test_an_observer_that_breaks_does_not_stop_the_move(engine, autojump_clock):
    class Broken:
        @hookimpl
        def room_moved(self):
            raise ValueError("broken")

    watcher, channel = Watcher(), Moving({"old": "new"})
    async with engine(channel, plugins=[Broken(), watcher]) as gateway:
        assert (await gateway.send("bot", "old", "x")).delivered
        assert [("bot", "old", "new")] == watcher.told


@pytest.mark.parametrize("token", ["the same", "another"])
async def test_a_replaced_instance_keeps_its_aliases(engine, token, autojump_clock):
    channel = Moving({"old": "new"})
    async with engine(channel) as gateway:
        await gateway.send("bot", "old", "x")
        gateway.replace_instance(Instance("bot", "fake", FakeSettings(token)))
        await gateway.send("bot", "old", "y")
        assert ["old", "new", "new"] == channel.asked()
