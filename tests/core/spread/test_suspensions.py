"""An operator's suspension goes with its account, whoever owns it, and ends with `resume` alone."""

from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import pytest
import trio
from structlog.testing import capture_logs

from gateway_core import InstanceSuspended, OutboxError, Verdict
from gateway_core.clock import SECOND
from gateway_core.outboxes import OutboxForbidden, Suspension
from gateway_core.testing import FakeChannel, failing, open_test_gateway, virtual_wall
from tests.shared.spread_in_memory import Member, Store

ACCOUNTS = ["one", "two"]
WRONG_TOKEN = Verdict(error_class="fatal", reason="unauthorized", scope="instance", dispatched="no")


@asynccontextmanager
async def opened(store, channel, **config):
    async with open_test_gateway(
        channel, instances=ACCOUNTS, outbox=Member(store), drain_timeout=0.0, **config
    ) as gateway:
        yield gateway


@asynccontextmanager
async def two(**config):
    """Two processes on one store; both accounts are the first one's."""
    store, channels = Store(), [FakeChannel(), FakeChannel()]
    async with (
        opened(store, channels[0], **config) as a,
        opened(store, channels[1], **config) as b,
    ):
        for account in ACCOUNTS:
            store.give(account, store.members[0])
        await trio.sleep(1)
        yield store, (a, b), channels


def suspended(gateway, account="one"):
    (found,) = [it.suspended for it in gateway.statistics().instances if it.id == account]
    return found


async def moved(store, number, account="one"):
    store.give(account, store.members[number])
    await trio.sleep(1)


async def test_a_suspended_account_stays_so_wherever_it_goes(autojump_clock):
    async with two() as (store, (a, b), channels):
        a.suspend("one", "the workspace moves", by="ann")
        await trio.sleep(1)
        ticket = await b.enqueue("one", "room", "text", ttl=600)
        await moved(store, 1)
        assert "the workspace moves" in suspended(b)
        assert suspended(a) is None  # it is not this one's to say
        await moved(store, 0)
        assert "the workspace moves" in suspended(a)
        assert [] == [*channels[0].made, *channels[1].made]
        a.resume("one")
        assert (await ticket.receipt()).delivered
        await moved(store, 1)
        assert (await b.send("one", "room", "text")).delivered
    (stored,) = store.suspended.values() or [None]
    assert stored is None


async def test_who_why_and_since_when_is_stored(autojump_clock):
    async with two() as (store, (a, _), _channels):
        began = virtual_wall()
        a.suspend("one", "the workspace moves", by="ann")
        await trio.sleep(1)
        found = store.suspended["one"]
        assert ("the workspace moves", "ann", began) == (found.why, found.by, found.since)


async def test_after_its_owner_was_killed_it_holds_as_well(autojump_clock):
    async with two() as (store, (a, b), channels):
        a.suspend("one")
        await trio.sleep(1)
        store.wanted["one"] = store.members[1]
        store.kill(store.members[0])
        await trio.sleep(2)
        ticket = await b.enqueue("one", "room", "text")
        await trio.sleep(30)
        assert [] == channels[1].made
        b.resume("one")
        assert (await ticket.receipt()).delivered


@pytest.mark.parametrize("asked", [0, 1])
async def test_any_process_suspends_and_resumes_an_account(asked, autojump_clock):
    async with two() as (store, gateways, channels):
        asker = gateways[asked]
        asker.suspend("one", "for a while")
        await trio.sleep(1)
        assert "for a while" in suspended(gateways[0])
        assert suspended(gateways[1]) is None
        ticket = await asker.enqueue("one", "room", "text", ttl=600)
        await trio.sleep(30)
        assert [] == channels[0].made
        assert ["one"] == list(store.suspended)
        asker.resume("one")
        with trio.fail_after(1):
            assert (await ticket.receipt()).delivered
        await trio.sleep(1)
        assert {} == store.suspended


async def test_what_is_asked_one_after_the_other_is_done_in_that_order(autojump_clock):
    async with two() as (store, (_, b), channels):
        for _ in range(10):
            b.suspend("one")
            await trio.sleep(0.001)  # the first is on its way by now
            b.resume("one")
            b.suspend("two")
            await trio.sleep(0.001)
        await trio.sleep(2)
        assert ["two"] == list(store.suspended)
        assert (await b.send("one", "room", "text")).delivered
        b.resume("two")
        assert (await b.send("two", "room", "text")).delivered
    assert 2 == len(channels[0].made)


async def test_what_was_not_stored_yet_goes_with_an_account_that_is_lost(autojump_clock):
    """Its next owner is asked."""
    async with two() as (store, (a, b), channels):
        a.suspend("one", "in the last moment")
        store.take_away("one", store.members[1])
        await trio.sleep(3)
        assert "in the last moment" in suspended(b)
        ticket = await b.enqueue("one", "room", "text")
        await trio.sleep(30)
        assert [] == [*channels[0].made, *channels[1].made]
        b.resume("one")
        assert (await ticket.receipt()).delivered


async def test_what_cannot_be_stored_now_holds_here_and_is_stored_later(autojump_clock):
    async with two() as (store, (a, b), channels):
        store.away = True
        a.suspend("one")
        b.suspend("two")
        await trio.sleep(10)
        assert {} == store.suspended
        assert suspended(a) is not None
        store.away = False
        await trio.sleep(2)
        assert {"one", "two"} == store.suspended.keys()
        assert suspended(a, "two") is not None
    assert [] == [*channels[0].made, *channels[1].made]


async def test_what_the_outbox_forbids_is_refused_once_and_never_done(autojump_clock):
    """Not even once it is granted: nobody expects an old call to take effect then."""
    async with two() as (store, (a, b), channels):
        suspensions = b._parts.suspensions
        allowed, tried = suspensions.tell, []

        async def forbidden(instance_id, question):
            tried.append(instance_id)
            if instance_id == "one":
                raise OutboxForbidden("role web may not send as instance one")
            await allowed(instance_id, question)

        suspensions.tell = forbidden
        with capture_logs() as logs:
            b.suspend("one", "not mine to say")
            b.suspend("two")
            await trio.sleep(5)
            b.resume("one")
            await trio.sleep(5)
        assert ["one", "two", "one"] == tried
        refused = [log for log in logs if log["event"] == "gateway.suspension_refused"]
        assert [("one", "suspend"), ("one", "resume")] == [
            (log["instance"], log["asked"]) for log in refused
        ]
        assert {"role web may not send as instance one"} == {log["error"] for log in refused}
        assert [] == [log for log in logs if log["event"] == "gateway.outbox_failed"]
        suspensions.tell = allowed
        await trio.sleep(5)
        assert ["two"] == list(store.suspended)
        assert (await a.send("one", "room", "text")).delivered
    assert 1 == len(channels[0].made)


async def test_a_gateway_that_closes_stores_what_it_was_asked_before(autojump_clock):
    store = Store()
    async with opened(store, FakeChannel()) as gateway:
        store.give("one", store.members[0])
        await trio.sleep(1)
        gateway.suspend("one")
        gateway.suspend("two")  # nobody's: whoever has it next is asked
    assert ["one"] == list(store.suspended)
    assert ["two"] == [row.request.instance_id for row in store.handed]


async def test_the_next_process_run_finds_it_suspended(autojump_clock):
    store, channel = Store(), FakeChannel()
    async with opened(store, FakeChannel()) as gateway:
        store.give("one", store.members[0])
        await trio.sleep(1)
        gateway.suspend("one", "overnight")
        await gateway.enqueue("one", "room", "text", ttl=3600)
    with capture_logs() as logs:
        async with opened(store, channel) as gateway:
            store.give("one", store.members[1])
            await trio.sleep(60)
            assert [] == channel.made
            gateway.resume("one")
            await trio.sleep(1)
    assert ["text"] == channel.texts("room")
    events = [(log["event"], log.get("raw", log.get("by"))) for log in logs if "instance" in log]
    assert [
        ("gateway.instance_suspended", "overnight"),
        ("gateway.instance_resumed", "resume"),
    ] == [each for each in events if "account" not in each[0]]


async def test_new_settings_resume_it_where_it_is_owned_and_nowhere_else(autojump_clock):
    async with two() as (store, (a, b), channels):
        a.suspend("one")
        await trio.sleep(1)
        (instance,) = [it for it in b.config.instances if it.id == "one"]
        b.replace_instance(instance)
        await trio.sleep(1)
        assert ["one"] == list(store.suspended)
        a.replace_instance(instance)
        await trio.sleep(1)
        assert {} == store.suspended
        await moved(store, 1)
        assert (await b.send("one", "room", "text")).delivered
    assert 1 == len(channels[1].made)


async def test_a_refused_token_is_its_owner_s_trouble_alone(autojump_clock):
    """The next owner may have another one: it finds out by an attempt."""
    store, channels = Store(), [FakeChannel(script=failing(WRONG_TOKEN, times=99)), FakeChannel()]
    async with opened(store, channels[0]) as a, opened(store, channels[1]) as b:
        store.give("one", store.members[0])
        await trio.sleep(1)
        ticket = await b.enqueue("one", "room", "text", ttl=600)
        await trio.sleep(1)
        assert suspended(a) is not None
        assert {} == store.suspended
        await moved(store, 1)
        assert (await ticket.receipt()).delivered
    assert 1 == len(channels[1].made)


async def test_what_was_asked_before_does_not_undo_a_newer_wish(autojump_clock):
    """The owner learns late of what another process asked."""
    async with two() as (_store, (a, _b), _channels):
        await trio.sleep(9)
        a.suspend("one", "newer")
        await trio.sleep(1)
        carry_out, now = a._parts.suspensions.carry_out, a._clock.now
        await carry_out("one", None, asked_at=now() - 5 * SECOND)
        assert "newer" in suspended(a)
        await carry_out("one", None, asked_at=now() - SECOND // 2)
        assert suspended(a) is None


async def test_what_is_stored_while_an_account_leaves_is_not_wished_when_it_comes_back(
    autojump_clock,
):
    """Whoever had resumed it meanwhile resumed it for good (seed 922320 of the simulation)."""
    async with two() as (store, (a, b), channels), trio.open_nursery() as nursery:
        channels[0].latency = 5.0
        suspensions, store_it = a._parts.suspensions, a._parts.suspensions.store

        async def store_later(*wish):
            await trio.sleep(1)
            await store_it(*wish)

        suspensions.store = store_later
        await a.enqueue("one", "room", "its attempt delays the move")
        await trio.sleep(1)
        a.suspend("two", "stored first")
        suspension = Suspension(why="for a while", since=0.0)
        carry_out = partial(suspensions.carry_out, asked_at=a._clock.now())
        nursery.start_soon(carry_out, "one", suspension)
        await trio.sleep(0.5)
        store.give("one", store.members[1])
        await trio.sleep(10)
        assert "for a while" in suspended(b)
        b.resume("one")
        await trio.sleep(1)
        await moved(store, 0)
        assert suspended(a) is None
        assert (await a.send("one", "room", "text")).delivered


def held_at_its_source(gateway, monkeypatch):
    """Let accounts that other processes ask for come only once the returned event is set."""
    free = trio.Event()

    async def bring(_instance_id):
        await free.wait()

    monkeypatch.setattr(gateway, "_drafting", SimpleNamespace(bring=bring))
    return free


async def test_while_a_request_waits_for_a_source_it_grows_old(autojump_clock, monkeypatch):
    async with two() as (_store, (a, b), _channels):
        a.suspend("one", "older")
        await trio.sleep(1)
        free = held_at_its_source(a, monkeypatch)
        b.resume("one")
        await trio.sleep(5)
        a.suspend("one", "newer")
        await trio.sleep(5)
        free.set()
        await trio.sleep(5)
        assert "newer" in suspended(a)


async def test_what_the_account_s_owner_meanwhile_has_done_is_not_done_again(
    autojump_clock, monkeypatch
):
    async with two() as (store, (a, b), _channels):
        free = held_at_its_source(a, monkeypatch)
        b.suspend("one", "for a while")
        await trio.sleep(1)
        await moved(store, 1)
        await trio.sleep(5)
        assert "for a while" in suspended(b)
        b.resume("one")
        await trio.sleep(1)
        await moved(store, 0)
        free.set()
        await trio.sleep(5)
        assert {} == store.suspended
        assert suspended(a) is None


async def test_where_suspended_accounts_refuse_the_next_owner_refuses(autojump_clock):
    async with two(when_suspended="refuse") as (store, (a, b), _channels):
        a.suspend("one", "for good")
        await trio.sleep(1)
        await moved(store, 1)
        with pytest.raises(InstanceSuspended, match="for good"):
            await b.enqueue("one", "room", "text")


async def test_words_that_are_none_are_refused(autojump_clock):
    async with two() as (store, gateways, _channels):
        for gateway in gateways:
            with pytest.raises(TypeError, match="`why` must be a text, not int"):
                gateway.suspend("one", 1)
            with pytest.raises(TypeError, match="`by` must be a text, not int"):
                gateway.suspend("one", by=1)
            with pytest.raises(ValueError, match="`why` has a lone surrogate or NUL"):
                gateway.suspend("one", "\0")
        await trio.sleep(1)
        assert {} == store.suspended


async def test_an_outbox_that_stores_none_lets_it_end_with_the_process(autojump_clock):
    """What this process was told holds as often as it has the account again."""

    class Forgetful(Member):
        store_suspension = None

    store, channel = Store(), FakeChannel()
    member = Forgetful(store)
    async with open_test_gateway(channel, instances=ACCOUNTS, outbox=member) as gateway:
        store.give("one", member)
        await trio.sleep(1)
        gateway.suspend("one")
        store.give("one", None)
        await trio.sleep(1)
        store.give("one", member)
        await trio.sleep(1)
        ticket = await gateway.enqueue("one", "room", "text")
        await trio.sleep(10)
        assert [] == channel.made
        gateway.resume("one")
        assert (await ticket.receipt()).delivered


async def test_a_store_that_fails_is_tried_again_in_its_turn(autojump_clock):
    """One account that cannot be written holds back no other one's."""
    store = Store()
    member = Member(store)
    whole, tried = member.store_suspension, []

    async def store_suspension(instance_id, suspension, age):
        tried.append(instance_id)
        if instance_id == "one" and tried.count("one") < 3:
            raise OutboxError("not now")
        await whole(instance_id, suspension, age)

    member.store_suspension = store_suspension
    async with open_test_gateway(FakeChannel(), instances=ACCOUNTS, outbox=member) as gateway:
        for account in ACCOUNTS:
            store.give(account, member)
        await trio.sleep(1)
        gateway.suspend("one")
        gateway.suspend("two")
        await trio.sleep(10)
    assert ["one", "two", "one", "one"] == tried
    assert {"one", "two"} == store.suspended.keys()
