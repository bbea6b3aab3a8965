"""Accounts that a source gives, on a database: owned whole, or spread as far as they work."""

from __future__ import annotations

import math
import threading
import time
from contextlib import asynccontextmanager

import pytest
import trio
from postgres_spread import Spread, until
from tenants import Accounts

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings, handed
from gateway_contrib.postgres.spreading.member import SpreadMember
from gateway_contrib.postgres.spreading.operating import Sharing
from gateway_core import (
    GatewayConfig,
    Instance,
    InstanceSourceError,
    SourceSettings,
    open_gateway,
)
from gateway_core.authors import Verdict, hookimpl
from gateway_core.backlog import operator_requests
from gateway_core.sourcing import stored as stored_accounts
from gateway_core.testing import FakeChannel, FakeSettings, failing, virtual_wall

NAMES = [f"tenant-{n}" for n in range(24)]


@pytest.fixture
def spread(server, emptied_schema):
    return Spread(server, emptied_schema)


@asynccontextmanager
async def opened(
    spread, channel=None, accounts=None, *, idle=600.0, serve=True, owned="spread", poll=0.01
):
    settings = PostgresSettings(schema=spread.schema, accounts=owned, lease=60, poll=poll)
    async with open_gateway(
        GatewayConfig(instance_source=SourceSettings(idle=idle), drain_timeout=5),
        plugins=[("fake", channel or FakeChannel())],
        outbox=PostgresOutbox(spread.server.url(), settings, wall_clock=virtual_wall),
        wall_clock=virtual_wall,
        instance_source=accounts or Accounts(),
        serve=serve,
    ) as gateway:
        yield gateway


def here(gateway):
    return {each.id for each in gateway.statistics().instances}


def held(gateway):
    return {each.id for each in gateway.statistics().instances if each.suspended}


def rows(spread):
    sql = "SELECT instance, member IS NOT NULL, idle FROM accounts WHERE account <> ''"
    return {name: (owned, idle) for name, owned, idle in spread.ran(sql)}


def _owned(gateway):
    return {name for name in here(gateway) if gateway._pager.accounts.has(name)}


def sent(*channels):
    return sorted(made.attempt.instance_id for channel in channels for made in channel.made)


async def _send_all(gateway, names, text="hello"):
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(gateway.send, name, "room", text)


async def test_owned_whole_what_is_stored_goes_on_once_the_source_was_asked(spread):
    async with opened(spread, owned="whole") as gateway:
        for name in NAMES[:3]:
            await gateway.find_instance(name)
            gateway.suspend(name)
            await gateway.enqueue(name, "room", "hello")
    accounts, channel = Accounts(), FakeChannel()
    async with opened(spread, channel, accounts, owned="whole") as gateway:
        await until(lambda: here(gateway) == set(NAMES[:3]) == held(gateway))
        assert [] == channel.made  # what was suspended is so in the next process run
        for name in NAMES[:3]:
            gateway.resume(name)
        await until(lambda: len(channel.made) == 3)
    assert set(NAMES[:3]) == accounts.asked.keys()


async def test_one_that_is_resumed_while_it_is_being_had_goes_on(spread, monkeypatch):
    """It was read as suspended, and nobody hears of that any more."""
    async with opened(spread, owned="whole") as gateway:
        await gateway.find_instance("tenant-0")
        gateway.suspend("tenant-0", by="ann")
        await gateway.enqueue("tenant-0", "room", "hello")
    was_read, may_go_on, read = trio.Event(), trio.Event(), PostgresOutbox.attempts

    async def attempts(self, **given):
        if given.get("instance_id") == "tenant-0":
            was_read.set()
            await may_go_on.wait()
        return await read(self, **given)

    monkeypatch.setattr(PostgresOutbox, "attempts", attempts)
    channel = FakeChannel()
    async with opened(spread, channel, owned="whole") as gateway:
        with trio.fail_after(60):
            await was_read.wait()
        gateway.resume("tenant-0")
        await until(lambda: not spread.ran("SELECT instance FROM suspensions"))
        await trio.sleep(0.1)  # and this process knows that it is stored
        may_go_on.set()
        await until(lambda: ["hello"] == channel.texts("room"))


async def test_every_process_sends_and_the_owner_alone_delivers(spread):
    channels, sources = [FakeChannel(), FakeChannel()], [Accounts(), Accounts()]
    async with (
        opened(spread, channels[0], sources[0]) as a,
        opened(spread, channels[1], sources[1]) as b,
    ):
        with trio.fail_after(60):
            await _send_all(a, NAMES)  # some of them move, once the other one takes part
            await until(lambda: _owned(a) | _owned(b) == set(NAMES) and _owned(a) and _owned(b))
            owned = [_owned(a), _owned(b)]
            for channel in channels:
                channel.made.clear()
            await _send_all(b, NAMES)
        assert owned == [set(sent(channel)) for channel in channels]
        assert NAMES == sorted(sent(*channels), key=NAMES.index)
        assert NAMES == sorted(rows(spread), key=NAMES.index)  # and of no other there is a row
        assert {(True, False)} == set(rows(spread).values())


async def test_one_that_is_had_is_looked_for_at_once(spread):
    """It is forgotten long before the next look is due, and so it would be again and again."""
    channel = FakeChannel()
    async with opened(spread, channel, idle=0.4, poll=5) as gateway:
        with trio.fail_after(60):
            await gateway.send(NAMES[0], "room", "hello")
            await until(lambda: not here(gateway))
            spread.ran(f"SELECT {spread.schema}.send('{NAMES[0]}', 'room', 'handed over')")
            since = trio.current_time()
            await until(lambda: ["hello", "handed over"] == channel.texts("room"))
        assert trio.current_time() - since < 30  # several looks of a member, none for requests


async def test_an_idle_one_is_nobodys_and_is_had_again_on_demand(spread):
    channel = FakeChannel()
    async with opened(spread, channel, idle=0.4) as gateway:
        with trio.fail_after(60):
            await _send_all(gateway, NAMES[:4])
            await until(lambda: not here(gateway))
            await until(lambda: {(False, True)} == set(rows(spread).values()))
            await gateway.send(NAMES[0], "room", "again")
        assert ["again"] == channel.texts("room")[4:]


async def test_what_is_handed_over_in_a_transaction_finds_its_account(spread):
    """One of which there is no row, an idle one, and one that nobody knows."""
    channel = FakeChannel()
    async with opened(spread, channel, idle=0.4) as gateway:
        send = f"SELECT {spread.schema}.send('{{}}', 'room', 'of SQL')"
        with trio.fail_after(60):
            spread.ran(send.format("tenant-1"))
            await until(lambda: sent(channel) == ["tenant-1"])
            await until(lambda: not here(gateway) and rows(spread) == {"tenant-1": (False, True)})
            spread.ran(send.format("tenant-1"))
            await until(lambda: sent(channel) == ["tenant-1"] * 2)
            ((name,),) = spread.ran(send.format("nobody"))
            sql = f"SELECT {spread.schema}.status('{name}')->>'reason'"
            await until(lambda: spread.ran(sql)[0][0] is not None)
        assert "there is no instance 'nobody'" in spread.ran(sql)[0][0]


async def test_one_that_is_waited_for_is_not_forgotten_meanwhile(spread, monkeypatch):
    """Though it is slower to come than an account may idle."""
    look = SpreadMember.look

    def slowly(self):
        time.sleep(0.5)  # noqa: TID251 - on the thread of the lease
        look(self)

    monkeypatch.setattr(SpreadMember, "look", slowly)
    channel = FakeChannel()
    async with opened(spread, channel, idle=0.1) as gateway:
        with trio.fail_after(60):
            await gateway.send("tenant-1", "room", "hello")
            spread.ran(f"SELECT {spread.schema}.send('tenant-2', 'room', 'of SQL')")
            await until(lambda: sent(channel) == ["tenant-1", "tenant-2"])


async def test_one_that_is_just_being_had_is_not_forgotten(spread, monkeypatch):
    """It would be this process's, and what is stored of it would wait."""
    async with opened(spread) as gateway:
        await gateway.find_instance("tenant-1")
        await until(lambda: gateway._pager.accounts.has("tenant-1"))
        gateway.suspend("tenant-1")
        await gateway.enqueue("tenant-1", "room", "hello")
    recover = PostgresOutbox.recover

    async def slowly(self, instance_id):
        found = await recover(self, instance_id)
        await trio.sleep(1)
        return found

    monkeypatch.setattr(PostgresOutbox, "recover", slowly)
    channel = FakeChannel()
    async with opened(spread, channel, idle=0.1) as gateway:
        with trio.fail_after(60):
            await until(lambda: held(gateway) == {"tenant-1"})
            gateway.resume("tenant-1")
            await until(lambda: sent(channel) == ["tenant-1"])


async def test_what_came_before_anybody_did_what_is_common_is_taken_once_one_does(
    spread, monkeypatch
):
    """Of an account without a row that one hears alone, and it has looked already."""
    may, take = threading.Event(), SpreadMember._take_common

    def take_common(self):
        if may.is_set():
            take(self)
        else:
            self._known = None  # it looks again

    monkeypatch.setattr(SpreadMember, "_take_common", take_common)
    monkeypatch.setattr(handed, "WHOLE", math.inf)  # no look but its own finds it
    channel = FakeChannel()
    async with opened(spread, channel) as gateway:
        spread.ran(f"SELECT {spread.schema}.send('{{}}', 'room', 'of SQL')".format("tenant-1"))
        await trio.sleep(1)
        assert not gateway._pager.accounts.ownership._outbox._spread.common
        assert [] == channel.made
        may.set()
        with trio.fail_after(60):
            await until(lambda: sent(channel) == ["tenant-1"])


async def test_what_it_took_again_and_did_not_hear_of_is_given_up(spread, monkeypatch):
    """Though it gave the account up before, and has not looked since."""
    turn, look = threading.Lock(), SpreadMember.look

    def look_in_turn(self):
        with turn:
            look(self)

    monkeypatch.setattr(SpreadMember, "look", look_in_turn)

    def is_owned():
        return rows(spread)["tenant-1"][0]

    take = "UPDATE accounts SET member = %s, epoch = epoch + 1, idle = false WHERE account <> ''"
    async with opened(spread, idle=0.5) as gateway:
        await gateway.find_instance("tenant-1")
        await until(lambda: here(gateway) == {"tenant-1"})
        await trio.to_thread.run_sync(turn.acquire)
        try:
            await until(lambda: not is_owned())
            member = gateway._pager.accounts.ownership._outbox._spread
            spread.server.ran(spread.schema, take, member.member)
            assert is_owned()
        finally:
            turn.release()
        member.look_again()
        with trio.fail_after(60):
            await until(lambda: not is_owned())


async def test_what_a_process_leaves_goes_on_in_the_other(spread):
    channel, accounts = FakeChannel(), Accounts()
    async with opened(spread) as a:
        for name in NAMES:
            await a.find_instance(name)
        await until(lambda: all(a._pager.accounts.has(name) for name in NAMES))
        for name in NAMES:
            a.suspend(name)
            await a.enqueue(name, "room", "hello")
    async with opened(spread, channel, accounts) as b:
        await until(lambda: here(b) == set(NAMES))
        for name in NAMES:
            b.resume(name)
        with trio.fail_after(60):
            await until(lambda: NAMES == sorted(sent(channel), key=NAMES.index))
    assert set(NAMES) == accounts.asked.keys()


async def test_one_that_joins_takes_its_share_of_those_that_work(spread):
    """Idle ones do not move: of those nobody is asked for."""
    channels, accounts = [FakeChannel(), FakeChannel()], Accounts()
    async with opened(spread, channels[0], idle=2.0) as a:
        with trio.fail_after(60):
            await _send_all(a, NAMES)
            await until(lambda: not here(a))
            await until(lambda: {(False, True)} == set(rows(spread).values()))
            async with opened(spread, channels[1], accounts, idle=60.0) as b:
                await trio.sleep(1.5)
                assert {} == accounts.asked
                await _send_all(a, NAMES)
                assert channels[1].made
                assert set(sent(channels[1])) == here(b) == accounts.asked.keys()


async def test_an_account_is_owned_by_a_process_whose_source_knows_it(spread):
    channels, narrow = [FakeChannel(), FakeChannel()], Accounts()
    narrow.known.clear()
    async with (
        opened(spread, channels[0], narrow),
        opened(spread, channels[1]) as b,
    ):
        with trio.fail_after(60):
            await _send_all(b, NAMES)
    assert NAMES == sorted(sent(channels[1]), key=NAMES.index)
    assert [] == channels[0].made


async def test_a_web_worker_with_a_source_hands_over(spread):
    channel = FakeChannel()
    async with opened(spread, channel), opened(spread, serve=False) as worker:
        with trio.fail_after(60):
            receipt = await worker.send("tenant-1", "room", "hello")
        assert receipt.delivered
    assert ["tenant-1"] == sent(channel)


async def test_one_is_suspended_from_elsewhere_once_its_source_answers(spread):
    accounts = Accounts()
    accounts.gives["tenant-1"] = OSError("the tenants' database is away")
    async with opened(spread, accounts=accounts) as gateway, opened(spread, serve=False) as worker:
        await worker.find_instance("tenant-1")
        worker.suspend("tenant-1")
        with trio.fail_after(60):
            await until(lambda: accounts.asked["tenant-1"] > 1)
            assert set() == held(gateway)
            del accounts.gives["tenant-1"]
            await until(lambda: held(gateway) == {"tenant-1"})


async def test_an_operator_is_heard_of_an_idle_account(spread):
    """What failed is tried again, whose account nobody owned."""
    channel = FakeChannel()
    async with opened(spread, channel, idle=0.4) as gateway:
        with trio.fail_after(60):
            ticket = await gateway.enqueue("tenant-1", "room", "late", ttl=0.001)
            receipt = await ticket.receipt()
            assert "expired" == receipt.disposition
            await until(lambda: rows(spread) == {"tenant-1": (False, True)})
            settings = PostgresSettings(schema=spread.schema)
            with Sharing(spread.server.url(), settings) as operator:
                operator.ask("retry", 0.0, envelope_id=ticket.id)
            await until(lambda: rows(spread) == {"tenant-1": (True, False)})


async def test_what_is_handed_over_waits_for_a_source_that_fails_for_a_moment(spread):
    """For half a minute; other accounts do not wait for it."""
    channel, accounts = FakeChannel(), Accounts()
    accounts.gives["tenant-1"] = LookupError("the database is away")
    send = f"SELECT {spread.schema}.send('{{}}', 'room', 'of SQL')"
    async with opened(spread, channel, accounts, owned="whole"):
        with trio.fail_after(60):
            spread.ran(send.format("tenant-1"))
            await until(lambda: accounts.asked["tenant-1"])
            spread.ran(send.format("tenant-2"))
            await until(lambda: sent(channel) == ["tenant-2"])
            accounts.gives.clear()
            await until(lambda: sent(channel) == ["tenant-1", "tenant-2"])


async def test_it_is_rejected_where_the_source_fails_for_longer(spread, monkeypatch):
    monkeypatch.setattr(operator_requests, "PATIENCE", 0.1)
    accounts = Accounts()
    accounts.gives["tenant-1"] = LookupError("the database is away")
    async with opened(spread, FakeChannel(), accounts, owned="whole"):
        send = f"SELECT {spread.schema}.send('tenant-1', 'room', 'of SQL')"
        ((name,),) = spread.ran(send)
        sql = f"SELECT {spread.schema}.status('{name}')->>'reason'"
        await until(lambda: spread.ran(sql)[0][0] is not None)
    assert "InstanceSourceError: instance 'tenant-1'" in spread.ran(sql)[0][0]


# -- new settings, of which one process hears


def _changed(*sources, name="tenant-1"):
    """Let the sources give an account its second settings."""
    for each in sources:
        each.gives[name] = Instance(name, "fake", FakeSettings("second"))


def second(gateway, name):
    return gateway._registry.account(name).instance.settings.name == "second"


class Noting(FakeChannel):
    """Notes with which settings messages are sent."""

    def __init__(self):
        super().__init__()
        self.used = []

    @hookimpl
    async def send(self, instance, attempt):
        self.used.append(instance.settings.name)
        return await super().send(attempt)


@pytest.mark.parametrize("owned", ["whole", "spread"])
async def test_new_settings_are_told_to_the_owner_by_a_web_worker(spread, owned):
    channel, sources = Noting(), [Accounts(), Accounts()]
    async with (
        opened(spread, channel, sources[0], owned=owned),
        opened(spread, None, sources[1], owned=owned, serve=False) as worker,
    ):
        with trio.fail_after(60):
            await worker.send("tenant-1", "room", "one")
            _changed(*sources)
            found = await worker.find_instance("tenant-1", anew=True)
            await worker.send("tenant-1", "room", "two")
        assert "second" == found.settings.name
        assert ["tenant-1", "second"] == channel.used


async def test_new_settings_are_told_to_the_owner_by_another_one(spread):
    channel, sources = Noting(), [Accounts(), Accounts()]
    async with opened(spread, channel, sources[0]) as a, opened(spread, channel, sources[1]) as b:
        with trio.fail_after(60):
            await a.find_instance("tenant-1")
            await b.find_instance("tenant-1")
            await until(lambda: _owned(a) | _owned(b))
            _changed(*sources)
            for each in (a, b):
                await each.find_instance("tenant-1", anew=True)
                await each.send("tenant-1", "room", "hello")
        assert ["second"] * 2 == channel.used


async def test_a_suspended_one_goes_on_with_the_new_settings(spread):
    channel, sources = Noting(), [Accounts(), Accounts()]
    channel.script = failing(Verdict(error_class="fatal", reason="unauthorized", scope="instance"))
    async with (
        opened(spread, channel, sources[0]) as a,
        opened(spread, None, sources[1], serve=False) as worker,
    ):
        with trio.fail_after(60):
            ticket = await worker.enqueue("tenant-1", "room", "hello")
            await until(lambda: held(a))
            _changed(*sources)
            await worker.find_instance("tenant-1", anew=True)
            assert (await ticket.receipt()).delivered


async def test_one_that_the_source_knows_no_more_is_removed_at_the_owner(spread):
    sources = [Accounts(), Accounts()]
    async with (
        opened(spread, None, sources[0]) as a,
        opened(spread, None, sources[1], serve=False) as worker,
    ):
        with trio.fail_after(60):
            await a.send("tenant-1", "room", "hello")
            assert {"tenant-1"} == here(a)
            for each in sources:
                each.known.discard("tenant-1")
            assert None is await worker.find_instance("tenant-1", anew=True)
            assert set() == here(a)
            assert None is await worker.find_instance("tenant-1", anew=True)


async def test_the_owner_s_source_fails_and_nothing_changes(spread, monkeypatch):
    monkeypatch.setattr(operator_requests, "PATIENCE", 0.1)
    channel, sources = Noting(), [Accounts(), Accounts()]
    async with (
        opened(spread, channel, sources[0]),
        opened(spread, None, sources[1], serve=False) as worker,
    ):
        with trio.fail_after(60):
            await worker.send("tenant-1", "room", "one")
            sources[0].gives["tenant-1"] = LookupError("gone")
            with pytest.raises(InstanceSourceError, match="LookupError: gone"):
                await worker.find_instance("tenant-1", anew=True)
            await worker.send("tenant-1", "room", "two")
        assert ["tenant-1"] * 2 == channel.used


async def test_one_that_was_another_process_s_is_looked_up_again(spread, monkeypatch):
    """Its settings here are those that it had before the owner was told."""
    monkeypatch.setattr(stored_accounts, "FRESH", 0.1)
    channel, sources = Noting(), [Accounts(), Accounts()]
    async with opened(spread, channel, sources[1]) as b:
        async with opened(spread, channel, sources[0]) as a:
            with trio.fail_after(60):
                for each in (a, b):
                    for name in NAMES:
                        await each.find_instance(name)
                await until(lambda: _owned(a) | _owned(b) == set(NAMES) and _owned(a))
                name = min(_owned(a))
                _changed(*sources, name=name)
                await a.find_instance(name, anew=True)
        with trio.fail_after(60):
            await until(lambda: name in _owned(b))
            await until(lambda: second(b, name))
            await b.send(name, "room", "hello")
        assert ["second"] == channel.used


# -- removed by a process that does not own them


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("owned", ["whole", "spread"])
async def test_one_is_removed_by_its_owner_for_another_process(spread, owned, known):
    """Once, whether the source still knows it or not; what is sent later is not concerned."""
    channel, source = FakeChannel(latency=1.0), Accounts()
    async with (
        opened(spread, channel, source, owned=owned) as a,
        opened(spread, None, owned=owned, serve=False) as worker,
    ):
        with trio.fail_after(60):
            await worker.send("tenant-1", "room", "first")
            await worker.enqueue("tenant-1", "room", "under way")
            await until(lambda: a.statistics().instances[0].in_flight)
            ticket = await worker.enqueue("tenant-1", "room", "left")
            while (await worker.status(ticket)).cause == "handed":  # noqa: ASYNC110 - of a row
                await trio.sleep(0.02)
            if not known:
                source.known.clear()
            left = await worker.remove_instance("tenant-1")
            assert [("under way", "unknown"), ("left", "cancelled")] == [
                (each.envelope.text, each.receipt.disposition) for each in left
            ]
            if known:
                assert (await worker.send("tenant-1", "room", "again")).delivered
            else:
                assert set() == here(a)


async def test_one_is_removed_for_another_owner(spread):
    async with opened(spread) as a, opened(spread) as b:
        with trio.fail_after(60):
            await a.find_instance("tenant-1")
            await b.find_instance("tenant-1")
            await until(lambda: "tenant-1" in _owned(a) | _owned(b))
            other = b if "tenant-1" in _owned(a) else a
            assert [] == await other.remove_instance("tenant-1")
            assert "tenant-1" not in here(a) | here(b)
