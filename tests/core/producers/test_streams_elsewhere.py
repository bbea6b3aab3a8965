"""A stream that one process writes and another one shows; each may die, and the outbox be away."""

import json
from contextlib import asynccontextmanager, nullcontext, suppress
from random import Random

import attrs
import pytest
import trio
from amounts import amount
from handing_in_memory import SharedMemory

from gateway_core import Button, DeliveryError, Disposition, IdempotencyConflict
from gateway_core.authors import Delay, Streaming, hookimpl
from gateway_core.deliveries.growing.growth import BROKEN_OFF
from gateway_core.producers import written
from gateway_core.testing import FakeChannel, event, open_test_gateway, virtual_wall

PLACE = ("bot", "room")
SILENT = written.LOOK * (written.LOOKS + 1) + 1
"""Seconds after which nobody waits for a word any more."""


class Footer:
    @hookimpl
    def rewrite(self, envelope):
        return attrs.evolve(envelope, text=f"{envelope.text} (a robot)")


def shown(channel):
    return [(made.attempt.operation, made.attempt.payload.get("text")) for made in channel.made]


class World:
    """An outbox, its platform, and whoever opens it."""

    def __init__(self, **channel):
        self.outbox = SharedMemory()
        self.channel = FakeChannel(**channel)

    def owner(self, **settings):
        return open_test_gateway(self.channel, outbox=self.outbox, **settings)

    def producer(self, **settings):
        return open_test_gateway(FakeChannel(), outbox=self.outbox, serve=False, **settings)

    @asynccontextmanager
    async def both(self, **settings):
        async with self.owner(**settings) as owner, self.producer(**settings) as producer:
            yield owner, producer

    def says(self, what):
        """What was told of streams, of that."""
        asked = map(json.loads, self.outbox.desk.asked)
        return [told[what] for told in asked if what in told]


@pytest.fixture
def world(autojump_clock):
    return World()


async def say(out, *words, pause=2.0):
    for word in words:
        out.write(word)
        await trio.sleep(pause)


async def test_it_is_seen_to_grow(world):
    async with world.both() as (_, producer), producer.stream(PLACE) as out:
        await say(out, "The **answer", "** is", " 42")
        out.status("checking")
        await say(out, "", pause=2)
        out.status("")
        out.replace("It is 42")
        await trio.sleep(2)
        assert (False, None) == (out.stopped, out.receipt)
        receipt = await out.finish("It is 42.", buttons=[Button("Thanks", "ok")])
    assert (out.ticket.id, True) == (receipt.envelope_id, receipt.delivered)
    assert [
        ("send", "The **answer**"),
        ("edit", "The **answer** is"),
        ("edit", "The **answer** is 42"),
        ("edit", "The **answer** is 42\n\nchecking"),
        ("edit", "It is 42"),
        ("edit", "It is 42."),
    ] == shown(world.channel)
    ((row,),) = world.channel.pressable.values()
    assert "Thanks" == row[0].text


async def test_what_was_told_before_is_not_told_again(world):
    """Each state says what is new in it, and there are no more than a few a second."""
    async with world.both() as (_, producer), producer.stream(PLACE) as out:
        for number in range(200):
            out.write(f"{number} ")
            await trio.sleep(0.05)
        await trio.sleep(5)
        text = "".join(f"{number} " for number in range(200))
        passing = "".join(world.says("text"))
        assert text.endswith(passing)
        assert 20 <= len(world.says("number")) <= 10 / 0.3 + 2
    assert [text] == world.channel.texts("room")


async def test_it_is_shown_natively_where_the_channel_can(autojump_clock):
    world = World(streaming=Streaming(how="append", lasts=100.0))
    async with world.both() as (_, producer), producer.stream(PLACE) as out:
        await say(out, "One. ", "Two. ", "Three.")
    operations = [operation for operation, _ in shown(world.channel)]
    assert ["start", "append", "stop"] == list(dict.fromkeys(operations))
    assert ["One. Two. Three."] == world.channel.texts("room")
    assert set() == world.channel.growing


async def test_a_short_one_is_one_message_and_waits_for_an_owner(world):
    """Whatever became of it before one came: of passing states nothing is shown then."""
    async with world.producer() as producer, trio.open_nursery() as nursery:

        async def stream(*words):
            async with producer.stream(PLACE) as out:
                await say(out, *words, pause=1)

        nursery.start_soon(stream, "short")
        nursery.start_soon(stream, "one ", "two ", "three")
        await trio.sleep(60)
        async with world.owner():
            await trio.sleep(10)
    assert {("send", "short"), ("send", "one two three")} == set(shown(world.channel))


async def test_its_time_to_live_counts_from_its_end(world):
    """An owner that comes too late sends nothing of it, and one in time sends it."""
    receipts = {}

    async def stream(producer, name, open_for):
        out = producer.stream(PLACE, ttl=30)
        async with out as stream:
            await say(stream, name, " is whole", pause=open_for / 2)
            with pytest.raises(DeliveryError) if name == "late" else nullcontext():
                receipts[name] = await stream.finish()
        receipts[name] = stream.receipt

    async with world.producer() as producer, trio.open_nursery() as nursery:
        nursery.start_soon(stream, producer, "late", 10)
        nursery.start_soon(stream, producer, "in time", 40)
        await trio.sleep(50)
        async with world.owner():
            await trio.sleep(10)
    assert Disposition.EXPIRED == receipts["late"].disposition
    assert ["in time is whole"] == world.channel.texts("room")


async def test_one_that_is_whole_at_once_expires_as_any_other(world):
    async with world.both() as (owner, producer):
        owner.suspend("bot")
        with pytest.raises(DeliveryError) as raised:
            await producer.stream(PLACE, words("short", pause=0), ttl=30)
    receipt = raised.value.receipt
    assert (Disposition.EXPIRED, 30) == (
        receipt.disposition,
        round(receipt.ended_at - receipt.accepted_at),
    )


async def test_the_next_owner_goes_on_with_it(world):
    """With what it has as it is told all of it; one message, with the policies of both."""
    async with world.producer() as producer, producer.stream(PLACE) as out:
        async with world.owner(plugins=[Footer()]):
            await say(out, "one", " two")
        await say(out, " three")
        async with world.owner(plugins=[Footer()]):
            await say(out, " four")
            assert ["one two three four (a robot)"] == world.channel.texts("room")
            await out.finish()
    assert [
        ("send", "one (a robot)"),
        ("edit", "one two (a robot)"),
        ("edit", "one two three four (a robot)"),
    ] == shown(world.channel)


class Moving:
    @hookimpl
    def rewrite(self, envelope):
        return attrs.evolve(envelope, external_room_id="safe")


async def test_the_next_owner_goes_on_in_the_room_to_which_policies_moved_it(world):
    async with world.producer() as producer, producer.stream(PLACE) as out:
        async with world.owner(plugins=[Moving()]):
            await say(out, "one", " two")
        async with world.owner(plugins=[Moving()]):
            await say(out, " three", " four")
            await out.finish()
    assert {"safe": ["one two three four"]} == {
        room: list(texts.values()) for room, texts in world.channel.rooms.items() if texts
    }


async def test_a_policy_that_sheds_it_ends_it(world):
    """As it is accepted, whatever was said of it by then."""

    class Shedding:
        @hookimpl
        def admit(self):
            return "shed"

    async with world.producer() as producer:
        stream = await producer.stream(PLACE).__aenter__()
        await say(stream, "one", " two")
        async with world.owner(plugins=[Shedding()]):
            await say(stream, " three", pause=10)
            with pytest.raises(DeliveryError):
                await stream.finish()
    assert (True, Disposition.SHED) == (stream.stopped, stream.receipt.disposition)
    assert [] == world.channel.made


async def test_a_native_one_is_stopped_by_the_next_owner_and_edited(autojump_clock):
    world = World(streaming=Streaming(how="append", lasts=1000.0))
    async with world.producer() as producer, producer.stream(PLACE) as out:
        async with world.owner():
            await say(out, "One. ", "Two. ")
        async with world.owner():
            await say(out, "Three. ", "Four. ")
            await out.finish()
    assert ["One. Two. Three. Four. "] == world.channel.texts("room")
    assert set() == world.channel.growing


async def test_its_whole_text_waits_for_the_next_owner(world):
    """Its process may be gone by then."""
    async with world.producer() as producer:
        async with world.owner():
            out = producer.stream(PLACE)
            stream = await out.__aenter__()
            await say(stream, "one", " two")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.finish)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        world.outbox.desk.dead = True
    async with world.owner() as owner:
        await trio.sleep(5)
        assert (await owner.status(stream.ticket.id)).receipt.degradations == ()
    assert ["one two"] == world.channel.texts("room")


async def test_its_whole_text_waits_until_it_is_accepted_and_sent(world):
    """The first owner has no room for it, the second may not send, and its process is gone."""
    later = virtual_wall() + 3600
    async with world.producer() as producer:
        async with world.owner(outbox_capacity=1) as owner:
            await owner.enqueue("bot", "other", "later", not_before=later)
            stream = await producer.stream(PLACE).__aenter__()
            await say(stream, "one")
            with trio.move_on_after(5):
                await stream.finish("whole")
        world.outbox.desk.dead = True
    async with world.owner() as owner:
        owner.suspend("bot")
        await trio.sleep(SILENT)
    async with world.owner():
        await trio.sleep(1)
    assert [("send", "whole")] == shown(world.channel)


async def test_what_each_owner_heard_is_there_for_the_next(world):
    async with world.producer(drain_timeout=1) as producer:
        stream = await producer.stream(PLACE).__aenter__()
        async with world.owner():
            await say(stream, *"abcdef")
        async with world.owner():
            await say(stream, "g", "h")
        world.outbox.desk.dead = True
    async with world.owner():
        await trio.sleep(SILENT)
    assert ["abcdefgh […]"] == world.channel.texts("room")


async def test_one_that_is_heard_of_seldom_goes_on(world):
    async with world.both() as (_, producer), producer.stream(PLACE) as out:
        await say(out, "slow")
        world.outbox.latency = written.LOOK * (written.LOOKS - 0.5)
        await say(out, "ly", pause=300)
        assert not out.stopped
    assert ["slowly"] == world.channel.texts("room")


@pytest.mark.parametrize("taken", ["by the one", "by the next"])
async def test_it_is_broken_off_once_its_process_is_silent(world, taken):
    async with world.producer(drain_timeout=1) as producer:
        async with world.owner():
            stream = await producer.stream(PLACE).__aenter__()
            await say(stream, "half", pause=40)
            assert ["half"] == world.channel.texts("room")
            world.outbox.desk.dead = True
            if taken == "by the one":
                await trio.sleep(SILENT)
        if taken == "by the next":
            async with world.owner():
                await trio.sleep(SILENT)
    assert ["half […]"] == world.channel.texts("room")
    receipt = world.outbox.look_up(stream.ticket.id).receipt
    assert (True, (BROKEN_OFF,)) == (receipt.delivered, receipt.degradations)


async def test_one_that_is_heard_of_after_that_is_stopped(world):
    """As of a process that was stopped for a minute."""
    async with world.both() as (_, producer), producer.stream(PLACE) as out:
        await say(out, "half")
        world.outbox.latency = SILENT
        await say(out, " and half")
        await trio.sleep(2 * SILENT)
        world.outbox.latency = 0.05
        assert out.stopped
        receipt = await out.finish()
    assert (BROKEN_OFF,) == receipt.degradations
    assert ["half […]"] == world.channel.texts("room")


async def test_nobody_is_silent_while_the_outbox_is_away(world):
    async with world.both() as (_, producer), producer.stream(PLACE) as out:
        await say(out, "before", pause=5)
        world.outbox.away = True
        await say(out, ", while", pause=2 * SILENT)
        world.outbox.back()
        await trio.sleep(5)
        assert ["before, while"] == world.channel.texts("room")
        world.outbox.away = True
        with trio.move_on_after(5):
            await out.finish(", and after")
        world.outbox.back()
        await trio.sleep(5)
        assert out.receipt.delivered
    assert [", and after"] == world.channel.texts("room")


async def test_it_is_broken_off_as_its_gateway_closes(world):
    async with world.owner():
        async with world.producer() as producer:
            stream = await producer.stream(PLACE).__aenter__()
            await say(stream, "half")
        await trio.sleep(1)
    assert ["half […]"] == world.channel.texts("room")


@pytest.mark.parametrize(
    ("on_error", "left"), [("mark", ["half […]"]), ("delete", []), ("keep", ["half"])]
)
async def test_its_block_ends_by_an_exception(world, on_error, left):
    async with world.both() as (_, producer):
        with suppress(ZeroDivisionError):
            async with producer.stream(PLACE, on_error=on_error) as out:
                await say(out, "half")
                raise ZeroDivisionError
        await trio.sleep(2)
        assert left == world.channel.texts("room")


async def test_two_of_one_key_in_two_processes_are_one(world):
    """The second joins while the first is open, and gets its receipt once it has ended."""
    texts = []

    async def second(producer, text):
        async with producer.stream(PLACE, key="k") as out:
            await say(out, text, " more")
            texts.append((out.stopped, (await out.finish()).envelope_id))

    async with world.both() as (_, producer), world.producer() as other:
        async with trio.open_nursery() as nursery, producer.stream(PLACE, key="k") as out:
            await say(out, "first")
            nursery.start_soon(second, other, "another")
            await say(out, " of one", pause=10)
        name = out.receipt.envelope_id
        assert [(True, name)] == texts
        again = await other.stream(PLACE, words("another"), key="k")
        assert (name, True) == (again.envelope_id, again.replayed)
        with pytest.raises(IdempotencyConflict):
            await other.stream(PLACE, words("first"), key="k", silent=True)
    assert ["first of one"] == world.channel.texts("room")


async def words(*some, pause=1.0):
    for each in some:
        yield each
        await trio.sleep(pause)


async def test_its_user_stops_it_and_its_whole_text_is_told_nevertheless(world):
    async with world.both() as (owner, producer), producer.stream(PLACE) as out:
        await say(out, "one")
        for partition in owner._partitions:
            for delivery in partition.deliveries.values():
                delivery.growth.stop()
        await say(out, " two", pause=2 * SILENT)
        assert out.stopped
    assert (True, ()) == (out.receipt.delivered, out.receipt.degradations)
    assert ["one two"] == world.channel.texts("room")


async def test_one_that_waits_in_the_outbox_alone_is_told_as_well(world):
    """It was spilled as the owner went, and is so for the next one."""
    async with world.producer() as producer, producer.stream(PLACE) as out:
        async with world.owner() as owner:
            owner.suspend("bot")
            await say(out, "one", " two")
        async with world.owner() as owner:
            owner.suspend("bot")
            await say(out, " three", pause=3 * SILENT)
            assert [] == world.channel.made
            owner.resume("bot")
            await say(out, " four")
            await out.finish()
    assert [("send", "one two three"), ("edit", "one two three four")] == shown(world.channel)


class Delaying:
    def __init__(self):
        self.until = virtual_wall() + 100

    @hookimpl
    def admit(self):
        return Delay(self.until)


@pytest.mark.parametrize("extra", [None, {"field": "value"}])
async def test_one_that_policies_delay_is_told_where_it_is_stored_alone(world, extra):
    """The next owner does not have it in memory, and has all of it once its time has come."""
    policy = Delaying()
    async with world.producer() as producer, producer.stream(PLACE) as out:
        async with world.owner(plugins=[policy]):
            await say(out, "one", " two")
        async with world.owner(plugins=[policy]):
            await say(out, " three")
            await out.finish(extra=extra)
    assert policy.until == pytest.approx(out.receipt.ended_at, abs=1)
    (made,) = world.channel.made
    assert ("one two three", extra) == (made.attempt.payload["text"], made.attempt.extra or None)


async def test_an_event_is_answered_by_one_stream(world):
    async with world.both() as (_, producer):
        asked = event("question")
        receipts = [await producer.stream(asked, words("the ", "answer"), key="a") for _ in "ab"]
    assert [False, True] == [receipt.replayed for receipt in receipts]
    assert ["the answer"] == world.channel.texts("room")


@pytest.mark.parametrize("seed", range(amount("orders of a stream from elsewhere")))
async def test_whatever_comes_between_its_whole_text_is_one_message(autojump_clock, seed):
    """Owners come and go, the outbox is away, and is slow: no word is lost, nor comes back."""
    rng = Random(f"streams {seed}")
    world = World(latency=rng.choice([0.0, 0.5, 2.0]))
    world.outbox.latency = rng.choice([0.0, 0.05, 1.0])
    said = [f"{number} " for number in range(rng.randint(1, 60))]

    async def own():
        while True:
            await trio.sleep(rng.expovariate(1 / 5))
            async with world.owner():
                await trio.sleep(rng.expovariate(1 / 20))

    async def trouble():
        while True:
            await trio.sleep(rng.expovariate(1 / 10))
            world.outbox.away = True
            await trio.sleep(rng.expovariate(1 / 3))
            world.outbox.back()

    async with (
        world.producer() as producer,
        trio.open_nursery() as nursery,
        producer.stream(PLACE) as out,
    ):
        nursery.start_soon(own)
        out.write(said[0])
        while out.ticket is None:  # noqa: ASYNC110 - its acceptance has no event
            await trio.sleep(0.1)
        nursery.start_soon(trouble)
        for word in said[1:]:
            out.write(word)
            await trio.sleep(rng.expovariate(1))
        receipt = await out.finish()
        nursery.cancel_scope.cancel()
    assert ["".join(said)] == world.channel.texts("room")
    assert (True, ()) == (receipt.delivered, receipt.degradations)
    lengths = [len(text) for _, text in shown(world.channel)]
    assert lengths == sorted(lengths)
