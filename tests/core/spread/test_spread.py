"""Accounts that are spread over processes: each is served where it is owned, from everywhere."""

from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from structlog.testing import capture_logs

from gateway_core import Disposition, OutboxError, Overloaded, Send
from gateway_core.outboxes import Request
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall
from tests.shared.spread_in_memory import Member, Store

ACCOUNTS = ["one", "two"]


def slow(seconds=1.0, **made):
    async def script(_):
        await trio.sleep(seconds)

    return FakeChannel(script=script, **made)


def sent(channel, instance):
    made = [each.attempt for each in channel.made if each.attempt.part is not None]
    return [each.part.payload["text"] for each in made if each.instance_id == instance]


@asynccontextmanager
async def two(make=FakeChannel, **config):
    """Two processes on one store: `one` is the first's, `two` the second's."""
    store, channels = Store(), [make(), make()]
    members = [Member(store), Member(store)]
    async with (
        open_test_gateway(channels[0], instances=ACCOUNTS, outbox=members[0], **config) as a,
        open_test_gateway(channels[1], instances=ACCOUNTS, outbox=members[1], **config) as b,
    ):
        for account, member in zip(ACCOUNTS, members, strict=True):
            store.give(account, member)
        await trio.sleep(1)
        yield store, members, (a, b), channels


async def test_an_account_is_served_where_it_is_owned_from_every_process(autojump_clock):
    async with two() as (_store, _members, gateways, channels):
        for gateway in gateways:
            for account in ACCOUNTS:
                receipt = await gateway.send(account, "room", "text")
                assert (Disposition.DELIVERED, account) == (
                    receipt.disposition,
                    receipt.instance_id,
                )
    assert [["text"] * 2, []] == [sent(channel, "one") for channel in channels]
    assert [[], ["text"] * 2] == [sent(channel, "two") for channel in channels]


async def test_a_message_that_waits_goes_on_where_its_account_goes_in_its_order(autojump_clock):
    async with two(slow) as (store, members, (a, b), channels):
        tickets = [await a.enqueue("one", "room", str(n)) for n in range(3)]
        tickets += [await b.enqueue("one", "room", str(n)) for n in range(3, 6)]
        await trio.sleep(0.5)
        store.give("one", members[1])
        receipts = [await ticket.receipt() for ticket in tickets]
    assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}
    assert ["0"] == sent(channels[0], "one")  # under way as the account was asked for
    assert ["1", "2", "3", "4", "5"] == sent(channels[1], "one")
    assert [1] * 6 == [receipt.attempts for receipt in receipts]


async def test_an_account_is_served_of_which_the_past_could_not_be_read_at_first(autojump_clock):
    """The outbox has it by then, and does not offer it again."""
    store, channel, errors = Store(), FakeChannel(), [OutboxError("away")]
    member = Member(store)
    whole = member.attempts

    async def attempts(**asked):
        if errors and "instance_id" in asked:
            raise errors.pop()
        return await whole(**asked)

    member.attempts = attempts
    async with open_test_gateway(channel, instances=ACCOUNTS, outbox=member) as gateway:
        store.give("one", member)
        await trio.sleep(5)
        with trio.fail_after(10):
            assert (await gateway.send("one", "room", "text")).delivered
    assert [] == errors


async def test_what_an_application_handed_over_is_never_handed_over_again(autojump_clock):
    """It has no id yet, and was looked at a moment before its account went to another process."""
    async with two() as (store, members, _gateways, channels):
        envelope = Send(instance_id="one", external_room_id="room", text="text", key="handed:1")
        request = Request(
            kind="submit", number=1, instance_id="one", room="room", envelope=envelope
        )
        members[1].requested(request)
        await trio.sleep(5)
        assert [] == store.handed
        members[0].requested(request)
        await trio.sleep(5)
        assert [] == store.handed
    assert [["text"], []] == [sent(channel, "one") for channel in channels]


async def test_an_account_that_comes_or_goes_is_in_the_log(autojump_clock):
    with capture_logs() as logs:
        async with two(slow) as (store, members, (a, _), _channels):
            await a.enqueue("one", "room", "under way")
            await a.enqueue("one", "room", "waits")
            await trio.sleep(0.5)
            store.give("one", members[1])
            await trio.sleep(5)
    of_one = [each for each in logs if each.get("instance") == "one"]
    assert [
        {"event": "gateway.account_owned", "log_level": "info", "instance": "one", "stored": 0},
        {"event": "gateway.account_moved", "log_level": "info", "instance": "one"},
        {"event": "gateway.account_owned", "log_level": "info", "instance": "one", "stored": 1},
    ] == of_one


async def test_what_is_counted_is_what_is_there_however_often_an_account_moves(autojump_clock):
    async with two(slow) as (store, members, gateways, _):
        tickets = [await gateways[0].enqueue("one", f"room {n}", "x") for n in range(40)]
        for turn in range(6):
            await trio.sleep(1.3)
            store.give("one", members[(turn + 1) % 2])
            tickets += [await g.enqueue("one", f"room {turn}", "y") for g in gateways]
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
        await trio.sleep(1)
        for gateway in gateways:
            statistics = gateway.statistics()
            assert (0, 0) == (statistics.unfinished, statistics.stored)
            assert 0 == sum(part.spilled for part in statistics.partitions)
            assert 0 == sum(part.depth for part in statistics.partitions)
        assert 0 == len(store.rows)


async def test_a_ticket_is_asked_withdrawn_and_waited_for_wherever_its_account_is(autojump_clock):
    async with two(slow) as (store, members, (a, b), channels):
        first = await a.enqueue("one", "room", "first")
        waits = await a.enqueue("one", "room", "waits")
        await trio.sleep(0.1)
        store.give("one", members[1])
        await trio.sleep(1.5)
        status = await a.status(waits)
        assert ("unfinished", waits.id) == (status.state, status.envelope_id)
        later = await a.enqueue("one", "room", "later")
        assert await a.cancel(later)
        assert Disposition.CANCELLED == (await later.receipt()).disposition
        assert (await first.receipt()).delivered
        assert (await waits.receipt()).delivered
        assert not await b.cancel(waits)
    assert ["first"] == sent(channels[0], "one")


async def test_a_caller_who_gives_up_withdraws_what_has_moved(autojump_clock):
    async with two(lambda: slow(5)) as (store, members, (a, _), channels):
        await a.enqueue("one", "room", "before")
        with trio.move_on_after(8):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(a.send, "one", "room", "withdrawn")
                await trio.sleep(0.5)
                store.give("one", members[1])
                await trio.sleep(5)
                await a.enqueue("one", "room", "between")
                nursery.cancel_scope.cancel()
        await trio.sleep(20)
    assert ["before"] == sent(channels[0], "one")
    assert "withdrawn" not in sent(channels[1], "one")[1:]


@pytest.mark.parametrize("killed", [False, True])
async def test_an_account_of_a_process_that_leaves_goes_on_elsewhere(killed, autojump_clock):
    store, channels = Store(), [slow(), slow()]
    members = [Member(store), Member(store)]
    async with open_test_gateway(channels[1], instances=["one"], outbox=members[1]) as b:
        async with open_test_gateway(channels[0], instances=["one"], outbox=members[0]) as a:
            store.give("one", members[0])
            await trio.sleep(1)
            for n in range(5):
                await a.enqueue("one", "room", str(n))
            await trio.sleep(1.5)
            store.wanted["one"] = members[1]
            if killed:
                store.kill(members[0])
                await trio.sleep(10)
        assert (await b.send("one", "room", "5")).delivered
    made = sent(channels[0], "one") + sent(channels[1], "one")
    assert [str(n) for n in range(6)] == list(dict.fromkeys(made))
    assert len(made) <= 6 + killed


async def test_an_account_that_is_taken_away_is_counted_no_more(autojump_clock):
    """What was under way is in doubt, and announced; nothing is lost."""
    async with two(slow) as (store, members, gateways, channels):
        tickets = [await gateways[0].enqueue("one", f"room {n % 4}", f"{n}") for n in range(12)]
        for turn in range(4):
            await trio.sleep(0.7)
            store.take_away("one", members[(turn + 1) % 2])
            tickets.append(await gateways[turn % 2].enqueue("one", "room 0", f"more {turn}"))
        receipts = [await ticket.receipt() for ticket in tickets]
        assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}
        await trio.sleep(1)
        for gateway in gateways:
            statistics = gateway.statistics()
            assert (0, 0) == (statistics.unfinished, statistics.stored)
        assert 0 == len(store.rows)
    made = sent(channels[0], "one") + sent(channels[1], "one")
    copied = {text for text in made if made.count(text) > 1}
    announced = {
        ticket._delivery.envelope.text
        for ticket, receipt in zip(tickets, receipts, strict=True)
        if receipt.possible_duplicate
    }
    assert {*map(str, range(12)), *(f"more {n}" for n in range(4))} == set(made)
    assert copied <= announced


async def test_an_account_that_is_taken_away_as_it_is_being_had_is_asked_for_again(autojump_clock):
    async with two() as (store, members, (a, _), channels):
        store.give("one", None)
        await trio.sleep(2)
        attempts = store.rows.attempts

        async def taken_meanwhile(**asked):
            store.rows.attempts = attempts
            store.take_away("one", members[0])
            return await attempts(**asked)

        store.rows.attempts = taken_meanwhile
        store.give("one", members[0])
        assert (await a.send("one", "room", "text")).delivered
        assert store.rows.attempts == attempts
    assert ["text"] == sent(channels[0], "one")


@pytest.mark.parametrize("later", [0.0, 0.2, 2.0])
async def test_an_account_that_is_had_again_while_it_moves_is_served_on(later, autojump_clock):
    """What was under way as it was to move ends late, and gives up nothing of what is had again."""
    async with two(lambda: slow(5)) as (store, members, (a, _), channels):
        tickets = [await a.enqueue("one", "room", text) for text in ("under way", "waits")]
        await trio.sleep(0.5)
        store.give("one", members[1])
        await trio.sleep(0.5)
        store.take_away("one", None)
        await trio.sleep(later)
        store.give("one", members[0])
        await trio.sleep(0.5)
        tickets += [await a.enqueue("one", "other room", f"{n}") for n in range(2)]
        with trio.fail_after(60):
            receipts = [await ticket.receipt() for ticket in tickets]
        assert store.owners["one"] is members[0]
        assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}
        statistics = a.statistics()
        assert (0, 0) == (statistics.unfinished, statistics.stored)
    made = sent(channels[0], "one")
    assert ["under way", "waits"] == [text for text in dict.fromkeys(made) if text > "2"]
    assert {"under way": 2, "waits": 1, "0": 1, "1": 1} == {it: made.count(it) for it in made}


async def test_what_waits_of_an_account_is_known_as_it_comes_whatever_others_take(autojump_clock):
    """Several come at once, and the past of another one is read for long."""
    async with two(slow) as (store, members, (a, b), channels):
        tickets = [await a.enqueue("one", "room", str(n)) for n in range(4)]
        await trio.sleep(0.5)
        recover = members[1].recover

        async def recover_late(instance_id):
            if instance_id == "two":
                await trio.sleep(3)
            return await recover(instance_id)

        members[1].recover = recover_late
        for account in ACCOUNTS:
            store.give(account, None)
        await trio.sleep(2)
        store.wanted |= dict.fromkeys(ACCOUNTS, members[1])
        members[1].offered()
        await trio.sleep(1)
        assert members[1] is store.owners["one"]
        assert "two" not in store.owners
        tickets.append(await b.enqueue("one", "room", "4"))
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
    assert ["0"] == sent(channels[0], "one")
    assert ["1", "2", "3", "4"] == sent(channels[1], "one")


async def test_what_was_asked_for_before_an_account_went_is_asked_for_anew(autojump_clock):
    """Both are shown again as it comes back: of neither the showing before is done then."""
    async with two(lambda: slow(5)) as (store, members, (_, b), channels):
        stored, read = trio.Event(), trio.Event()
        append, page = members[0].append, members[0].page

        async def append_later(entry, on_stored):
            if entry.envelope.text == "first":
                await stored.wait()
            await append(entry, on_stored)

        async def read_later(instance_id, **asked):
            if instance_id == "two":
                await read.wait()
            return await page(instance_id, **asked)

        members[0].append, members[0].page = append_later, read_later
        tickets = [await b.enqueue("one", "room", "first")]
        await trio.sleep(0.1)
        for text in ("under way", "waits"):  # the other account's, of which it reads for long
            await b.enqueue("two", "room", text)
        store.give("two", members[0])
        await trio.sleep(6)
        tickets.append(await b.enqueue("one", "room", "second"))
        await trio.sleep(0.1)
        store.take_away("one", None)
        stored.set()
        await trio.sleep(0.1)
        store.give("one", members[0])
        await trio.sleep(0.1)
        read.set()
        receipts = [await ticket.receipt() for ticket in tickets]
        assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}
        assert store.owners["one"] is members[0]
    assert ["first", "second"] == sent(channels[0], "one")


async def test_groups_are_fed_where_their_account_is_and_known_everywhere(autojump_clock):
    async with two(lambda: slow(0.2), attempts_per_instance=4) as each:
        store, members, (a, b), channels = each
        rooms = [f"room {n}" for n in range(30)]
        here = await a.broadcast("one", rooms, "hello", key="here")
        there = await b.broadcast("one", rooms, "there", key="there")
        await trio.sleep(0.5)
        store.give("one", members[1])
        await here.wait()
        progress = await there.wait()
        assert {Disposition.DELIVERED: 30} == progress.counts
        assert {"here", "there"} == {job.key for job in await a.groups("one")}
    made = sent(channels[0], "one") + sent(channels[1], "one")
    assert (30, 30) == (made.count("hello"), made.count("there"))
    assert sent(channels[1], "one")


async def test_a_held_group_is_held_by_whoever_asks(autojump_clock):
    async with two() as (_store, _members, (_, b), channels):
        later = await b.broadcast("one", ["r"], "later", not_before=virtual_wall() + 1e5)
        assert (await later.pause()).paused
        assert not (await later.resume()).paused
        assert (await later.cancel()).cancelled
    assert [] == sent(channels[0], "one")


async def test_a_stream_goes_on_where_its_account_goes(autojump_clock):
    async with two() as (store, members, (a, _), channels):
        async with a.stream(("one", "room")) as out:
            out.write("The first half")
            await trio.sleep(5)
            store.give("one", members[1])
            await trio.sleep(5)
            out.write(", and the second.")
            await trio.sleep(5)
            receipt = await out.finish()
        assert receipt.delivered
        [texts] = [channel.texts("room") for channel in channels if channel.texts("room")][-1:]
    assert "The first half, and the second." in str(texts)


async def test_a_process_that_gave_away_a_stream_of_another_one_closes_at_once(autojump_clock):
    store, channel = Store(), FakeChannel()
    members = [Member(store) for _ in range(3)]
    writer, first, second = [
        open_test_gateway(channel, instances=ACCOUNTS, outbox=member) for member in members
    ]
    async with writer as writing, second, writing.stream(("one", "room")) as out:
        async with first:
            store.give("one", members[1])
            out.write("The first half")
            await trio.sleep(5)
            store.give("one", members[2])
            await trio.sleep(5)
            begun = trio.current_time()
        assert trio.current_time() - begun < 1
        out.write(", and the second.")
        assert (await out.finish()).delivered
    assert ["The first half, and the second."] == channel.texts("room")


async def test_a_key_is_one_message_wherever_it_is_used(autojump_clock):
    async with two() as (store, members, (a, b), channels):
        first = await a.send("one", "room", "text", key="k")
        again = await b.send("one", "room", "text", key="k")
        store.give("one", members[1])
        await trio.sleep(1)
        moved = await a.send("one", "room", "text", key="k")
    assert {first.envelope_id} == {each.envelope_id for each in (first, again, moved)}
    assert ["text"] == sent(channels[0], "one") + sent(channels[1], "one")


async def test_without_an_owner_it_is_accepted_and_waits(autojump_clock):
    async with two() as (store, members, (a, b), channels):
        store.give("one", None)
        await trio.sleep(1)
        ticket = await a.enqueue("one", "room", "text")
        await trio.sleep(60)
        assert not ticket.ended
        store.give("one", members[1])
        assert (await ticket.receipt()).delivered
        assert (await b.status(ticket.id)).receipt.delivered
    assert ["text"] == sent(channels[1], "one")


async def test_the_bound_of_the_outbox_counts_the_messages_of_all_processes(autojump_clock):
    async with two(partial(slow, 10.0), outbox_capacity=5) as (_store, _members, (a, b), _channels):
        tickets = [await a.enqueue("one", f"room {n}", "text") for n in range(4)]
        await trio.sleep(2)
        tickets.append(await b.enqueue("two", "room", "the fifth"))
        with pytest.raises(Overloaded, match="the outbox"):
            await b.submit(Send(instance_id="two", external_room_id="room", text="no"), wait=False)
        before = trio.current_time()
        tickets.append(await b.enqueue("two", "other", "waits for its turn"))
        assert 7 <= trio.current_time() - before <= 11  # two looks, of a second each
        for ticket in tickets:
            assert (await ticket.receipt()).disposition is Disposition.DELIVERED
