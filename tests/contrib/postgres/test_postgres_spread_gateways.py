"""Several gateways on one database, each of which serves the accounts that fall to it."""

from contextlib import asynccontextmanager

import pytest
import trio
from postgres_spread import Spread, owned_of, settled, until

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import Disposition, Overloaded, Send
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall

ACCOUNTS = [f"bot{n}" for n in range(24)]


@pytest.fixture
def spread(server, emptied_schema):
    return Spread(server, emptied_schema)


@asynccontextmanager
async def opened(spread, channel, *, outbox_capacity=1_000, **settings):
    settings = PostgresSettings(
        **{"schema": spread.schema, "accounts": "spread", "lease": 60, "poll": 0.01} | settings
    )
    outbox = PostgresOutbox(spread.server.url(), settings, wall_clock=virtual_wall)
    given = {"outbox": outbox, "outbox_capacity": outbox_capacity}
    async with open_test_gateway(channel, instances=ACCOUNTS, **given) as gateway:
        yield gateway


def owned(gateway):
    return owned_of(gateway, ACCOUNTS)


def made(channel, account=None):
    attempts = [each.attempt for each in channel.made]
    return [
        (each.instance_id, each.part.payload["text"])
        for each in attempts
        if account in (None, each.instance_id)
    ]


async def test_every_gateway_accepts_for_every_account_and_its_owner_delivers(spread):
    channels = [FakeChannel(), FakeChannel()]
    async with opened(spread, channels[0]) as a, opened(spread, channels[1]) as b:
        await settled([a, b], ACCOUNTS)
        for number, gateway in enumerate((a, b)):
            async with trio.open_nursery() as nursery:
                for account in ACCOUNTS:
                    nursery.start_soon(gateway.send, account, "room", f"of {number}")
        for gateway, channel in ((a, channels[0]), (b, channels[1])):
            wanted = sorted((it, f"of {n}") for it in owned(gateway) for n in range(2))
            assert wanted == sorted(made(channel))


async def test_messages_of_accounts_that_move_are_sent_once_in_their_order(spread):
    """One joins while 240 wait, and one leaves; each ticket hears of its end where it was asked."""

    async def slow(_):
        await trio.sleep(0.05)

    channels = [FakeChannel(script=slow) for _ in range(3)]
    async with opened(spread, channels[0]) as a:
        await until(lambda: len(owned(a)) == len(ACCOUNTS))
        tickets = [await a.enqueue(it, "room", f"{n:02}") for n in range(10) for it in ACCOUNTS]
        async with opened(spread, channels[1]) as b:
            tickets += [
                await b.enqueue(it, "room", f"{n:02}") for n in range(10, 20) for it in ACCOUNTS
            ]
            async with opened(spread, channels[2]):
                await trio.sleep(0.5)
            with trio.fail_after(60):
                receipts = [await ticket.receipt() for ticket in tickets]
        assert {Disposition.DELIVERED} == {each.disposition for each in receipts}
        await until(lambda: len(owned(a)) == len(ACCOUNTS))
        assert (await a.send(ACCOUNTS[0], "room", "last")).delivered
    for account in ACCOUNTS:
        texts = [text for channel in channels for _, text in made(channel, account)]
        wanted = [f"{n:02}" for n in range(20)] + ["last"] * (account == ACCOUNTS[0])
        assert wanted == sorted(texts)
        for channel in channels:  # each of them in order, one after the other
            mine = [text for _, text in made(channel, account)]
            assert sorted(mine) == mine
    assert made(channels[1])


async def test_the_bound_of_the_outbox_counts_what_all_of_them_have(spread):
    async def stuck(_):
        await go.wait()

    go = trio.Event()
    channels = [FakeChannel(script=stuck), FakeChannel()]

    async def refused(gateway):
        """A message that a platform can take at once, so that only the bound stops it."""
        try:
            ticket = await gateway.submit(
                Send(instance_id=min(owned(gateway)), external_room_id="room", text="text"),
                wait=False,
            )
        except Overloaded:
            return True
        assert (await ticket.receipt()).delivered
        return False

    async def until_refused(gateway, *, so):
        with trio.fail_after(30):
            while await refused(gateway) is not so:  # noqa: ASYNC110 - a count comes when it comes
                await trio.sleep(0.1)

    given = {"outbox_capacity": 6}
    async with (
        opened(spread, channels[1], **given) as b,
        opened(spread, channels[0], **given) as a,
    ):
        await settled([a, b], ACCOUNTS)
        for n in range(6):
            await a.enqueue(min(owned(a)), f"room {n}", "stuck")
        await until_refused(b, so=True)
        go.set()
        await until_refused(b, so=False)


async def test_an_account_can_be_asked_about_from_where_it_is_not(spread):
    async with opened(spread, FakeChannel()) as a, opened(spread, FakeChannel()) as b:
        await settled([a, b], ACCOUNTS)
        account = min(owned(b))
        later = await a.enqueue(account, "room", "later", ttl=600, key="later")
        assert (await later.receipt()).delivered
        status = await a.status(later.id)
        assert status.receipt.delivered
        assert (
            later.id == (await a.send(account, "room", "later", ttl=600, key="later")).envelope_id
        )
        edited = await a.edit(later.ref, "changed")
        assert edited.delivered
        job = await a.broadcast(account, ["x", "y"], "to all")
        assert {Disposition.DELIVERED: 2} == (await job.wait()).counts
        assert [job.id] == [each.id for each in await b.groups(account)]


async def test_accounts_of_a_process_that_ends_slowly_go_on_in_another_one(spread):
    """But for the one whose attempt is under way, which nobody else may begin again."""
    hangs, ended = trio.Event(), trio.Event()

    async def hanging(attempt):
        if attempt.part.payload["text"] == "hangs":
            await hangs.wait()

    channels = [FakeChannel(script=hanging), FakeChannel()]
    async with opened(spread, channels[1]) as b, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def ends():
            async with opened(spread, channels[0]) as a:
                await settled([a, b], ACCOUNTS)
                slow, *others = sorted(owned(a))
                await a.enqueue(slow, "room", "hangs")
                await until(lambda: any(each.in_flight for each in a.statistics().instances))
                left.extend(others)
                held.append(slow)
            ended.set()

        left, held = [], []
        with trio.fail_after(60):
            await until(lambda: left)
            for account in left:
                await b.send(account, "room", "hello")
            await until(lambda: owned(b) == set(ACCOUNTS) - set(held))
            assert not ended.is_set()
            hangs.set()
            await ended.wait()
            await b.send(held[0], "room", "hello")
    assert [(held[0], "hangs")] == made(channels[0])
    assert sorted((it, "hello") for it in (*left, *held)) == sorted(made(channels[1]))
