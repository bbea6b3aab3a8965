"""After a restart what is stored of accounts that only the source knows goes on."""

from __future__ import annotations

import pytest
import structlog
import trio
from tenants import Accounts

from gateway_core import GatewayConfig, Limit, SourceSettings, open_gateway
from gateway_core.testing import FakeChannel, MemoryOutbox, virtual_wall

sqlite = pytest.importorskip("gateway_contrib.sqlite")


@pytest.fixture(params=["in memory", "sqlite"])
def outbox(request, tmp_path):
    if request.param == "sqlite":
        settings = sqlite.SqliteSettings(in_thread=False)
        return sqlite.SqliteOutbox(tmp_path / "outbox.db", settings, wall_clock=virtual_wall)
    return MemoryOutbox()


def opened(accounts, outbox, channel=None, **more):
    settings = more.pop("settings", SourceSettings())
    return open_gateway(
        GatewayConfig(instance_source=settings, drain_timeout=0, **more),
        plugins=[("fake", channel or FakeChannel())],
        outbox=outbox,
        wall_clock=virtual_wall,
        instance_source=accounts,
    )


async def _leave_behind(outbox, names, *, room="room"):
    """Store one envelope of each, and close before it is sent."""
    slow = FakeChannel(latency=1000.0)
    async with opened(Accounts(), outbox, slow) as gateway:
        for name in names:
            await gateway.enqueue(name, room, f"of {name}", not_before=virtual_wall() + 5)


async def _until(condition, seconds=3600.0):
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - the outbox tells nobody
            await trio.sleep(0.1)


async def test_what_is_stored_goes_on_once_the_source_was_asked(outbox, autojump_clock):
    names = {f"tenant-{number}" for number in range(5)}
    await _leave_behind(outbox, names)
    accounts, channel = Accounts(), FakeChannel()
    async with opened(accounts, outbox, channel) as gateway:
        await _until(lambda: len(channel.made) == 5)
        assert names == accounts.asked.keys()
        assert {f"of {name}" for name in names} == set(channel.texts("room"))
        assert gateway.statistics().conserved


async def test_few_are_asked_for_at_a_time_and_new_ones_have_their_turn(outbox, autojump_clock):
    await _leave_behind(outbox, [f"tenant-{number}" for number in range(40)])
    accounts, channel = Accounts(takes=1.0), FakeChannel()
    settings = SourceSettings(at_once=4)
    async with opened(accounts, outbox, channel, settings=settings) as gateway:
        began = trio.current_time()
        await gateway.send("tenant-100", "other", "hello")
        assert 3.0 > trio.current_time() - began
        await _until(lambda: len(channel.made) == 41)
        assert 3 == accounts.most  # two for what is stored, and the new one


async def test_one_that_the_source_knows_no_more_waits_until_it_does(outbox, autojump_clock):
    await _leave_behind(outbox, ["tenant-1", "tenant-2"])
    accounts, channel = Accounts(), FakeChannel()
    accounts.known.discard("tenant-1")
    with structlog.testing.capture_logs() as logs:
        async with opened(accounts, outbox, channel) as gateway:
            await _until(lambda: len(channel.made) == 1)
            await trio.sleep(100)
            assert ["of tenant-2"] == channel.texts("room")
            assert {"tenant-1": 1} == gateway.statistics().unserved
            accounts.known.add("tenant-1")
            await gateway.find_instance("tenant-1")
            await _until(lambda: len(channel.made) == 2)
    unserved = [each for each in logs if each["event"] == "gateway.outbox_unserved"]
    assert [("tenant-1", 1)] == [(each["instance"], each["stored"]) for each in unserved]


async def test_a_source_that_fails_is_asked_again_later_and_later(outbox, autojump_clock):
    await _leave_behind(outbox, ["tenant-1", "tenant-2"])
    accounts, channel = Accounts(), FakeChannel()
    accounts.gives |= dict.fromkeys(["tenant-1", "tenant-2"], LookupError("the database is away"))
    with structlog.testing.capture_logs() as logs:
        async with opened(accounts, outbox, channel):
            await trio.sleep(100)
            assert 6 <= accounts.asked["tenant-1"] <= 8
            accounts.gives.clear()
            await _until(lambda: len(channel.made) == 2)
    failed = [each for each in logs if each["event"] == "gateway.instance_source_failed"]
    assert [1, 10] == [each["times"] for each in failed]
    assert "it raised LookupError: the database is away" == failed[0]["error"]


async def test_one_for_which_it_fails_delays_no_other(outbox, autojump_clock):
    await _leave_behind(outbox, ["tenant-1", "tenant-2"])
    accounts, channel = Accounts(), FakeChannel()
    accounts.gives["tenant-1"] = "nonsense"
    async with opened(accounts, outbox, channel):
        await _until(lambda: len(channel.made) == 1, 10)
        await trio.sleep(10)
    assert ["of tenant-2"] == channel.texts("room")


async def test_a_group_of_which_nobody_had_a_turn_goes_on(outbox, autojump_clock):
    async with opened(Accounts(), outbox) as gateway:
        await gateway.broadcast(
            "tenant-1", ["a", "b"], "to all", not_before=virtual_wall() + 5, ttl=1000
        )
    accounts, channel = Accounts(), FakeChannel()
    async with opened(accounts, outbox, channel):
        await _until(lambda: len(channel.made) == 2)
    assert {"tenant-1": 1} == accounts.asked


async def test_what_was_spent_before_it_was_forgotten_counts_after_a_restart(
    outbox, autojump_clock
):
    def limits(room, operation):
        return [Limit(bucket="hour", count=3, per=3600.0, pace="window")]

    channel = FakeChannel(limits=limits)
    settings = SourceSettings(idle=100)
    async with opened(Accounts(), outbox, channel, settings=settings) as gateway:
        for number in range(3):
            await gateway.send("tenant-1", "room", str(number))
        await trio.sleep(200)
        assert () == gateway.statistics().instances
    async with opened(Accounts(), outbox, channel, settings=settings) as gateway:
        await gateway.send("tenant-1", "room", "3", ttl=7200)
    assert 3600 <= channel.times[3] - channel.times[2]


async def test_operators_see_what_is_in_memory_and_what_is_stored(outbox, autojump_clock):
    """A look tells no trouble of an account that is not there."""
    await _leave_behind(outbox, ["tenant-1"])
    accounts = Accounts()
    accounts.known.clear()
    async with opened(accounts, outbox) as gateway:
        await trio.sleep(10)
        statistics = gateway.statistics()
        assert (1, {"tenant-1": 1}, ()) == (
            statistics.stored, statistics.unserved, statistics.instances
        )  # fmt: skip
