"""Processes that only hand over: what they are told is what the owner would have told them."""

import asyncio  # noqa: TID251 - what an application runs on
import json
from contextlib import suppress
from functools import partial
from time import time
from uuid import uuid4

import attrs
import pytest
import trio
from amounts import amount
from postgres_proxy import between
from postgres_shared import PATIENCE, Shared
from sealed import FIRST
from structlog.testing import capture_logs

from gateway_contrib.durable.operators.looking import Which
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.durable.sealing.known import keys_in
from gateway_contrib.postgres import PostgresSettings, enqueue
from gateway_contrib.postgres.connections.migrations import changes
from gateway_contrib.postgres.names import HANDED
from gateway_contrib.postgres.operators.operating import Operator
from gateway_contrib.postgres.producing import handover
from gateway_contrib.postgres.producing.calls import Handing
from gateway_contrib.postgres.producing.listening import Listening
from gateway_contrib.postgres.writes import ageing
from gateway_contrib.postgres.writes.handed_answers import tell
from gateway_core import (
    Call,
    ConfigError,
    Delete,
    DeliveryError,
    Disposition,
    Edit,
    File,
    GatewayClosed,
    GatewayConfig,
    IdempotencyConflict,
    Instance,
    InstanceSuspended,
    Invalid,
    KeyRef,
    NotServing,
    OutboxError,
    Overloaded,
    Send,
    UnknownInstance,
    Verdict,
    aio,
    blocking,
    to_json,
)
from gateway_core.groups import feeding, job
from gateway_core.outboxes import OutboxForbidden
from gateway_core.testing import (
    FakeChannel,
    FakeSettings,
    event,
    failing,
    open_test_gateway,
    virtual_wall,
)
from gateway_core.testing.outbox_contract import Entries

LATER = """
CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.receipt := '{"disposition": "of a later release"}'; RETURN NEW;
END $$;
CREATE TRIGGER later BEFORE INSERT ON history FOR EACH ROW
    WHEN (NEW.id = '{id}') EXECUTE FUNCTION later();
"""
WRONG_TOKEN = Verdict(error_class="fatal", reason="unauthorized", scope="instance", dispatched="no")
GONE = Verdict(error_class="non_retryable", reason="room_gone", dispatched="no")


KEYS = {"plain": (), "sealed": (FIRST,)}


@pytest.fixture(params=list(KEYS)[: amount("kinds of outboxes that are handed over to")])
def shared(server, emptied_schema, request):
    return Shared(server, emptied_schema, KEYS[request.param])


@pytest.fixture
def quick(monkeypatch):
    """What is looked at now and then is looked at often."""
    monkeypatch.setattr(handover, "FLOOR", 0.05)
    for module in (job, feeding):
        monkeypatch.setattr(module, "AGAIN", 0.05)


def message(text="text", **fields):
    return Send(instance_id="bot", external_room_id="room", text=text, **fields)


def key_of(key):
    return KeyRef(instance_id="bot", external_room_id="room", key=key)


async def until(holds):
    """Wait until what another process does is seen."""
    while not (found := await holds()):  # noqa: ASYNC110 - what is looked at has no event
        await trio.sleep(0.01)
    return found


async def test_it_opens_without_an_owner_and_its_tickets_wait_for_one(shared):
    """It has two connections and takes no part in the lease."""
    async with shared.producer() as producer:
        ticket = await producer.enqueue("bot", "room", "early")
        status = await producer.status(ticket)
        assert ("unfinished", "handed", ticket.id) == (
            status.state, status.cause, status.envelope_id
        )  # fmt: skip
        assert [] == shared.ran("SELECT * FROM members")
        await until(partial(_has_two_connections, shared))
        async with shared.owner() as owner:
            receipt = await ticket.receipt()
            assert (ticket.id, ticket.ref) == (receipt.envelope_id, receipt.ref)
            for asked in (producer, owner):
                assert receipt == (await asked.status(ticket.id)).receipt
    assert ["early"] == shared.channel.texts("room")


async def _has_two_connections(shared):
    """Those of tests before are gone in a moment."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gateway'"
    return [(2,)] == shared.ran(sql)


async def test_every_kind_of_envelope_is_delivered_in_order(shared):
    async with shared.both() as (_, producer):
        sent = await producer.send("bot", "room", "one", key="k")
        second = await producer.enqueue("bot", "room", "two")
        await producer.edit(second, "two, edited")
        await producer.edit(key_of("k"), "one, edited")
        third = await producer.send("bot", "room", "three")
        await producer.delete(third.ref)
        called = await producer.call("bot", "room", "wave", {"to": "all"})
        assert called.delivered
        tickets = [
            await producer.submit(envelope)
            for envelope in (
                message("four"),
                Edit(
                    instance_id="bot", external_room_id="room", target=sent.ref, text="one, again"
                ),
                Delete(instance_id="bot", external_room_id="room", target=second.ref),
                Call(instance_id="bot", external_room_id="room", method="wave"),
            )
        ]
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
    assert ["one, again", "four"] == shared.channel.texts("room")


async def test_eight_that_hand_over_one_key_send_one_message(shared):
    receipts = []

    async def send(producer):
        receipts.append(await producer.send("bot", "room", "text", key="k"))

    async def hand_over():
        async with shared.producer() as producer:
            await send(producer)

    async with shared.owner():
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(hand_over)
        async with shared.producer() as producer:
            again = await producer.send("bot", "room", "text", key="k")
            assert again.replayed
            with pytest.raises(IdempotencyConflict) as raised:
                await producer.send("bot", "room", "another", key="k")
            assert ("k", again.envelope_id) == (raised.value.key, raised.value.envelope_id)
            ticket = await producer.submit(message("text", key="k"))
            await ticket.receipt()
            assert again.envelope_id == ticket.id
            ticket = await producer.submit(message("text", key="k"))
            named = ticket.ref
            await producer.edit(named, "text, edited by whoever joined it")
            ticket = await producer.submit(message("another", key="k", on_conflict="replay"))
            assert again.envelope_id == (await ticket.receipt()).envelope_id
    assert {again.envelope_id} == {receipt.envelope_id for receipt in receipts}
    assert ["text, edited by whoever joined it"] == shared.channel.texts("room")


async def test_what_can_be_known_at_once_is_raised_at_once(shared):
    """No owner lives, and nothing is handed over."""
    async with shared.producer() as producer:
        for wrong, error in (
            (message(""), Invalid),
            (message("x" * 2_000_000), Invalid),
            (message("text", not_before=1e12), Invalid),
            (Send(instance_id="nobody", external_room_id="room", text="text"), UnknownInstance),
        ):
            with pytest.raises(error):
                await producer.submit(wrong)
        assert 0 == producer.statistics().accepted
        assert 4 == producer.statistics().refused
    assert [(0,)] == shared.ran("SELECT count(*) FROM handed")


async def test_what_the_owner_alone_knows_is_raised_where_it_is_waited_for(shared):
    """Also by a ticket; `status` tells everybody that it was rejected, and why."""
    async with shared.owner(), shared.producer(instances=("bot", "other")) as producer:
        with pytest.raises(UnknownInstance, match="there is no instance 'other'"):
            await producer.send("other", "room", "text")
        ticket = await producer.enqueue("other", "room", "text")
        for _ in range(2):
            with pytest.raises(UnknownInstance):
                await ticket.receipt()
        assert not ticket.ended
        receipt = (await producer.status(ticket.id)).receipt
        assert Disposition.REJECTED == receipt.disposition
        assert "there is no instance" in receipt.verdict.raw
        statistics = producer.statistics()
        assert (0, 0) == (statistics.accepted, statistics.unfinished)


async def test_an_ending_that_is_no_delivery_is_raised_with_its_receipt(shared):
    async with shared.both() as (owner, producer):
        owner.suspend("bot")
        with pytest.raises(DeliveryError) as raised:
            await producer.send("bot", "room", "late", ttl=0.2)
        assert Disposition.EXPIRED == raised.value.receipt.disposition
        receipt = await producer.send("bot", "room", "late", ttl=0.2, raises=False)
        assert Disposition.EXPIRED == receipt.disposition


async def test_an_account_that_never_worked_keeps_nobody_waiting(shared):
    """Neither whose message found out, nor who comes later."""
    shared.channel.script = failing(WRONG_TOKEN, times=1_000)
    async with shared.both() as (_, producer):
        for n in range(2):
            with pytest.raises(InstanceSuspended, match="unauthorized"):
                await producer.send("bot", "room", f"{n}")


async def test_operators_list_what_no_owner_has_taken(shared):
    """With the ids by which `status` and `cancel` know it."""
    settings = PostgresSettings(schema=shared.schema)
    async with shared.producer() as producer:
        early = await producer.enqueue("bot", "room", "early", priority="urgent")
        deleted = Delete(instance_id="bot", external_room_id="room", target=key_of("k"))
        with shared.server.connect() as connection:
            other = enqueue(connection, deleted, schema=shared.schema)
        with Operator(shared.server.url(), settings, shared.keys) as operator:
            which = Which(instance="bot", room="room", older=time() + 60, newer=time() - 60)
            rows = operator.handed(which, 9)
            columns = ("id", "instance", "room", "cause", "class", "length")
            assert [
                (early.id, "bot", "room", "handed", "urgent", len("early")),
                (str(other), "bot", "room", "handed", "normal", None),
            ] == [tuple(row[column] for column in columns) for row in rows]
            assert rows[:1] == operator.handed(Which(), 1)
            for none in (Which(instance="b"), Which(room="r"), Which(older=time() - 60)):
                assert [] == operator.handed(none, 9)
            assert [] == operator.waiting(Which(), 9)
            async with shared.owner():
                await early.receipt()
                await until(partial(_nothing, operator.handed, Which(), 9))


async def _nothing(look, *asked):
    return not look(*asked)


async def test_a_ttl_counts_from_the_insert(shared):
    async with shared.producer() as producer:
        ticket = await producer.enqueue("bot", "room", "late", ttl=30)
        shared.ran("UPDATE handed SET handed_at = handed_at - interval '1 minute'")
        async with shared.owner():
            assert Disposition.EXPIRED == (await ticket.receipt()).disposition
    assert [] == shared.channel.texts("room")


async def test_cancel_from_another_process(shared):
    """Nobody has taken it; it waits for its time; it was delivered."""
    async with shared.producer() as producer, shared.producer() as other:
        early = await producer.enqueue("bot", "room", "early")
        assert await other.cancel(early.id)
        assert Disposition.CANCELLED == (await early.receipt()).disposition
        assert not await other.cancel(early.id)
        assert "cancelled" == (await other.status(early.id)).receipt.disposition
        async with shared.owner() as owner:
            later = await producer.enqueue("bot", "room", "later", not_before=virtual_wall() + 3600)
            status = await until(partial(_taken, producer, later))
            assert ("schedule", True) == (status.cause, status.estimate > 3000)
            assert await other.cancel(later.id)
            assert Disposition.CANCELLED == (await later.receipt()).disposition
            done = await producer.send("bot", "room", "done")
            assert not await other.cancel(done.envelope_id)
            own = await owner.enqueue("bot", "room", "own", not_before=virtual_wall() + 3600)
            assert "schedule" == (await other.status(own.id)).cause
            assert await other.cancel(own.id)
            assert not await other.cancel("nothing of that id")
    assert ["done"] == shared.channel.texts("room")


async def _taken(gateway, ticket):
    status = await gateway.status(ticket)
    return status if status.cause != "handed" else None


@pytest.mark.parametrize("taken", [False, True], ids=["nobody has taken it", "it waits"])
async def test_a_caller_that_gives_up_withdraws_its_message_unless_it_detached(shared, taken):
    async with shared.producer() as producer:

        async def give_up(text, nursery, **fields):
            with trio.CancelScope() as scope:
                nursery.start_soon(partial(leave, scope, text))
                await producer.send("bot", "room", text, key=text, **fields)

        async def leave(scope, text):
            cause = "suspension" if taken else "handed"
            await until(partial(_waits_for, producer, text, cause))
            scope.cancel()

        async def all_of_it():
            async with trio.open_nursery() as nursery:
                await give_up("withdrawn", nursery)
                await give_up("detached", nursery, on_cancel="detach")

        if not taken:
            await all_of_it()
        async with shared.owner() as owner:
            owner.suspend("bot")
            if taken:
                await all_of_it()
            await until(partial(_ended, producer, "withdrawn"))
            owner.resume("bot")
            await producer.send("bot", "room", "last")
    assert ["detached", "last"] == shared.channel.texts("room")


async def _waits_for(gateway, key, cause):
    status = await gateway.status(key_of(key))
    return status is not None and status.cause == cause


async def _ended(gateway, key):
    """Cancelled ones free their key."""
    status = await gateway.status(key_of(key))
    return status is None or status.state == "ended"


async def test_what_another_process_joined_goes_on_when_the_first_gives_up(shared):
    async with shared.both() as (owner, producer), shared.producer() as other:
        owner.suspend("bot")
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()

            async def first():
                with scope:
                    await producer.send("bot", "room", "text", key="k")

            nursery.start_soon(first)
            await until(partial(_waits_for, producer, "k", "suspension"))
            ticket = await other.submit(message("text", key="k"))
            await until(partial(_taken, other, ticket))
            scope.cancel()
        await producer.enqueue("bot", "room", "after")
        owner.resume("bot")
        assert (await ticket.receipt()).delivered
    assert ["text", "after"][:1] == shared.channel.texts("room")[:1]


async def test_connections_that_are_ended_come_about_again(shared, quick):
    """Of one that waits for its receipt, of all its process's at once."""
    async with shared.producer() as producer:
        ticket = await producer.enqueue("bot", "room", "waits")
        await until(partial(_has_two_connections, shared))
        assert [(True,)] * 2 == shared.ran("""SELECT pg_terminate_backend(pid)
            FROM pg_stat_activity WHERE application_name = 'gateway'""")
        async with shared.owner():
            assert (await ticket.receipt()).delivered
            assert (await producer.send("bot", "room", "next")).delivered


async def test_a_lost_notice_is_found_by_looking(shared, quick):
    async with shared.owner():
        outbox = shared.outbox()
        offered = outbox.handover()
        offered._listening._channel = "another"
        outbox.handover = lambda: offered
        async with open_test_gateway(FakeChannel(), outbox=outbox, serve=False) as producer:
            assert (await producer.send("bot", "room", "text")).delivered


async def test_a_notice_is_enough(shared, monkeypatch):
    monkeypatch.setattr(handover, "FLOOR", 3600.0)
    async with shared.both() as (_, producer):
        for n in range(3):
            assert (await producer.send("bot", "room", f"{n}")).delivered


async def test_a_member_is_told_once_of_all_that_a_batch_has(shared):
    async with shared.outbox():
        pass
    shared.ran("""INSERT INTO handed (instance, room, envelope, handed_by, member, own, seq)
        SELECT 'bot', 'room', '', '', ('0000000' || n % 2 || '-0000-0000-0000-000000000000')::uuid,
            n, n FROM generate_series(1, 10) n""")  # fmt: skip
    with shared.server.connect() as listener, shared.server.connect() as own:
        for member in (0, 1):
            listener.execute(f'LISTEN "gateway_0000000{member}-0000-0000-0000-000000000000"')
        own.execute(f"SET search_path = {shared.schema}")
        tell(own, range(1, 9), [])
        told = [notice.payload.split(",") for notice in listener.notifies(timeout=0.5)]
    assert [["1", "3", "5", "7"], ["2", "4", "6", "8"]] == sorted(map(sorted, told))


async def test_the_order_is_that_in_which_the_owner_took_them_over_a_restart(shared):
    """Ids that the server drew by its clock say nothing of it: the owner's is years behind."""
    async with shared.producer() as producer:
        async with shared.owner() as owner:
            owner.suspend("bot")
            tickets = []
            for n in range(6):
                gateway = owner if n % 2 else producer
                tickets.append(await gateway.enqueue("bot", "room", f"{n}"))
                await until(partial(_taken, producer, tickets[-1]))
            late = await producer.enqueue("bot", "room", "late", ttl=0.2)
            await until(partial(_taken, producer, late))
        await trio.sleep(0.3)  # its time is over
        async with shared.owner() as owner:
            owner.resume("bot")
            await owner.send("bot", "room", "after")
            assert Disposition.EXPIRED == (await late.receipt()).disposition
            names = [each.id for each in (tickets[0], tickets[2], tickets[4])]
            assert names == [(await each.receipt()).envelope_id for each in tickets[::2]]
    assert ["0", "1", "2", "3", "4", "5", "after"] == shared.channel.texts("room")


async def test_an_entry_is_stored_with_the_answer_to_its_request_or_not_at_all(shared):
    """What was withdrawn meanwhile, or is answered, gets no entry; its batch has the others."""
    entry = Entries()
    async with shared.outbox() as outbox, shared.producer() as producer:
        tickets = [await producer.enqueue("bot", "room", f"{n}") for n in range(2)]
        numbers = [n for (n,) in shared.ran("SELECT number FROM handed ORDER BY number")]
        assert await producer.cancel(tickets[0])
        refused = []

        async def append(one):
            try:
                await outbox.append(one, lambda: None)
            except OutboxError as error:
                refused.append((one.envelope.text, str(error)))

        async with trio.open_nursery() as nursery:
            for text, number in (("late", numbers[0]), ("in time", numbers[1])):
                nursery.start_soon(append, attrs.evolve(entry(text), request=number))
            nursery.start_soon(append, entry("own"))
        await append(attrs.evolve(entry("again"), request=numbers[1]))
        assert {"late", "again"} == {text for text, _ in refused}
        assert all("the request was withdrawn" in why for _, why in refused)
        assert {"in time", "own"} == {each.entry.envelope.text for each in await outbox.page("bot")}


async def test_what_answers_a_request_as_its_owner_closes_stays_for_the_next_one(shared):
    """It is written, and its owner ends before it hears so: nobody would take the request again."""
    written, released = trio.Event(), trio.Event()
    async with shared.outbox() as outbox, shared.producer() as producer:
        await producer.enqueue("bot", "room", "text")
        ((number,),) = shared.ran("SELECT number FROM handed")
        do = outbox._in_thread

        async def slowly(work, limiter):
            done = await do(work, limiter)
            with trio.CancelScope(shield=True):
                written.set()
                await released.wait()
            return done

        outbox._in_thread = slowly
        one = attrs.evolve(Entries()("text"), request=number)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.append, one, lambda: None)
            await written.wait()
            nursery.cancel_scope.cancel()
        del outbox._in_thread
        released.set()
        await outbox.flush()
        assert ["text"] == [each.entry.envelope.text for each in await outbox.page("bot")]


async def test_questions_are_forgotten_soon_and_envelopes_as_long_as_their_ends(
    shared, monkeypatch
):
    async with shared.both() as (_, producer):
        sent = await producer.send("bot", "room", "text")
        assert await producer.group("0" * 30) is None
        monkeypatch.setattr(ageing, "ANSWERS_FOR", 0.0)
        shared.ran("UPDATE handed SET answered_at = answered_at - interval '8 days'")
        await until(partial(_one_row, shared))
        assert sent == (await producer.status(sent.envelope_id)).receipt


async def test_an_end_that_this_release_cannot_read_is_one_ticket_s_trouble(shared):
    async with shared.producer() as producer:
        first, second = [await producer.enqueue("bot", "room", f"{n}") for n in range(2)]
        shared.ran(LATER.replace("{id}", first.id))
        try:
            async with shared.owner():
                assert (await second.receipt()).delivered
                for ask in (first.receipt, partial(producer.status, first.id)):
                    with pytest.raises(OutboxError, match="cannot be read"):
                        await ask()
        finally:
            shared.ran("DROP TRIGGER later ON history; DROP FUNCTION later")


def test_a_notice_that_comes_before_its_ticket_is_remembered():
    listening = Listening(uuid4())
    listening._heard.append("1,2")
    assert ["b"] == listening.chosen({2: "b"})
    assert ["a"] == listening.chosen({1: "a", 2: "b"})
    assert [] == listening.chosen({1: "a", 2: "b"})
    listening.may_be_any()
    assert listening.chosen({1: "a"}) is None


@pytest.mark.parametrize("payload", ["boom", "1,boom", "1" * 5_000])
def test_a_notice_that_names_no_numbers_may_be_about_any(payload):
    """Any role may send one."""
    listening = Listening(uuid4())
    listening._heard.append(payload)
    assert listening.chosen({1: "a"}) is None
    assert [] == listening.chosen({1: "a"})


async def test_a_ticket_of_what_is_gone_says_so(shared):
    """Its room was erased, say."""
    async with shared.producer() as producer:
        ticket = await producer.enqueue("bot", "room", "text")
        shared.ran("DELETE FROM handed")
        with pytest.raises(OutboxError, match=f"envelope {ticket.id}: .*not remembered any more"):
            await ticket.receipt()


async def _one_row(shared):
    return [(1,)] == shared.ran("SELECT count(*) FROM handed")


async def test_endings_are_told_in_every_process(shared):
    async with shared.both() as (owner, producer):
        for n in range(3):
            await producer.send("bot", "room", f"{n}")
        told = {}
        for gateway in (owner, producer):
            endings = gateway.endings()
            told[gateway] = [await anext(endings) for _ in range(3)]
        assert told[owner] == told[producer]


async def test_a_group_without_a_key_shows_none(shared, quick):
    """Neither where it was handed over, nor elsewhere."""
    async with shared.both() as (owner, producer):
        job = await producer.broadcast("bot", ["room"], "all")
        await job.wait()
        for found in (job, await owner.group(job.id)):
            assert (None, None) == (found.key, (await found.progress()).key)


async def test_groups_are_the_owners_and_their_handles_everybodys(shared, quick):
    async with shared.both() as (owner, producer), shared.producer() as other:
        job = await producer.broadcast("bot", [f"r{n}" for n in range(5)], "all", key="b")
        progress = await job.wait()
        assert {Disposition.DELIVERED: 5} == progress.counts
        again = await other.broadcast("bot", [f"r{n}" for n in range(5)], "all", key="b")
        assert job.id == again.id == (await owner.group(job.id)).id
        with pytest.raises(IdempotencyConflict):
            await other.broadcast("bot", ["r1"], "all", key="b")
        with pytest.raises(Invalid, match=r"rooms\.1: is empty"):
            await other.broadcast("bot", ["r1", ""], "all")
        found = await other.group(instance="bot", key="b")
        assert ("b", 5) == (found.key, (await found.progress()).members)
        assert await other.group("0" * 30) is None
        held = await producer.submit_many(
            [message("one"), message("two")], not_before=virtual_wall() + 3600
        )
        assert (await held.pause()).paused
        assert not (await held.resume()).paused
        assert (await held.cancel()).cancelled
        assert [job.id, held.id] == [each.id for each in await other.groups("bot")]
        shared.channel.script = failing(GONE)
        wrong = await producer.broadcast("bot", ["r9"], "again")
        assert {Disposition.REJECTED: 1} == (await wrong.wait()).counts
        assert ["r9"] == [each.external_room_id async for each in wrong.failed()]
        assert 1 == await wrong.retry()
        assert 1 == (await wrong.wait()).counts[Disposition.DELIVERED]
    assert ["all"] == shared.channel.texts("r1")


async def test_a_stream_that_is_whole_at_once_is_one_message(shared):
    async with shared.both() as (_, producer):
        async with producer.stream(("bot", "room")) as stream:
            for word in ("one ", "two ", "three"):
                stream.write(word)
        with suppress(RuntimeError):
            async with producer.stream(("bot", "room"), on_error="mark") as stream:
                stream.write("half")
                raise RuntimeError
        await until(partial(_said, shared, 2))
        with suppress(RuntimeError):
            async with producer.stream(("bot", "room"), on_error="delete") as stream:
                stream.write("never")
                raise RuntimeError
        await producer.send("bot", "room", "last")
    assert ["one two three", "half […]", "last"] == shared.channel.texts("room")
    assert 3 == len(shared.channel.made)


async def _said(shared, count):
    return len(shared.channel.texts("room")) == count


async def test_an_instance_is_removed_where_it_is_served(shared):
    shared.channel = FakeChannel(latency=1.0)
    async with shared.owner() as owner, shared.producer() as producer:
        for text in ("under way", "left"):
            await producer.enqueue("bot", "room", text, key=text)
        await until(partial(_waits_for, producer, "under way", "attempt"))
        left = await producer.remove_instance("bot")
        assert [("under way", "unknown"), ("left", "cancelled")] == [
            (each.envelope.text, each.receipt.disposition) for each in left
        ]
        for gateway in (owner, producer):
            with pytest.raises(UnknownInstance):
                await gateway.enqueue("bot", "room", "text")


async def test_what_a_process_that_delivers_nothing_cannot_do_is_refused(shared):
    instance = Instance("bot", "fake", FakeSettings())
    async with shared.producer() as producer:
        for name, ask in (
            ("add_instance", partial(producer.add_instance, instance)),
            ("replace_instance", partial(producer.replace_instance, instance)),
        ):
            with pytest.raises(NotServing, match=f"only hands over.*`{name}`"):
                ask()
        with pytest.raises(NotServing, match="probe"):
            await producer.probe("bot")
        with pytest.raises(NotServing, match="reload"):
            await producer.reload(producer.config)


async def test_at_its_end_its_tickets_say_that_the_outbox_has_them(shared):
    async with shared.producer() as producer:
        ticket = await producer.enqueue("bot", "room", "kept")
    with pytest.raises(GatewayClosed) as raised:
        await ticket.receipt()
    assert raised.value.kept
    with pytest.raises(GatewayClosed):
        await producer.enqueue("bot", "room", "too late")
    async with shared.owner(), shared.producer() as producer:
        assert (await until(partial(_receipt, producer, ticket.id))).delivered


async def _receipt(gateway, name):
    return (await gateway.status(name)).receipt


async def test_an_outbox_of_one_process_is_refused():
    with pytest.raises(ConfigError, match=r"outbox: `serve=False` needs an outbox that processes"):
        async with open_test_gateway(serve=False):
            pass


async def test_the_bytes_of_files_are_handed_over_with_their_message(shared, tmp_path):
    """Read here, from memory and from a path; sent by the owner; and gone once they are sent."""
    (tmp_path / "large.bin").write_bytes(bytes(range(256)) * 2_000)
    files = [File(b"small", name="small.txt"), File(tmp_path / "large.bin")]
    async with shared.producer() as producer:
        early = await producer.enqueue("bot", "room", "early", files=files)
        other = await producer.enqueue("bot", "room", "withdrawn", files=files[:1])
        assert await producer.cancel(other)
        (tmp_path / "large.bin").unlink()
        async with shared.owner():
            first = await early.receipt()
            assert first.delivered
            late = await producer.send("bot", "room", "late", files=files[:1])
            with pytest.raises(Invalid, match=r"files\.0: .*missing"):
                await producer.send("bot", "room", "", files=[File(tmp_path / "missing")])
            await until(partial(_none_left, shared))
    contents = [
        [shared.channel.contents[name] for name in shared.channel.files[part.message_id]]
        for receipt in (first, late)
        for part in receipt.parts
    ]
    assert [[b"small", bytes(range(256)) * 2_000], [b"small"]] == contents


async def _none_left(shared):
    return [(0, 0, 0)] == shared.ran("""SELECT (SELECT count(*) FROM pieces),
        (SELECT count(*) FROM bytes), (SELECT count(*) FROM handed_files)""")


async def test_an_event_is_answered_once_after_a_sign_of_typing(shared):
    async with shared.both() as (_, producer):
        asked = event("question")
        async with producer.typing(asked):
            await until(partial(_typed, shared))
            first = await producer.reply(asked, "answer", key="a")
        again = await producer.reply(asked, "answer", key="a")
        assert (first.envelope_id, True) == (again.envelope_id, again.replayed)
        assert (await producer.reply(event("order", asked="command"), "by its token")).delivered
    assert ["answer", "by its token"] == shared.channel.texts("room")


async def _typed(shared):
    return shared.channel.typed


async def test_asyncio_and_code_that_blocks_hand_over_alike(shared, quick):
    """Each in a thread of its own, beside an owner on trio."""
    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
    given = {"plugins": [("fake", FakeChannel())], "serve": False}

    async def waiting():
        opening = aio.open_gateway(config, outbox=shared.outbox(), wall_clock=wall, **given)
        async with opening as gateway:
            ticket = await gateway.enqueue("bot", "room", "asyncio", key="a")
            receipt = await ticket.receipt()
            assert (ticket.id, True) == (receipt.envelope_id, receipt.delivered)
            with pytest.raises(IdempotencyConflict):
                await gateway.send("bot", "room", "another", key="a")
            job = await gateway.broadcast("bot", ["other"], "all")
            assert (await job.wait()).ended
            with pytest.raises(NotServing):
                gateway.add_instance(Instance("another", "fake", FakeSettings()))

    def blocking_one():
        opening = blocking.open_gateway(config, outbox=shared.outbox(), wall_clock=wall, **given)
        with opening as gateway:
            with pytest.raises(TimeoutError):
                gateway.send("bot", "room", "late", not_before=wall() + 3600, timeout=1.0)
            sent = gateway.send("bot", "room", "blocking", timeout=PATIENCE)
            gateway.edit(sent.ref, "blocking, edited", timeout=PATIENCE)
            assert gateway.status(sent.envelope_id, timeout=PATIENCE).receipt == sent

    async with shared.owner():
        wall = partial(sum, (virtual_wall(),))
        await trio.to_thread.run_sync(asyncio.run, waiting())
        await trio.to_thread.run_sync(blocking_one)
        (open_ones,) = shared.ran("SELECT count(*) FROM envelopes")
        assert (0,) == open_ones
    assert ["asyncio", "blocking, edited"] == shared.channel.texts("room")


# -- what fails


@pytest.mark.parametrize("lose", ["answer", "request", "both"])
async def test_a_commit_that_is_lost_is_decided_by_doing_it_again(shared, lose):
    """The row is there once, whether the server had committed it, never will, or does so late."""
    with between(shared.server) as (proxy, url):
        async with shared.producer(url=url) as producer:
            await producer.enqueue("bot", "room", "before")
            proxy.lose = lose
            ticket = await producer.enqueue("bot", "room", "once")
            assert 1 == proxy.lost
            async with shared.owner():
                assert (await ticket.receipt()).delivered
    assert [(2,)] == shared.ran("SELECT count(*) FROM handed")
    assert ["before", "once"] == shared.channel.texts("room")


async def test_who_comes_while_nobody_knows_is_refused(shared):
    """Who was first waits; so does what it handed over, until the server is there again."""
    with between(shared.server) as (proxy, url):
        async with shared.producer(url=url) as producer, trio.open_nursery() as nursery:
            tickets = []

            async def enqueue():
                tickets.append(await producer.enqueue("bot", "room", "first"))

            await producer.enqueue("bot", "room", "before")
            proxy.lose = "answer"
            proxy.shut()
            nursery.start_soon(enqueue)
            while not proxy.lost:  # noqa: ASYNC110 - what is looked at has no event
                await trio.sleep(0.01)
            with pytest.raises(OutboxError, match="cannot take messages"):  # noqa: PT012 - the first of several
                while True:
                    with trio.move_on_after(0.01):
                        await producer.enqueue("bot", "room", "second")
            assert [] == tickets
            proxy.join()
            await until(partial(_has, tickets))
            await producer.enqueue("bot", "room", "third")
    opened = Keyring(keys_in(shared.keys))
    sql = "SELECT id::text, envelope FROM handed WHERE NOT cancelled ORDER BY number"
    envelopes = [json.loads(opened.open(HANDED, *row)) for row in shared.ran(sql)]
    texts = [each["text"] for each in envelopes]
    assert ["before", "first", "third"] == [text for text in texts if text != "second"]


async def _has(tickets):
    return bool(tickets)


async def test_a_server_that_is_not_there_refuses_at_once(shared):
    async with shared.producer() as producer:
        producer._producer.handover._writer.sever()
        producer._producer.handover._writer._options["port"] = "1"
        with pytest.raises(OutboxError, match="cannot take messages"):
            await producer.enqueue("bot", "room", "text")
    with pytest.raises(OutboxError, match="cannot be opened"):
        async with shared.producer(url="postgresql://nobody@127.0.0.1:1/postgres"):
            pass


@pytest.fixture
def web(shared):
    """A role that may send as `bot`, and has no right on any table."""

    async def make():
        async with shared.outbox():
            pass

    trio.run(make)
    shared.let_in("producer_web", "bot")
    shared.let_in("producer_guest")
    return shared


async def test_a_role_hands_over_as_the_instances_that_are_granted_to_it(web, quick):
    url = web.server.url(user="producer_web")
    names = ("bot", "other")
    async with (
        web.owner(instances=names) as owner,
        web.producer(url=url, instances=names) as producer,
    ):
        assert (await producer.send("bot", "room", "text")).delivered
        refused = []

        async def send(instance, n):
            try:
                await producer.send(instance, "room", f"{n}")
            except OutboxError as error:
                refused.append(str(error))

        async with trio.open_nursery() as nursery:  # in one statement, or two
            for n in range(5):
                nursery.start_soon(send, "other" if n == 3 else "bot", n)
        (told,) = refused
        assert "may not send as instance other" in told
        foreign = await owner.enqueue("other", "room", "text", not_before=virtual_wall() + 99)
        assert await producer.status(foreign.id) is None
        assert not await producer.cancel(foreign.id)
        with pytest.raises(OutboxForbidden, match=r"may not ask about all .*`groups\(instance\)`"):
            await producer.group(foreign.id)
        own = await producer.broadcast("bot", ["room"], "all")
        assert (await own.wait()).ended
        assert own.id == (await producer.group(own.id)).id
        others = await owner.broadcast("other", ["room"], "all", not_before=virtual_wall() + 99)
        await no_questions_about(producer._producer, foreign.id, others)
        assert "schedule" == (await owner.status(foreign.id)).cause
        assert not (await others.progress()).ended
    with pytest.raises(OutboxError, match=r"^outbox postgresql://.*does not let this role in"):
        async with web.producer(url=web.server.url(user="producer_guest")):
            pass


async def test_a_suspension_that_a_role_may_not_ask_for_is_refused_once(web, quick):
    url = web.server.url(user="producer_web")
    names = ("bot", "other")
    async with (
        web.owner(instances=names) as owner,
        web.producer(url=url, instances=names) as producer,
    ):
        with capture_logs() as logs:
            producer.suspend("other", "not its own")
            await trio.sleep(2)
        (refused,) = [log for log in logs if log["event"] == "gateway.suspension_refused"]
        assert ("other", "suspend") == (refused["instance"], refused["asked"])
        assert "role producer_web may not send as instance other" in refused["error"]
        assert [] == [log for log in logs if log["event"] == "gateway.outbox_failed"]
        web.let_in("producer_web", "other")
        assert (await owner.send("other", "room", "text")).delivered


async def test_a_role_that_may_send_as_no_instance_any_more_is_told_what_to_grant(web, quick):
    """It may not use the schema any more, so the server knows no function of it."""
    url = web.server.url(user="producer_web")
    async with web.owner(), web.producer(url=url) as producer:
        receipt = await producer.send("bot", "room", "before")
        web.ran("SELECT disallow('producer_web', 'bot')")
        told = r"role producer_web may not send as any instance: SELECT .*allow\('producer_web'"
        for asked in (
            partial(producer.send, "bot", "room", "text"),
            partial(producer.status, KeyRef(instance_id="bot", external_room_id="room", key="key")),
            partial(producer.cancel, receipt.envelope_id),
        ):
            with pytest.raises(OutboxForbidden, match=told):
                await asked()
        web.let_in("producer_web", "bot")
        assert (await producer.send("bot", "room", "after")).delivered
    assert ["before", "after"] == web.channel.texts("room")


async def no_questions_about(producer, foreign, others):
    """Who may send as `bot` asks about what is another's, in the name of `bot`."""
    ask = partial(producer._asking.ask, "bot")
    assert {"status": None} == await ask("status", id=foreign)
    for do in ("cancel", "pause"):
        assert {"group": None} == await ask(do, group=others.id)
    assert {"group": None} == await ask("group", what=others.id)
    assert {"retried": 0} == await ask("retry", group=others.id)
    page = {"after": "", "limit": 9}
    assert {"receipts": []} == await ask("failed", group=others.id, **page)
    for do, fields in (("groups", page), ("remove_instance", {"drain": 0.0})):
        with pytest.raises(UnknownInstance, match="about instance 'bot', not 'other'"):
            await ask(do, instance="other", **fields)
    template = to_json(Send(instance_id="other", external_room_id="-", text="text"))
    with pytest.raises(UnknownInstance):
        await ask("broadcast", template=template, rooms=["room"])
    with pytest.raises(Invalid, match="not known to the owner's release"):
        await ask("something of a later release")
    for kind in ("cancel", "leave"):
        row = Handing(kind=kind, instance="bot", text=foreign)
        assert "cancelled" != await producer.handover._asked(row)


async def test_two_hundred_at_once_all_end(shared):
    receipts = []

    async def send(producer, n):
        receipts.append(await producer.send("bot", f"room {n % 10}", f"{n}"))

    async with shared.both() as (_, producer), trio.open_nursery() as nursery:
        for n in range(200):
            nursery.start_soon(send, producer, n)
    assert 200 == len({receipt.envelope_id for receipt in receipts})


async def test_a_role_that_may_not_read_endings_is_told_what_to_grant(web, quick):
    url = web.server.url(user="producer_web")
    async with web.owner(), web.producer(url=url) as producer:
        receipt = await producer.send("bot", "room", "text")
        endings = producer.endings()
        with pytest.raises(OutboxError, match=r"may not read .*SELECT .*allow.*producer_web"):
            await anext(endings)
        web.server.execute(f"SELECT {web.schema}.allow('producer_web', '*')")
        assert receipt.envelope_id == (await anext(endings)).receipt.envelope_id


async def test_a_schema_of_the_release_before_goes_on_with_this_one(server, schema, web):
    """What was handed over there is sent, and its roles may hand over from processes as well."""
    with server.connect() as own:
        own.execute(f"CREATE SCHEMA {schema}")
        own.execute(f"SET search_path = {schema}")
        for change in changes()[:2]:
            own.execute(change.replace("{schema}", schema))
        own.execute("UPDATE format SET version = 2")
        own.execute("SELECT allow('producer_web', 'bot')")
        own.execute("SELECT send('bot', 'room', 'handed before')")
    shared = Shared(server, schema)
    url = server.url(user="producer_web")
    with pytest.raises(OutboxError, match="of an earlier release"):
        async with shared.producer(url=url):
            pass
    async with shared.owner(), shared.producer(url=url) as producer:
        await producer.send("bot", "room", "handed after")
    assert ["handed before", "handed after"] == shared.channel.texts("room")


LATER_RELEASE = """
ALTER TABLE handed ADD COLUMN later text DEFAULT 'x'; ALTER TABLE envelopes ADD COLUMN later text;
ALTER TABLE history ADD COLUMN later text; ALTER TABLE accounts ADD COLUMN later text;
ALTER TABLE members ADD COLUMN later text; CREATE TABLE later (); UPDATE format SET version = 900;
"""


async def test_a_release_goes_on_while_a_later_one_adds_to_the_schema(server, schema):
    """An owner and a process that hands over, both of which have used each statement before."""
    shared = Shared(server, schema)
    async with shared.both() as (owner, producer):
        for n in range(20):
            await producer.send("bot", "room", f"{n}", key=f"{n}")
            await owner.send("bot", "other", f"{n}", key=f"{n}")
        shared.ran(LATER_RELEASE)
        await trio.to_thread.run_sync(owner._parts.outbox._membership.renew)
        assert (await producer.send("bot", "room", "after")).delivered
        assert (await owner.send("bot", "room", "after")).delivered
    async with shared.both() as (_, producer):
        assert (await producer.send("bot", "room", "once more")).delivered


async def test_producers_keep_to_the_bound_of_the_outbox_by_what_the_owner_counts(web):
    """One with a role of its own sees how many there are, too."""

    async def stuck(_):
        await go.wait()

    async def until_refused(producer):
        with suppress(Overloaded):
            while True:
                submit = Send(instance_id="bot", external_room_id="room", text="text")
                tickets.append(await producer.submit(submit, wait=False))
                await trio.sleep(0.5)

    go, tickets, full = trio.Event(), [], {"outbox_capacity": 2}
    web.channel = FakeChannel(script=stuck)
    url = web.server.url(user="producer_web")
    async with (
        web.owner(**full),
        web.producer(**full) as one,
        web.producer(url=url, **full) as other,
    ):
        tickets += [await one.enqueue("bot", f"room {n}", "text") for n in range(2)]
        await until_refused(one)
        await until_refused(other)
        go.set()
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
        assert (await other.send("bot", "room", "waits if need be")).delivered
