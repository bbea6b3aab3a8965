"""An idle account is forgotten, with nothing lost of it, and found again on demand."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random

import pytest
import structlog
import trio
from tenants import Accounts

from gateway_core import (
    GatewayConfig,
    Instance,
    Limit,
    Providers,
    Reason,
    Scope,
    SourceSettings,
    UnknownInstance,
    Verdict,
    open_gateway,
)
from gateway_core.contract.verdicts import ErrorClass
from gateway_core.testing import (
    Failure,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    event,
    failing,
    virtual_wall,
)

IDLE = 100.0
LONG = 130.0
"""Seconds after which an account is forgotten for certain that idles."""


@asynccontextmanager
async def opened(accounts, channel=None, *, outbox=None, idle=IDLE, **more):
    config = GatewayConfig(instance_source=SourceSettings(idle=idle), **more)
    async with open_gateway(
        config,
        plugins=[("fake", channel or FakeChannel())],
        outbox=outbox,
        rng=Random("test"),
        wall_clock=virtual_wall,
        instance_source=accounts,
    ) as gateway:
        yield gateway


def here(gateway):
    return {each.id for each in gateway.statistics().instances}


@pytest.fixture(params=["memory", "outbox"])
def outbox(request):
    return MemoryOutbox() if request.param == "outbox" else None


async def test_an_idle_one_is_forgotten_and_found_again(outbox, autojump_clock):
    accounts, channel = Accounts(), FakeChannel()
    with structlog.testing.capture_logs() as logs:
        async with opened(accounts, channel, outbox=outbox) as gateway:
            await gateway.send("tenant-1", "room", "hello")
            await trio.sleep(IDLE - 1)
            assert {"tenant-1"} == here(gateway)
            await trio.sleep(LONG - IDLE)
            assert set() == here(gateway)
            await gateway.send("tenant-1", "room", "again")
            assert {"tenant-1"} == here(gateway)
            assert {"tenant-1": 2} == accounts.asked
    forgotten = [each for each in logs if each["event"] == "gateway.instance_forgotten"]
    assert [
        {"instance": "tenant-1", "event": "gateway.instance_forgotten", "log_level": "debug"}
    ] == forgotten
    assert ["hello", "again"] == channel.texts("room")


async def test_each_use_is_a_reason_to_stay(outbox, autojump_clock):
    accounts = Accounts()
    async with opened(accounts, outbox=outbox) as gateway:
        for _ in range(10):
            await gateway.send("tenant-1", "room", "hello")
            await trio.sleep(IDLE - 30)
        assert {"tenant-1": 1} == accounts.asked


async def test_new_settings_are_used_once_it_was_forgotten(autojump_clock):
    accounts = Accounts()
    async with opened(accounts) as gateway:
        await gateway.find_instance("tenant-1")
        accounts.gives["tenant-1"] = Instance("tenant-1", "fake", FakeSettings("other"))
        assert "tenant-1" == (await gateway.find_instance("tenant-1")).settings.name
        await trio.sleep(LONG)
        assert "other" == (await gateway.find_instance("tenant-1")).settings.name


async def test_what_is_configured_is_not_forgotten(autojump_clock):
    instances = [Instance("bot", "fake", FakeSettings())]
    async with opened(Accounts(), instances=instances) as gateway:
        await trio.sleep(10 * LONG)
        assert {"bot"} == here(gateway)


async def test_forgetting_can_be_switched_off(autojump_clock):
    async with opened(Accounts(), idle=float("inf")) as gateway:
        await gateway.find_instance("tenant-1")
        await trio.sleep(10_000)
        assert {"tenant-1"} == here(gateway)


async def _scheduled(gateway, channel):
    await gateway.enqueue(
        "tenant-1", "room", "later", not_before=virtual_wall() + 5 * LONG, ttl=10 * LONG
    )


async def _held(gateway, channel):
    await gateway.find_instance("tenant-1")
    gateway.suspend("tenant-1")


async def _refused(gateway, channel):
    channel.probe_error = Failure(UNAUTHORIZED)
    channel.script = failing(UNAUTHORIZED, times=10**6)
    await gateway.send("tenant-1", "room", "refused", ttl=1.0, raises=False)


async def _closed(gateway, channel):
    limited = Verdict(
        error_class=ErrorClass.RETRYABLE, reason=Reason.RATE_LIMITED, scope=Scope.INSTANCE,
        dispatched="no", retry_after=10 * LONG,
    )  # fmt: skip
    channel.script = failing(limited, times=1)
    await gateway.send("tenant-1", "room", "refused", ttl=1.0, raises=False)


async def _closed_room(gateway, channel):
    limited = Verdict(
        error_class=ErrorClass.RETRYABLE, reason=Reason.RATE_LIMITED, scope=Scope.ROOM,
        dispatched="no", retry_after=10 * LONG,
    )  # fmt: skip
    channel.script = failing(limited, times=1)
    await gateway.send("tenant-1", "room", "refused", ttl=1.0, raises=False)


async def _paused(gateway, channel):
    job = await gateway.broadcast("tenant-1", ["a", "b"], "to all", ttl=100 * LONG)
    await job.pause()


UNAUTHORIZED = Verdict(
    error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, scope=Scope.INSTANCE, dispatched="no"
)


@pytest.mark.parametrize(
    "occupy",
    [_scheduled, _held, _refused, _closed, _closed_room, _paused],
    ids=lambda it: it.__name__,
)
async def test_it_stays_while_something_would_be_lost(occupy, outbox, autojump_clock):
    channel = FakeChannel()
    async with opened(Accounts(), channel, outbox=outbox, drain_timeout=0) as gateway:
        await occupy(gateway, channel)
        await trio.sleep(3 * LONG)
        assert {"tenant-1"} == here(gateway)


async def test_it_stays_while_it_shows_that_it_writes(autojump_clock):
    async with opened(Accounts()) as gateway:
        async with gateway.typing(event(room="room"), instance="tenant-1"):
            await trio.sleep(3 * LONG)
            assert {"tenant-1"} == here(gateway)
        await trio.sleep(LONG)
        assert set() == here(gateway)


async def test_what_is_spent_of_a_window_is_not_forgotten(outbox, autojump_clock):
    """Three an hour are allowed: whether it was forgotten meanwhile or not, no fourth goes out."""

    def limits(room, operation):
        return [Limit(bucket="hour", count=3, per=3600.0, pace="window")]

    accounts, channel = Accounts(), FakeChannel(limits=limits)
    async with opened(accounts, channel, outbox=outbox) as gateway:
        for number in range(3):
            await gateway.send("tenant-1", "room", str(number))
        await trio.sleep(LONG)
        assert (set() if outbox is not None else {"tenant-1"}) == here(gateway)
        await gateway.send("tenant-1", "room", "3", ttl=7200)
        assert [0.0, 0.0, 0.0, 3600.0] == pytest.approx(channel.times)
        await trio.sleep(3600 + LONG)
        assert set() == here(gateway)


async def test_a_room_that_moved_is_known_again_where_there_is_an_outbox(autojump_clock):
    moved = Verdict(
        error_class=ErrorClass.RETRYABLE, reason=Reason.ROOM_MOVED, scope=Scope.ROOM,
        dispatched="no", moved_to="new",
    )  # fmt: skip
    channel = FakeChannel(script=failing(moved, times=1))
    async with opened(Accounts(), channel, outbox=MemoryOutbox()) as gateway:
        await gateway.send("tenant-1", "old", "hello")
        await trio.sleep(LONG)
        assert set() == here(gateway)
        await gateway.send("tenant-1", "old", "again")
    assert ["old", "new", "new"] == [made.attempt.room for made in channel.made]


async def test_the_books_balance_and_counters_go_on(autojump_clock):
    async with opened(Accounts()) as gateway:
        for _ in range(3):
            await gateway.send("tenant-1", "room", "hello")
            await trio.sleep(LONG)
        statistics = gateway.statistics()
        assert statistics.conserved
        assert () == statistics.instances
        (forgotten,) = statistics.forgotten
        assert ("*", "fake", 3, True) == (
            forgotten.id, forgotten.channel, forgotten.accepted, forgotten.sourced
        )  # fmt: skip
        assert {("none", ""): 3} == forgotten.attempts


async def test_a_key_and_a_status_outlive_it(outbox, autojump_clock):
    channel = FakeChannel()
    async with opened(Accounts(), channel, outbox=outbox) as gateway:
        ticket = await gateway.enqueue("tenant-1", "room", "hello", key="one")
        await ticket.receipt()
        await trio.sleep(LONG)
        assert set() == here(gateway)
        assert "ended" == (await gateway.status(ticket)).state
        assert not await gateway.cancel(ticket)
        assert set() == here(gateway)
        assert (await gateway.send("tenant-1", "room", "hello", key="one")).replayed
        await gateway.edit(ticket, "hello, edited")
    assert ["hello, edited"] == channel.texts("room")


async def test_thousands_that_come_and_go_leave_nothing(autojump_clock):
    accounts = Accounts()
    async with opened(accounts, session_idle=10.0) as gateway:
        for first in range(0, 600, 100):
            for number in range(first, first + 100):
                await gateway.send(f"tenant-{number}", "room", "hello")
            await trio.sleep(LONG)
        registry = gateway._registry
        assert {} == registry.serving == registry._accounts == registry._gone
        assert {} == gateway._drafting.source.used_at == gateway._drafting.source.users
        for partition in gateway._partitions:
            assert {} == partition.scheduler.slots._shares == partition.scheduler.rooms


# -- the application's own verbs beside a source


async def test_new_settings_are_taken_in_at_once_where_the_application_says_so(autojump_clock):
    accounts = Accounts()
    async with opened(accounts) as gateway:
        await gateway.find_instance("tenant-1")
        accounts.gives["tenant-1"] = Instance("tenant-1", "fake", FakeSettings("other"))
        assert "other" == (await gateway.find_instance("tenant-1", anew=True)).settings.name
        assert "other" == (await gateway.find_instance("tenant-1")).settings.name


async def test_asked_anew_for_one_that_is_not_in_memory_it_is_asked_for_once(autojump_clock):
    accounts = Accounts()
    async with opened(accounts) as gateway:
        assert "tenant-1" == (await gateway.find_instance("tenant-1", anew=True)).id
        assert accounts.asked["tenant-1"] <= 2
        assert None is await gateway.find_instance("nobody", anew=True)


async def test_one_that_the_source_knows_no_more_is_removed_where_the_application_says_so(
    outbox, autojump_clock
):
    accounts = Accounts()
    async with opened(accounts, outbox=outbox) as gateway:
        await gateway.send("tenant-1", "room", "hello")
        accounts.known.discard("tenant-1")
        assert None is await gateway.find_instance("tenant-1", anew=True)
        assert set() == here(gateway)
        with pytest.raises(UnknownInstance):
            await gateway.send("tenant-1", "room", "hello")


async def test_a_source_that_fails_as_it_is_asked_anew_changes_nothing(autojump_clock):
    accounts, channel = Accounts(), FakeChannel()
    async with opened(accounts, channel) as gateway:
        await gateway.find_instance("tenant-1")
        accounts.gives["tenant-1"] = LookupError("gone")
        with pytest.raises(Exception, match="LookupError: gone"):
            await gateway.find_instance("tenant-1", anew=True)
        await gateway.send("tenant-1", "room", "hello")
    assert ["hello"] == channel.texts("room")


async def test_what_is_sent_while_it_is_asked_anew_fails_with_nobody(autojump_clock):
    accounts, channel = Accounts(takes=1.0), FakeChannel()
    async with opened(accounts, channel) as gateway:
        await gateway.find_instance("tenant-1")
        accounts.gives["tenant-1"] = LookupError("gone")
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def anew():
                with pytest.raises(Exception, match="LookupError: gone"):
                    await gateway.find_instance("tenant-1", anew=True)

            await trio.sleep(0.5)
            await gateway.send("tenant-1", "room", "hello")
    assert ["hello"] == channel.texts("room")


async def test_asked_anew_by_many_it_is_asked_for_once_more_than_it_was(autojump_clock):
    """Each of them gets what the source says after its call; the others wait for the same."""
    accounts, found = Accounts(takes=1.0), []
    async with opened(accounts) as gateway:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def first():
                found.append(await gateway.find_instance("tenant-1"))

            await trio.sleep(0.5)
            accounts.gives["tenant-1"] = Instance("tenant-1", "fake", FakeSettings("other"))
            for _ in range(5):

                @nursery.start_soon
                async def anew():
                    found.append(await gateway.find_instance("tenant-1", anew=True))

        assert ["other"] * 6 == [each.settings.name for each in found]
    assert 2 == accounts.asked["tenant-1"]


async def test_a_removed_one_is_found_again(autojump_clock):
    accounts = Accounts()
    async with opened(accounts) as gateway:
        await gateway.send("tenant-1", "room", "hello")
        await gateway.remove_instance("tenant-1")
        await gateway.send("tenant-1", "room", "hello")
        assert 2 == accounts.asked["tenant-1"]


async def test_replaced_by_hand_it_is_so_until_it_is_forgotten(autojump_clock):
    accounts = Accounts()
    async with opened(accounts) as gateway:
        await gateway.find_instance("tenant-1")
        gateway.replace_instance(Instance("tenant-1", "fake", FakeSettings("by hand")))
        assert "by hand" == (await gateway.find_instance("tenant-1")).settings.name
        await trio.sleep(LONG)
        assert "tenant-1" == (await gateway.find_instance("tenant-1")).settings.name


async def test_reload_is_about_the_configuration_alone(autojump_clock):
    instances = [Instance("bot", "fake", FakeSettings())]
    async with opened(Accounts(), instances=instances) as gateway:
        await gateway.find_instance("tenant-1")
        await gateway.find_instance("tenant-2")
        named = Instance("tenant-2", "fake", FakeSettings("configured"))
        reloaded = await gateway.reload(GatewayConfig(instances=[named]))
        assert ((), ("tenant-2",), ("bot",)) == (
            reloaded.added, reloaded.replaced, reloaded.removed
        )  # fmt: skip
        assert {"tenant-1", "tenant-2"} == here(gateway)
        await trio.sleep(LONG)
        assert {"tenant-2"} == here(gateway)  # the configuration's own from now on


async def test_without_a_source_it_is_found_if_it_is_configured(autojump_clock):
    instances = [Instance("bot", "fake", FakeSettings())]
    async with opened(None, instances=instances) as gateway:
        assert instances[0] == await gateway.find_instance("bot")
        assert None is await gateway.find_instance("tenant-1", anew=True)


# -- metrics


async def test_metrics_count_all_of_them_under_one_label(autojump_clock):
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    reader = export.InMemoryMetricReader()
    providers = Providers(meters=sdk.MeterProvider(metric_readers=[reader]))
    config = GatewayConfig(
        instances=[Instance("bot", "fake", FakeSettings())],
        instance_source=SourceSettings(idle=IDLE),
    )
    async with open_gateway(
        config,
        plugins=[("fake", FakeChannel())],
        wall_clock=virtual_wall,
        providers=providers,
        instance_source=Accounts(),
    ) as gateway:
        await gateway.send("bot", "room", "hello")
        for number in range(30):
            await gateway.send(f"tenant-{number}", "room", "hello")
        gateway.suspend("tenant-1")
        gateway.suspend("tenant-2")
        first = _read(reader)
        await trio.sleep(LONG)
        assert {"bot", "tenant-1", "tenant-2"} == here(gateway)
        second = _read(reader)
    for read in (first, second):
        labels = {name for points in read.values() for name, _ in points}
        assert {None, "bot", "*"} >= labels
        assert {("bot", 1), ("*", 30)} == set(read["gateway.envelopes.accepted"])
        assert {("bot", 0), ("*", 2)} == set(read["gateway.instance.suspended"])


def _read(reader):
    found = {}
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = [
                    (point.attributes.get("gateway.instance"), getattr(point, "value", None))
                    for point in metric.data.data_points
                ]
    return found
