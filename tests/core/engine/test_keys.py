"""Idempotency keys: one message a key, and a key that is free again where nothing was sent."""

from __future__ import annotations

from random import Random

import pytest
import trio

from gateway_core import Call, Disposition, Edit, GatewayClosed, IdempotencyConflict, KeyRef, Part
from gateway_core.authors import hookimpl
from gateway_core.testing import FakeChannel, run_seeded


async def test_the_same_key_in_flight_joins_the_flight(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel) as gateway:
        first = await gateway.submit(say.message(key="k"))
        await trio.sleep(1)
        second = await gateway.submit(say.message(key="k"))
        assert first.id == second.id
        receipts = [await ticket.receipt() for ticket in (first, second)]
        assert receipts[0] is receipts[1]
        assert not receipts[1].replayed
        assert ["hello"] == channel.texts("r")
        assert 1 == gateway.statistics().accepted


async def test_an_ended_key_is_replayed_and_marked(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        first = await gateway.send("bot", "r", "hello", key="k")
        again = await gateway.send("bot", "r", "hello", key="k")
        assert (False, True) == (first.replayed, again.replayed)
        assert (first.envelope_id, first.ref) == (again.envelope_id, again.ref)
        assert ["hello"] == channel.texts("r")
        assert 1 == gateway.statistics().accepted


async def test_a_replayed_ticket_names_the_message_for_edits(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "hello", key="k")
        ticket = await gateway.submit(say.message(key="k"))
        assert ticket.ended
        assert (await gateway.edit(ticket, "changed")).delivered
        assert ["changed"] == channel.texts("r")


@pytest.mark.parametrize(
    "fields",
    [{"ttl": 5}, {"priority": "urgent"}, {"order": "none"}, {"on_unknown": "give_up"}],
    ids=lambda fields: next(iter(fields)),
)
async def test_how_it_is_sent_is_no_part_of_the_payload(engine, say, fields, autojump_clock):
    async with engine() as gateway:
        await gateway.send("bot", "r", "hello", key="k")
        ticket = await gateway.submit(say.message(key="k", **fields))
        assert (await ticket.receipt()).replayed


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "other"},
        {"thread_id": "t"},
        {"reply_to": "7"},
        {"format": "native"},
        {"extra": {"a": 1}},
        {"silent": True},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_another_payload_is_a_conflict_in_flight_and_after(
    engine, say, fields, autojump_clock
):
    channel = FakeChannel(latency=5)
    async with engine(channel) as gateway:
        first = await gateway.submit(say.message(key="k"))
        for _ in range(2):
            with pytest.raises(IdempotencyConflict) as caught:
                await gateway.submit(say.message(key="k", **fields))
            assert ("k", first.id) == (caught.value.key, caught.value.envelope_id)
            await first.receipt()
        assert 2 == gateway.statistics().refused
        assert 1 == gateway.statistics().accepted


async def test_on_conflict_replay_answers_with_the_first(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel) as gateway:
        first = await gateway.submit(say.message(key="k"))
        other = say.message(text="other", key="k", on_conflict="replay")
        joined = await gateway.submit(other)
        assert first.id == joined.id
        assert not (await joined.receipt()).replayed
        replayed = await (await gateway.submit(other)).receipt()
        assert replayed.replayed
        assert first.id == replayed.envelope_id
        assert ["hello"] == channel.texts("r")


async def test_a_key_is_unique_in_its_instance_room_and_operation(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel, instances=["bot", "other"], partition_count=1) as gateway:
        first = await gateway.send("bot", "r", "hello", key="k")
        ids = {first.envelope_id}
        envelopes = [
            say.message("r2", key="k"),
            say.message("r", key="k", instance_id="other"),
            Edit(
                instance_id="bot", external_room_id="r", key="k", target=first.ref, text="changed"
            ),
            Call(instance_id="bot", external_room_id="r", key="k", method="typing"),
            Call(instance_id="bot", external_room_id="r", key="k", method="react"),
        ]
        for envelope in envelopes:
            receipt = await (await gateway.submit(envelope)).receipt()
            assert receipt.delivered
            assert not receipt.replayed
            ids.add(receipt.envelope_id)
        assert 6 == len(ids)


class Shed:
    def __init__(self) -> None:
        self.on = True

    @hookimpl
    def admit(self, envelope):
        return "shed" if self.on else None


async def test_a_shed_key_is_free_again(engine, autojump_clock):
    policy = Shed()
    async with engine(plugins=[policy]) as gateway:
        shed = await gateway.send("bot", "r", "hello", key="k", raises=False)
        assert Disposition.SHED is shed.disposition
        policy.on = False
        again = await gateway.send("bot", "r", "another text even", key="k")
        assert again.delivered
        assert not again.replayed
        assert shed.envelope_id != again.envelope_id


async def test_an_expired_key_is_free_again(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        gateway.suspend("bot")
        expired = await gateway.send("bot", "r", "hello", key="k", ttl=5, raises=False)
        assert Disposition.EXPIRED is expired.disposition
        gateway.resume("bot")
        assert not (await gateway.send("bot", "r", "hello", key="k")).replayed
        assert ["hello"] == channel.texts("r")


async def test_a_cancelled_key_is_free_again(engine, say, autojump_clock):
    async with engine() as gateway:
        gateway.suspend("bot")
        ticket = await gateway.submit(say.message(key="k"))
        assert await gateway.cancel(ticket)
        gateway.resume("bot")
        again = await gateway.send("bot", "r", "other", key="k")
        assert again.delivered
        assert ticket.id != again.envelope_id


async def test_a_key_exhausted_undispatched_is_free_again(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(*[say.busy()] * 6))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "hello", key="k", raises=False)
        assert Disposition.EXHAUSTED is receipt.disposition
        assert 6 == receipt.attempts
        again = await gateway.send("bot", "r", "hello", key="k")
        assert again.delivered
        assert not again.replayed


@pytest.mark.parametrize(
    "steps", [["unknown"], ["unknown", "busy"]], ids=["at_once", "known_undispatched_later"]
)
async def test_a_key_that_may_have_arrived_stays_taken(engine, say, steps, autojump_clock):
    """Once a try may have been accepted, no later refusal frees the key."""
    failures = [getattr(say, step)() for step in steps] + [say.busy()] * 9
    channel = FakeChannel(script=say.script(*failures))
    async with engine(channel) as gateway:
        first = await gateway.send("bot", "r", "hello", key="k", ttl=40, raises=False)
        assert not first.delivered
        again = await gateway.send("bot", "r", "hello", key="k", raises=False)
        assert again.replayed
        assert first.envelope_id == again.envelope_id


async def test_a_half_sent_message_keeps_its_key(engine, say, autojump_clock):
    class Two(FakeChannel):
        @hookimpl
        def chunk(self, envelope):
            return [Part(payload={"text": word}) for word in envelope.text.split()]

    channel = Two(script=say.script(None, say.limited(100)))
    async with engine(channel) as gateway:
        first = await gateway.send("bot", "r", "one two", key="k", ttl=5, raises=False)
        assert Disposition.EXPIRED is first.disposition
        assert ["delivered", "failed"] == [part.outcome for part in first.parts]
        assert (await gateway.send("bot", "r", "one two", key="k", raises=False)).replayed
        assert ["one"] == channel.texts("r")


async def test_a_rejected_key_is_replayed(engine, say, autojump_clock):
    """The platform refused the message: the same one again would be refused again."""
    channel = FakeChannel(script=say.script(say.rejected()))
    async with engine(channel) as gateway:
        first = await gateway.send("bot", "r", "hello", key="k", raises=False)
        again = await gateway.send("bot", "r", "hello", key="k", raises=False)
        assert Disposition.REJECTED is first.disposition is again.disposition
        assert again.replayed
        assert 1 == len(channel.made)


async def test_a_key_is_remembered_for_its_time_after_the_end(engine, autojump_clock):
    channel = FakeChannel(latency=50)
    async with engine(channel, idempotency_window=100) as gateway:
        await gateway.send("bot", "r", "hello", key="k")
        assert 50 == trio.current_time()
        await trio.sleep(100)
        assert (await gateway.send("bot", "r", "hello", key="k")).replayed
        await trio.sleep(0.001)
        assert not (await gateway.send("bot", "r", "hello", key="k")).replayed
        assert ["hello", "hello"] == channel.texts("r")


async def test_a_key_in_flight_outlives_its_time(engine, say, autojump_clock):
    async with engine(idempotency_window=100) as gateway:
        gateway.suspend("bot")
        first = await gateway.submit(say.message(key="k", ttl=1000))
        await trio.sleep(500)
        assert first.id == (await gateway.submit(say.message(key="k", ttl=1000))).id


async def test_keys_are_bounded_by_number_the_oldest_goes_first(engine, autojump_clock):
    async with engine(partition_count=1, idempotency_keys=10) as gateway:
        for n in range(13):
            await gateway.send("bot", "r", "hello", key=f"{n}")
        keys = gateway._partitions[0].keys
        assert 10 == len(keys)
        assert (await gateway.send("bot", "r", "hello", key="12")).replayed
        assert (await gateway.send("bot", "r", "hello", key="3")).replayed
        assert not (await gateway.send("bot", "r", "hello", key="2")).replayed


async def test_keys_in_flight_are_never_dropped(engine, say, autojump_clock):
    async with engine(partition_count=1, idempotency_keys=2) as gateway:
        gateway.suspend("bot")
        tickets = [await gateway.submit(say.message(key=f"{n}")) for n in range(20)]
        for n, ticket in enumerate(tickets):
            assert ticket.id == (await gateway.submit(say.message(key=f"{n}"))).id
        gateway.resume("bot")
        for ticket in tickets:
            await ticket.receipt()
        for n in range(100, 130):
            await gateway.send("bot", "r", "hello", key=f"{n}")
        assert 3 >= len(gateway._partitions[0].keys)


async def test_memory_of_old_keys_is_given_back(engine, autojump_clock):
    async with engine(partition_count=1, idempotency_window=10) as gateway:
        for n in range(50):
            await gateway.send("bot", "r", "hello", key=f"{n}")
        await trio.sleep(20)
        for n in range(50, 60):
            await gateway.send("bot", "r", "hello", key=f"{n}")
        assert 50 > len(gateway._partitions[0].keys)


async def test_the_status_of_a_key(engine, say, autojump_clock):
    name = KeyRef(instance_id="bot", external_room_id="r", key="k")
    channel = FakeChannel(latency=5)
    async with engine(channel) as gateway:
        assert await gateway.status(name) is None
        ticket = await gateway.submit(say.message(key="k"))
        assert "unfinished" == (await gateway.status(name)).state
        await ticket.receipt()
        assert (ticket.id, "ended") == (
            (await gateway.status(name)).envelope_id,
            (await gateway.status(name)).state,
        )


# -- two callers of one key, and no room


async def test_two_callers_of_a_key_that_wait_for_room_make_one_message(
    engine, say, autojump_clock
):
    channel = FakeChannel(latency=5)
    tickets = []
    async with engine(channel, partition_count=1, partition_bound=1) as gateway:

        async def submit() -> None:
            tickets.append(await gateway.submit(say.message(text="once", key="k")))

        await gateway.submit(say.message())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit)
            nursery.start_soon(submit)
            await trio.sleep(1)
            assert 2 == gateway.statistics().partitions[0].waiting
        receipts = [await ticket.receipt() for ticket in tickets]
        assert receipts[0].envelope_id == receipts[1].envelope_id
        assert ["hello", "once"] == channel.texts("r")
        assert 2 == gateway.statistics().accepted


async def test_a_conflict_found_after_waiting_for_room_gives_its_place_back(
    engine, say, autojump_clock
):
    channel = FakeChannel(latency=5)
    outcomes = []
    async with engine(channel, partition_count=1, partition_bound=1) as gateway:

        async def submit(text: str) -> None:
            try:
                ticket = await gateway.submit(say.message(text=text, key="k"))
            except IdempotencyConflict:
                outcomes.append("conflict")
            else:
                outcomes.append((await ticket.receipt()).disposition.value)

        await gateway.submit(say.message())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit, "one")
            nursery.start_soon(submit, "two")
        assert ["conflict", "delivered"] == sorted(outcomes)
        assert 0 == gateway.statistics().partitions[0].depth
        assert (await gateway.send("bot", "r", "next")).delivered


async def test_a_cancelled_waiter_for_room_leaves_the_key_free(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel, partition_count=1, partition_bound=1) as gateway:
        await gateway.submit(say.message())
        with trio.move_on_after(1) as scope:
            await gateway.submit(say.message(text="given up", key="k"))
        assert scope.cancelled_caught
        receipt = await gateway.send("bot", "r", "another text", key="k")
        assert receipt.delivered
        assert ["hello", "another text"] == channel.texts("r")


async def test_a_key_freed_while_another_waits_for_room_is_taken_by_that_one(
    engine, say, autojump_clock
):
    channel = FakeChannel(latency=5)
    async with engine(channel, partition_count=1, partition_bound=1) as gateway:
        await gateway.submit(say.message())
        done = []

        async def send() -> None:
            done.append(await gateway.send("bot", "r", "once", key="k"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(send)
            await trio.sleep(1)
        assert ["hello", "once"] == channel.texts("r")
        assert 1 == len({receipt.envelope_id for receipt in done})


async def test_waiters_of_one_key_hear_that_the_gateway_closes(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    heard = []
    async with engine(channel, partition_count=1, partition_bound=1, drain_timeout=20) as gateway:

        async def submit() -> None:
            try:
                await gateway.submit(say.message(text="late", key="k"))
            except GatewayClosed as closed:
                heard.append(closed.kept)

        await gateway.submit(say.message())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit)
            nursery.start_soon(submit)
            await trio.sleep(1)
            gateway.quiet()
        assert 1 == trio.current_time()
        assert [False, False] == heard
    assert ["hello"] == channel.texts("r")


# -- cancelled callers of one key


async def test_a_joined_envelope_survives_the_cancelling_of_its_first_caller(
    engine, say, autojump_clock
):
    async with engine() as gateway:
        gateway.suspend("bot")
        done = []

        async def send(after: float, give_up: float) -> None:
            await trio.sleep(after)
            with trio.move_on_after(give_up):
                done.append(await gateway.send("bot", "r", "once", key="k"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, 0, 2)
            nursery.start_soon(send, 1, 100)
            await trio.sleep(5)
            assert 1 == gateway.statistics().unfinished
            gateway.resume("bot")
        assert [True] == [receipt.delivered for receipt in done]


async def test_a_cancelled_sender_does_not_withdraw_what_another_submitted(
    engine, say, autojump_clock
):
    """A ticket is a promise to its holder, whether or not somebody waits for its receipt."""
    async with engine() as gateway:
        gateway.suspend("bot")
        ticket = await gateway.submit(say.message(key="k"))
        with trio.move_on_after(1) as scope:
            await gateway.send("bot", "r", "hello", key="k")
        assert scope.cancelled_caught
        gateway.resume("bot")
        assert (await ticket.receipt()).delivered


async def test_a_joined_ticket_outlives_the_cancelled_sender(engine, say, autojump_clock):
    async with engine() as gateway:
        gateway.suspend("bot")
        tickets = []

        async def join() -> None:
            await trio.sleep(1)
            tickets.append(await gateway.submit(say.message(key="k")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(join)
            with trio.move_on_after(2):
                await gateway.send("bot", "r", "hello", key="k")
        gateway.resume("bot")
        assert (await tickets[0].receipt()).delivered


# -- many interleavings


def _race(new_engine, say, seed: str) -> None:
    """Callers of few keys and few texts, in whatever order the seed draws."""
    rng = Random(seed)
    channel = FakeChannel(latency=0.25, script=say.script(say.busy(), None, say.unknown()))
    answers: list[tuple[str, str, str]] = []

    async def caller(gateway, key: str, text: str, give_up: float) -> None:
        await trio.sleep(rng.randrange(8) / 4)
        with trio.move_on_after(give_up):
            try:
                receipt = await gateway.send("bot", "r", text, key=key, raises=False)
            except IdempotencyConflict as conflict:
                answers.append((key, "conflict", conflict.envelope_id))
            else:
                answers.append((key, receipt.disposition.value, receipt.envelope_id))

    async def main() -> None:
        settings = {"partition_count": 1, "partition_bound": rng.randint(1, 3)}
        async with new_engine()(channel, **settings) as gateway, trio.open_nursery() as nursery:
            for _ in range(12):
                key, text = rng.choice("abc"), rng.choice(["x", "x", "y"])
                give_up = rng.choice([0.25, 0.5, 1000])
                nursery.start_soon(caller, gateway, key, text, give_up)

    run_seeded(seed, main)
    sent: dict[str, set[str]] = {}
    for made in channel.made:
        sent.setdefault(made.attempt.envelope_id, set()).add(made.attempt.part.payload["text"])
    delivered = {(key, id_) for key, end, id_ in answers if end == "delivered"}
    assert len(delivered) == len({key for key, _ in delivered}), "a key was delivered twice"
    assert all(1 == len(texts) for texts in sent.values())


def test_callers_of_few_keys_in_any_order_make_one_message_a_key(new_engine, say):
    for n in range(50):
        _race(new_engine, say, f"keys {n}")
