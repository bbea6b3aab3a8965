"""What the metrics show: read off snapshots, from any thread; histograms as things happen."""

import threading
from collections import Counter
from time import perf_counter
from types import SimpleNamespace

import pytest
import trio
import trio.testing
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from gateway_core import (
    CircuitSettings,
    Disposition,
    ErrorClass,
    Instance,
    Limit,
    Overloaded,
    Providers,
    Reason,
    Receipt,
    Scope,
    Send,
    UnknownInstance,
    Verdict,
)
from gateway_core.authors import TransportError, hookimpl
from gateway_core.monitoring.histograms import Meters
from gateway_core.monitoring.observer import NOBODY
from gateway_core.telemetry import METRICS
from gateway_core.testing import (
    EPOCH,
    Failure,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    event,
    open_test_gateway,
)

BOT = {"messaging.system": "fake", "gateway.instance": "bot"}


def message(room="room", **fields):
    return Send(instance_id="bot", external_room_id=room, text="hello", **fields)


def refusing(*verdicts):
    left = list(verdicts)

    async def run(_):
        await trio.lowlevel.checkpoint()
        if left:
            raise Failure(left.pop(0))

    return run


def limited(**fields):
    fields = {"scope": Scope.ROOM, "retry_after": 5.0} | fields
    return Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.RATE_LIMITED, **fields)


async def test_counts_of_an_instance(telling, sdk, autojump_clock):
    gone = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE)
    async with telling(FakeChannel(script=refusing(gone))) as gateway:
        for _ in range(3):
            await gateway.send("bot", "room", "hello", raises=False)
        with pytest.raises(UnknownInstance):
            await gateway.send("nobody", "room", "hello")
        assert [(BOT, 3)] == [(a, p.value) for a, p in sdk.points("gateway.envelopes.accepted")]
        none = dict.fromkeys(Disposition, 0)
        assert none | {"delivered": 2, "rejected": 1} == sdk.values(
            "gateway.envelopes.ended", "gateway.disposition"
        )
        assert {None: 2, "room_gone": 1} == sdk.values("gateway.attempts", "error.type")
        assert [({"error.type": "UnknownInstance"}, 1)] == [
            (a, p.value) for a, p in sdk.points("gateway.envelopes.refused")
        ]


UNDER = ("gateway.partition", "gateway.pressure")
DURATIONS = (
    "gateway.accept.duration", "messaging.client.operation.duration", "gateway.envelope.duration",
)  # fmt: skip


def spread(sdk, metric):
    """How many there are of each partition and pressure."""
    found = Counter()
    for labels, point in sdk.points(metric):
        where = tuple(labels.get(name) for name in UNDER)
        found[where] += point.value if hasattr(point, "value") else point.count
    return {where: count for where, count in found.items() if count}


async def test_a_delivery_is_counted_by_its_partition_and_the_pressure_as_it_was_accepted(
    telling, sdk, autojump_clock
):
    """Ten slots: four levels are reached one after the other as they fill."""
    channel = FakeChannel(latency=1.0)
    settings = {"partition_count": 2, "partition_bound": 10, "instance_bound": 10}
    async with telling(channel, **settings) as gateway:
        inside = [f"room {n}" for n in range(99) if gateway._partition_of("bot", f"room {n}").index]
        async with trio.open_nursery() as nursery:
            for room in inside[:14]:
                nursery.start_soon(gateway.send, "bot", room, "hello")
                await trio.testing.wait_all_tasks_blocked()
        # The envelope itself is not counted; the last four found slots as all ten had ended.
        levels = {"nominal": 7 + 4, "elevated": 1, "high": 1, "saturated": 1}
        expected = {(1, level): count for level, count in levels.items()}
        assert expected == spread(sdk, "gateway.attempts")
        assert expected == spread(sdk, "gateway.envelope.duration")
        assert expected == spread(sdk, "messaging.client.operation.duration")
        assert {(1, "nominal"): 4} == spread(sdk, "gateway.accept.duration")
        statistics = gateway.statistics().instances[0]
        assert {("none", ""): 14} == statistics.attempts
        assert {
            (*where, "none", ""): count for where, count in expected.items()
        } == statistics.attempts_by_partition
    spans = [s for s in sdk.spans() if s.name.startswith("create")]
    assert levels == Counter(span.attributes["gateway.pressure"] for span in spans)
    assert {1} == {span.attributes["gateway.partition"] for span in spans}


async def test_the_pressure_of_acceptance_is_the_same_with_a_durable_outbox(
    telling, sdk, autojump_clock
):
    settings = {"partition_count": 1, "partition_bound": 10, "instance_bound": 10}
    async with telling(FakeChannel(latency=1.0), outbox=MemoryOutbox(), **settings) as gateway:
        for ticket in [await gateway.submit(message(f"room {n}")) for n in range(10)]:
            await ticket.receipt()
        levels = {"nominal": 7, "elevated": 1, "high": 1, "saturated": 1}
        expected = {(0, level): count for level, count in levels.items()}
        assert expected == spread(sdk, "gateway.attempts")


async def test_what_failed_is_counted_by_partition_as_well(telling, sdk, autojump_clock):
    gone = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE)
    async with telling(FakeChannel(script=refusing(gone)), partition_count=1) as gateway:
        await gateway.send("bot", "room", "hello", raises=False)
        await gateway.send("bot", "other", "hello")
        assert {
            (0, "nominal", "none", ""): 1,
            (0, "nominal", "non_retryable", "room_gone"): 1,
        } == gateway.statistics().instances[0].attempts_by_partition


async def test_label_sets_are_bounded_by_partitions_and_levels(telling, sdk, autojump_clock):
    """Three hundred rooms through two partitions: none of these has more than both times four."""
    settings = {"partition_count": 2, "partition_bound": 10, "instance_bound": 10}
    async with telling(FakeChannel(latency=0.1), **settings) as gateway:
        async with trio.open_nursery() as nursery:
            for n in range(300):
                nursery.start_soon(gateway.send, "bot", f"room {n}", "hello")
        for metric in ("gateway.attempts", *DURATIONS):
            assert 2 <= len(sdk.points(metric)) <= 8, metric


async def test_gauges_of_a_partition(telling, sdk, autojump_clock):
    never = FakeChannel(limits=lambda _room, _op: [Limit("account", 1, 10_000.0)])
    settings = {"partition_count": 1, "partition_bound": 4, "instance_bound": 4}
    async with telling(never, **settings) as gateway, trio.open_nursery() as nursery:
        for _ in range(5):  # the first of them takes the account's only token
            await gateway.submit(message())
            await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(gateway.submit, message())
        await trio.sleep(30)
        expected = {
            "depth": 4, "bound": 4, "occupancy": 1.0, "unfinished": 4, "in_flight": 0,
            "oldest_wait": 30.0, "pressure": 3, "callers_waiting": 1, "share": 1.0, "restarts": 0,
        }  # fmt: skip
        found = {name: sdk.points(f"gateway.partition.{name}") for name in expected}
        assert {"gateway.partition": 0} == found["depth"][0][0]
        assert expected == {name: round(points[0][1].value, 3) for name, points in found.items()}
        with pytest.raises(Overloaded):
            await gateway.submit(message(), wait=False)
        nursery.cancel_scope.cancel()


GROUPS = "gateway.groups."


def members(sdk):
    """Those of the one account, by what became of them."""
    of = {name: sdk.points(f"{GROUPS}{name}")[0][1].value for name in ("waiting", "fed")}
    ended = sdk.values(f"{GROUPS}ended", "gateway.disposition")
    return of | {str(how): count for how, count in ended.items() if count}


def open_groups(sdk):
    return {how: n for how, n in sdk.values(f"{GROUPS}open", "gateway.group.state").items() if n}


@pytest.mark.parametrize("outbox", [None, MemoryOutbox], ids=["in memory", "durable"])
async def test_groups_are_counted_by_what_becomes_of_their_members(
    telling, sdk, outbox, autojump_clock
):
    """Twelve rooms, a second after each answer: one refuses it, two get it, others have none."""
    gone = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE)
    channel = FakeChannel(
        script=refusing(gone), latency=0.8, limits=lambda _room, _op: [Limit("account", 1)]
    )
    settings = {"outbox": outbox and outbox(), "drain_timeout": 0.0}
    async with telling(channel, **settings) as gateway:
        assert dict.fromkeys(("fed", "scheduled", "paused", "cancelled"), 0) == sdk.values(
            f"{GROUPS}open", "gateway.group.state"
        )
        job = await gateway.broadcast("bot", [f"room {n}" for n in range(12)], "news")
        due = EPOCH + 3600
        later = await gateway.broadcast("bot", ["a", "b"], "news", not_before=due, ttl=7200)
        await trio.sleep(4)
        assert {"fed": 1, "scheduled": 1} == open_groups(sdk)
        found = members(sdk)
        assert 14 == found["waiting"] + found["fed"]
        assert (1, 1) == (found["delivered"], found["rejected"])  # and one is under way
        await job.pause()
        assert {"paused": 1, "scheduled": 1} == open_groups(sdk)
        await job.cancel()
        assert {"cancelled": 1, "scheduled": 1} == open_groups(sdk)
        await job.wait()
        await trio.sleep(2)  # it is looked at once a second
        assert {"scheduled": 1} == open_groups(sdk)
        found = members(sdk)
        assert (2, 12) == (found.pop("waiting"), sum(found.values()) - found.pop("fed"))
        assert {str(how): n for how, n in (await job.progress()).counts.items()} == found
        await later.cancel()
        assert (0, found["cancelled"] + 2) == (
            members(sdk)["waiting"], members(sdk)["cancelled"],
        )  # fmt: skip
        assert {BOT["gateway.instance"]} == {
            labels["gateway.instance"] for labels, _ in sdk.points(f"{GROUPS}open")
        }


async def test_members_of_a_previous_run_are_counted_as_they_end(telling, sdk, autojump_clock):
    outbox, slow = MemoryOutbox(), FakeChannel(latency=1_000.0)
    async with open_test_gateway(slow, outbox=outbox, drain_timeout=0.0) as gateway:
        job = await gateway.broadcast("bot", ["a", "b", "c"], "news")
        await trio.sleep(5)
    async with telling(FakeChannel(), outbox=outbox) as gateway:
        await (await gateway.group(job.id)).wait()
        assert {"waiting": 0, "fed": 0, "delivered": 3} == members(sdk)


async def test_signs_are_counted_by_kind_and_outcome(telling, sdk, autojump_clock):
    """The account's only token is taken: a sign of typing is passed over."""
    channel = FakeChannel(limits=lambda _room, _op: [Limit("account", 1, 60.0)])
    async with telling(channel) as gateway:
        points = {
            (at["gateway.sign"], at["gateway.sign.outcome"]): point.value
            for at, point in sdk.points("gateway.signs")
        }
        outcomes = ("made", "passed over", "failed")
        assert {(k, o): 0 for k in ("typing", "acknowledge") for o in outcomes} == points
        async with gateway.typing(event(room="room")):
            await trio.sleep(1)
        async with gateway.typing(event(room="other")):
            await trio.sleep(1.5)
        await gateway.reply(event(room="room", asked="command"), "done")
        points = {
            (at["gateway.sign"], at["gateway.sign.outcome"]): point.value
            for at, point in sdk.points("gateway.signs")
        }
        assert {
            ("typing", "made"): 1, ("typing", "passed over"): 2, ("acknowledge", "made"): 1,
        } == {key: count for key, count in points.items() if count}  # fmt: skip


async def fatal(_):
    await trio.sleep(0.1)
    raise Failure(
        Verdict(error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, scope=Scope.INSTANCE)
    )


async def down(_):
    await trio.sleep(0.1)
    raise TransportError("connection refused", dispatched="no")


def limits(bucket):
    of = "room" if "{}" in bucket else "instance"
    return FakeChannel(limits=lambda room, _op: [Limit(bucket.format(room), 1, 10_000.0, of=of)])


@pytest.mark.parametrize(
    ("channel", "seconds", "expected"),
    [
        (limits("account"), 10, {"account limit": 40, "queue": 39}),
        (limits("room:{}"), 10, {"room limit": 40}),
        (FakeChannel(script=fatal), 10, {"suspension": 40, "queue": 40}),
        (FakeChannel(script=down), 0.5, {"circuit or retry": 40, "queue": 40}),
        (FakeChannel(latency=1_000.0), 10, {"slots": 31, "queue": 40}),
    ],
    ids=["account", "room", "suspended", "outage", "slots"],
)
async def test_what_is_waiting_now_and_for_what(
    telling, sdk, channel, seconds, expected, autojump_clock
):
    """Two envelopes for each of 40 rooms: nothing of it has ended, and it shows all the same."""
    settings = {"partition_count": 1, "attempts_per_partition": 16}
    settings["circuit"] = CircuitSettings(window=40)
    async with telling(channel, **settings) as gateway:
        for number in range(80):
            await gateway.submit(message(f"room {number % 40}", ttl=3_600))
        await trio.sleep(seconds)
        found = sdk.values("gateway.instance.waiting", "gateway.wait.cause")
        if "retry" in found:  # who fails for the second time first is drawn
            assert min(found["circuit"], found["retry"]) >= 10
            found["circuit or retry"] = found.pop("circuit") + found.pop("retry")
        assert expected == found
        assert {} == gateway.statistics().waiting


async def test_a_429_is_foreseen_where_another_had_told_of_it(telling, sdk, autojump_clock):
    """Two attempts were in flight as the first was refused: the second's refusal is no news."""
    channel = FakeChannel(script=refusing(*[limited(scope=Scope.INSTANCE)] * 2), latency=1.0)
    async with telling(channel) as gateway, trio.open_nursery() as nursery:
        for room in "ab":
            nursery.start_soon(gateway.send, "bot", room, "hello")
    assert {True: 1, False: 1} == sdk.values("gateway.rate_limited", "gateway.foreseen")


async def test_time_waiting_by_cause_and_latencies(telling, sdk, autojump_clock):
    channel = FakeChannel(script=refusing(limited()), latency=0.5)
    async with telling(channel, partition_count=1) as gateway:
        await gateway.send("bot", "room", "hello")
    where = {"gateway.partition": 0}
    assert [(BOT | where | {"gateway.wait.cause": "room limit"}, 5.0)] == [
        (a, round(p.sum, 3)) for a, p in sdk.points("gateway.wait.duration")
    ]
    operation = {"messaging.operation.name": "send", "gateway.pressure": "nominal"} | where
    assert [
        (BOT | operation | {"error.type": "rate_limited"}, 1, 0.5),
        (BOT | operation, 1, 0.5),
    ] == [
        (a, p.count, round(p.sum, 3)) for a, p in sdk.points("messaging.client.operation.duration")
    ]
    assert [6.0] == [round(p.sum, 3) for _, p in sdk.points("gateway.envelope.duration")]


async def test_a_caller_that_waits_for_a_place_shows_in_the_time_to_accept(
    telling, sdk, autojump_clock
):
    settings = {"partition_count": 1, "partition_bound": 1}
    async with telling(FakeChannel(latency=3.0), **settings) as gateway:
        for _ in range(2):
            await gateway.submit(message())
    assert [(BOT | {"gateway.partition": 0, "gateway.pressure": "saturated"}, 1, 3.0)] == [
        (a, p.count, round(p.sum, 3)) for a, p in sdk.points("gateway.accept.duration")
    ]


async def test_total_latency_counts_from_when_it_was_due(telling, sdk, autojump_clock):
    async with telling(FakeChannel(latency=2.0)) as gateway:
        await gateway.send("bot", "room", "hello", not_before=EPOCH + 100)
    assert [2.0] == [round(p.sum, 3) for _, p in sdk.points("gateway.envelope.duration")]
    assert {"schedule": 1} == sdk.values("gateway.wait.duration", "gateway.wait.cause")


async def test_a_durable_outbox_has_figures_of_its_own(telling, sdk, autojump_clock):
    outbox = MemoryOutbox()
    never = FakeChannel(limits=lambda _room, _op: [Limit("account", 1, 10_000.0)])
    async with telling(never, outbox=outbox) as gateway:
        for _ in range(3):
            await gateway.submit(message())
        await trio.sleep(1)
        assert {None: 2} == sdk.values("gateway.outbox.unfinished")
    assert {None: 3} == sdk.values("gateway.outbox.append.duration")
    async with telling(outbox=outbox, drain_timeout=60) as gateway:
        await trio.sleep(5)
        assert {"bot": 2} == sdk.values("gateway.envelopes.recovered", "gateway.instance")
    async with telling(outbox=outbox, instances=("other",)) as gateway:
        assert gateway.statistics().conserved


async def test_counters_go_on_after_a_gateway_has_closed(telling, sdk, autojump_clock):
    for expected in (1, 2):
        async with telling() as gateway:
            await gateway.send("bot", "room", "hello")
        assert [expected] == [p.value for _, p in sdk.points("gateway.envelopes.accepted")]
        assert [] == sdk.points("gateway.partition.depth")


async def test_an_exporters_thread_reads_what_trios_thread_took(telling, sdk):
    async with telling() as gateway:
        await gateway.send("bot", "room", "hello")
        values = await trio.to_thread.run_sync(sdk.values, "gateway.envelopes.accepted")
    assert {None: 1} == values


async def test_a_stalled_loop_gives_the_exporter_the_snapshot_before(telling, sdk, monkeypatch):
    """The exporter's thread waits a moment for trio's, and then goes on with what there is."""
    monkeypatch.setattr("gateway_core.monitoring.snapshots.PATIENCE", 0.01)
    found = []
    async with telling() as gateway:
        await gateway.send("bot", "room", "hello")
        thread = threading.Thread(
            target=lambda: found.append(sdk.values("gateway.envelopes.accepted"))
        )
        thread.start()
        thread.join()  # trio's thread does nothing else meanwhile
    assert [{None: 0}] == found


async def test_a_hook_that_fails_is_counted_by_plugin(telling, sdk, autojump_clock):
    class Breaks:
        @hookimpl
        def after_attempt(self):
            raise RuntimeError("of its own")

    async with telling(plugins=[Breaks()]) as gateway:
        await gateway.send("bot", "room", "hello")
        [(attributes, point)] = sdk.points("gateway.hook.errors")
    assert ("Breaks", "after_attempt", 1) == (
        attributes["gateway.plugin"],
        attributes["gateway.hook"],
        point.value,
    )


async def test_what_is_lost_of_a_look_is_counted(telling, sdk, autojump_clock):
    plain = Verdict(
        error_class=ErrorClass.NON_RETRYABLE, reason=Reason.BAD_FORMAT, transform="plain"
    )
    async with telling(FakeChannel(script=refusing(plain))) as gateway:
        await gateway.send("bot", "room", "**hello**")
    assert {"plain": 1} == sdk.values("gateway.envelopes.degraded", "gateway.degradation")


async def test_a_suspended_instance_shows(telling, sdk, autojump_clock):
    async with telling() as gateway:
        assert {"bot": 0} == sdk.values("gateway.instance.suspended", "gateway.instance")
        gateway.suspend("bot")
        assert {"bot": 1} == sdk.values("gateway.instance.suspended", "gateway.instance")


async def test_every_reading_is_a_plain_number(telling, sdk, autojump_clock):
    """An exporter refuses, and logs, a truth value in the place of a number."""

    async def down(_):
        raise TransportError("down", dispatched="no")

    seen = set()
    async with telling(FakeChannel(script=down), instances=["bot", "other"]) as gateway:
        gateway.suspend("other")
        for n in range(40):
            await gateway.enqueue("bot", f"room {n}", "hello")
        await trio.sleep(1)
        assert gateway.statistics().instances[0].circuit_open
        for metric in METRICS:
            values = [getattr(point, "value", 0) for _, point in sdk.points(metric.name)]
            assert {int, float} >= set(map(type, values)), metric.name
            seen.update({metric.name} if values else ())
    assert {"gateway.instance.suspended", "gateway.instance.circuit_open"} <= seen


async def test_a_stall_of_the_loop_is_measured(telling, sdk):
    class Blocks:
        @hookimpl
        def after_disposition(self):
            until = perf_counter() + 0.06
            while perf_counter() < until:
                pass

    async with telling(plugins=[Blocks()]) as gateway:
        await gateway.send("bot", "room", "hello")
    assert 1 <= sum(sdk.values("gateway.loop.stall.duration").values())


async def test_two_gateways_of_one_process_are_counted_together(telling, sdk, autojump_clock):
    async with telling() as one, telling() as other:
        for gateway in (one, other, other):
            await gateway.send("bot", "room", "hello")
        assert {"bot": 3} == sdk.values("gateway.envelopes.accepted", "gateway.instance")


async def test_without_an_sdk_nobody_observes(autojump_clock):
    async with open_test_gateway() as gateway:
        assert gateway._parts.observer is NOBODY


async def test_metrics_alone_will_do(telling, autojump_clock):
    reader = InMemoryMetricReader()
    async with telling(providers=Providers(meters=MeterProvider([reader]))) as gateway:
        await gateway.send("bot", "room", "hello")
        names = {
            metric.name
            for resource in reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
    assert "gateway.envelopes.accepted" in names


def test_an_instance_that_is_taken_in_again_on_another_channel_has_its_label(sdk):
    """Its name is the old one's, and its messages are not."""
    meters = Meters(sdk.providers.meters)
    receipt = Receipt(
        envelope_id="1",
        instance_id="bot",
        external_room_id="room",
        disposition=Disposition.DELIVERED,
    )
    for channel in ("one", "other"):
        account = SimpleNamespace(instance=Instance("bot", channel, FakeSettings()), label="bot")
        meters.attempted(account, 0, "nominal", "send", None, 0.1)
        meters.ended(account, 0, "nominal", receipt, 0.1)
        meters.waited(account, 0, "slots", 0.1)
    for metric in (
        "messaging.client.operation.duration",
        "gateway.envelope.duration",
        "gateway.wait.duration",
    ):
        assert {"one": 1, "other": 1} == sdk.values(metric, "messaging.system")


def test_instances_that_come_and_go_leave_nothing_behind_for_ever(sdk, monkeypatch):
    """What was counted of them is handed on before it is forgotten."""
    monkeypatch.setattr("gateway_core.monitoring.histograms.MOST_TALLIES", 20)
    meters = Meters(sdk.providers.meters)
    for number in range(100):
        account = SimpleNamespace(
            instance=Instance(f"bot {number}", "one", FakeSettings()), label=f"bot {number}"
        )
        meters.attempted(account, 0, "nominal", "send", None, 0.1)
        meters.waited(account, 0, "slots", 0.1)
    assert all(len(known) <= 20 for known in (meters._tallies, meters._attempts, meters._ends))
    counts = sdk.values("messaging.client.operation.duration", "gateway.instance")
    assert {f"bot {number}": 1 for number in range(100)} == counts
