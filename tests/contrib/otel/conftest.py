"""One bad night: every fault of every emulated platform, and what the gateway told of it."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from random import Random
from time import perf_counter
from unittest.mock import patch

import attrs
import pytest
import trio
import trio.testing
from breaking import DeadExporter, kill_a_partition
from every_word import every_word
from listening import listening
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_contrib.otel.dropping import CountedSpans, Drops
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import (
    ErrorClass,
    GatewayError,
    Instance,
    Limit,
    OutboxError,
    Providers,
    Reason,
    Scope,
    Send,
    Verdict,
    open_gateway,
    parse_config,
)
from gateway_core.authors import Streaming, TransportError, hookimpl
from gateway_core.outboxes import Tenure
from gateway_core.testing import (
    Failure,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    event,
    open_network,
    open_test_gateway,
    seeded_schedule,
    virtual_wall,
)

TOKENS = {
    "telegram": "987654321:AAsecretAAsecretAAsecretAAsecretAA",
    "slack": "xoxb-secret-slack-secret-slack",
    "discord": "secret.discord.secret-discord",
}
ROOMS = {
    "telegram": "-1001777000{:03d}",
    "slack": "C0NIGHT{:03d}",
    "discord": "13000000000000{:05d}",
}
WORDS = "Quarterly mandragora figures leak before Thursday"
TENURE = Tenure(
    owns=True, lease=9.5, accounts=4, takeovers=2, handovers=5, lost=3, fenced=1, taken=20,
    waited=0.5,
)  # fmt: skip
PLATFORMS = {
    "telegram": (TelegramEmulator, ""),
    "slack": (SlackEmulator, "/api"),
    "discord": (DiscordEmulator, "/api/v10"),
}


@attrs.define(eq=False)
class Night:
    """What was told.

    logs    structlog's events as (name, level, fields)
    lines   whatever else was logged, by any library
    points  the attributes of every point of every metric, by its name
    faults  what the platforms did, counted
    errors  exceptions that callers got; values: receipts, tickets, statistics and their like
    """

    exporter: InMemorySpanExporter = attrs.field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = attrs.field(factory=InMemoryMetricReader)
    logs: list = attrs.field(factory=list)
    lines: list = attrs.field(factory=list)
    points: dict = attrs.field(factory=lambda: defaultdict(list))
    errors: list = attrs.field(factory=list)
    values: list = attrs.field(factory=list)
    faults: Counter = attrs.field(factory=Counter)
    drops: Drops = attrs.field(factory=Drops)
    providers: Providers = attrs.field(init=False)

    def __attrs_post_init__(self):
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.providers = Providers(tracers=tracers, meters=MeterProvider([self.reader]))
        self.drops.observe(self.providers.meters)

    def read(self):
        """Collect the metrics once."""
        for resource in self.reader.get_metrics_data().resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        if getattr(point, "value", None) or getattr(point, "count", 0):
                            self.points[metric.name].append(dict(point.attributes))

    @asynccontextmanager
    async def reading(self):
        """Collect them every second."""

        async def read():
            while True:
                self.read()
                await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            yield
            nursery.cancel_scope.cancel()

    def listening(self):
        """Take down every log line at debug level."""

        def note(name, level, fields):
            self.logs.append((name, level, fields))

        return listening(note, self.lines.append)

    async def told(self, awaitable):
        """Its result or its error, kept."""
        try:
            value = await awaitable
        except GatewayError as error:
            self.errors.append(error)
            return None
        self.values.append(value)
        return value


class Rude:
    """A policy that breaks, sheds, and blocks the loop."""

    @hookimpl
    def after_attempt(self, attempt):
        raise RuntimeError(f"no liking for {attempt.part} in {attempt.room}")

    @hookimpl
    def admit(self, envelope):
        return "shed" if "bulk" in envelope.external_room_id else None

    @hookimpl
    def after_disposition(self, envelope):
        if "stall" in envelope.external_room_id:
            until = perf_counter() + 0.06
            while perf_counter() < until:
                pass


class Shut(FakeChannel):
    """Its session does not open, and it holds the event loop."""

    @hookimpl
    def validate(self):
        time.sleep(0.11)  # noqa: TID251 - what no adapter should do

    @hookimpl
    def open_session(self):
        raise RuntimeError("no such account")


async def platforms(night, folder):
    """Three instances in front of platforms that fail in every way they know."""
    path = folder / "outbox.db"
    async with open_network() as network:
        tables, emulators, plans = {}, {}, []
        for number, (channel, (emulator, base)) in enumerate(PLATFORMS.items()):
            faults = list(Fault)
            Random(channel).shuffle(faults)
            plan = FaultPlan(script={3 * n + 2: fault for n, fault in enumerate(faults)})
            plans.append(plan)
            emulators[channel] = emulator(tokens={TOKENS[channel]}, faults=plan)
            url = f"http://127.0.0.1:{9100 + number}"
            network.mount(url, emulators[channel].app)
            tables[channel] = {
                "channel": channel,
                "token": TOKENS[channel],
                "base_url": url + base,
            }
        config = parse_config(
            {"instances": tables, "attempt_timeout": 40.0, "drain_timeout": 900.0}
        )
        outbox = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
        outbox.tenure = lambda: TENURE  # as of one that several processes share
        async with (
            open_gateway(
                config,
                outbox=outbox,
                providers=night.providers,
                plugins=[Rude()],
                rng=Random("night"),
                wall_clock=virtual_wall,
            ) as gateway,
            trio.open_nursery() as nursery,
        ):
            for channel in PLATFORMS:
                for number in range(40):
                    room = ROOMS[channel].format(number % 5)
                    text = f"**{WORDS}** ({channel} {number})\n\n" + "- item\n" * 40
                    send = gateway.send(channel, room, text, ttl=600, raises=number % 2 == 0)
                    nursery.start_soon(night.told, send)
            for _ in range(60):
                await trio.sleep(10)
                night.read()
                for channel, emulator in emulators.items():
                    emulator.restore(TOKENS[channel])
            night.values += [gateway, gateway.statistics(), config]
        for plan in plans:
            night.faults.update(plan.counts)


async def engine(night):
    """What no platform can be made to do: outages, moves, crashes, refusals, deaths."""
    gone = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.ROOM_MOVED, moved_to="fake-new")
    plain = Verdict(
        error_class=ErrorClass.NON_RETRYABLE,
        reason=Reason.BAD_FORMAT,
        transform="plain",
        raw=f'cannot read "{WORDS}" in fake-1',
    )
    limited = Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.RATE_LIMITED,
        scope=Scope.INSTANCE,
        retry_after=3.0,
    )
    down = [TransportError("connection refused", dispatched="no") for _ in range(25)]
    script = [Failure(gone), Failure(plain), Failure(limited), Failure(limited), *down]

    async def run(_):
        await trio.sleep(0.5)
        if script:
            raise script.pop(0)

    settings = {
        "partition_count": 2,
        "partition_bound": 10,
        "instance_bound": 9,
        "providers": night.providers,
        "plugins": [Rude()],
        "instances": ("fake",),
    }
    busy = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.PLATFORM_ERROR)
    channel = FakeChannel(script=run)
    channel.probe_error = down[0]
    async with open_test_gateway(channel, **settings) as gateway:
        shut = Instance("shut", "shut", FakeSettings())
        await night.told(gateway.send("fake", "fake-1", WORDS))
        async with night.reading(), trio.open_nursery() as nursery:
            for number in range(28):
                nursery.start_soon(night.told, gateway.send("fake", f"fake-{number % 9}", WORDS))
            nursery.start_soon(night.told, gateway.send("fake", "bulk", WORDS))
            nursery.start_soon(night.told, gateway.send("fake", "stall", WORDS))
            nursery.start_soon(
                night.told, gateway.send("fake", "later", WORDS, not_before=virtual_wall() + 5)
            )
            await trio.testing.wait_all_tasks_blocked()
            await night.told(
                gateway.submit(Send(instance_id="fake", external_room_id="", text=""), wait=False)
            )
            await trio.sleep(30)
            channel.probe_error = None
        script += [Failure(busy)] * 6
        await night.told(gateway.send("fake", "busy", WORDS))
        with patch(
            "gateway_core.deliveries.delivery.Delivery.acknowledge", side_effect=RuntimeError(WORDS)
        ):
            await night.told(gateway.send("fake", "crash", WORDS, on_unknown="give_up"))
        kill_a_partition(gateway, WORDS)
        await trio.sleep(1)
        script += [Failure(limited), Failure(limited)]
        async with trio.open_nursery() as nursery:  # the second was under way as the first came
            for room in ("fake-1", "fake-2"):
                nursery.start_soon(night.told, gateway.send("fake", room, WORDS))
        night.read()
        await night.told(gateway.send("nobody", "fake-1", WORDS))
        night.values += [gateway.statistics(), shut]
    async with open_test_gateway(
        plugins=[("shut", Shut())], providers=night.providers, drain_timeout=0
    ) as gateway:
        gateway.add_instance(shut)
        await night.told(gateway.submit(Send(instance_id="shut", external_room_id="r", text=WORDS)))
        await trio.sleep(30)
        night.read()
    async with open_test_gateway(providers=night.providers) as gateway:
        for name in ("", "another"):
            instance = Instance("day", "fake", FakeSettings(name))
            await gateway.reload(attrs.evolve(gateway.config, instances=(instance,)))


class Flaky(MemoryOutbox):
    """Survives, cannot read a page at first, and raises where no outbox may."""

    fails = 2

    def finished(self, receipt):
        super().finished(receipt)
        raise KeyError("a mistake of the engine's")

    async def page(self, *arguments, **fields):
        if self.fails:
            self.fails -= 1
            raise OutboxError("the disk is gone for a moment")
        return await super().page(*arguments, **fields)


async def lives(night, folder):
    """What is accepted in one life and delivered in the next; an instance that is not there."""
    outbox = Flaky()
    slow = FakeChannel(latency=1_000.0)
    settings = {"outbox": outbox, "providers": night.providers, "drain_timeout": 0}
    async with open_test_gateway(slow, instances=("bot", "left"), **settings) as gateway:
        for instance in ("bot", "left"):
            for _ in range(2):
                send = Send(instance_id=instance, external_room_id="lives", text=WORDS)
                await night.told(gateway.submit(send))
        await trio.sleep(5)
        night.read()
    settings["drain_timeout"] = 60
    async with open_test_gateway(**settings):
        await trio.sleep(20)
        outbox.lost("bot")  # another process has it for a moment
        await trio.sleep(5)
        night.read()
    await _a_row_of_tomorrow(night, folder)


async def _a_row_of_tomorrow(night, folder):
    """A later release wrote a row: it is told of, and left alone."""
    path = folder / "tomorrow.db"

    def outbox():
        return SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)

    async with open_test_gateway(
        FakeChannel(latency=1_000.0), outbox=outbox(), drain_timeout=0
    ) as g:
        await g.submit(Send(instance_id="bot", external_room_id="r", text=WORDS))
    connection = sqlite3.connect(path)
    connection.execute(
        """UPDATE envelopes SET entry = replace(entry, '"version":1', '"version":99')"""
    )
    connection.commit()
    connection.close()
    settings = {"drain_timeout": 0, "providers": night.providers}
    async with open_test_gateway(outbox=(full := outbox()), **settings) as gateway:
        await trio.sleep(5)
        night.read()
        full._writer._db.execute("PRAGMA max_page_count = 1")  # as on a disk that is full
        for _ in range(3):
            await night.told(gateway.send("bot", "r", WORDS * 3_000, raises=False))


async def streams(night):
    """A text that grows by drafts, one that grows in place; a sign of typing is refused."""
    refused = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.FORBIDDEN)

    async def refusing(attempt):
        if not attempt.envelope_id:  # a sign
            raise Failure(refused)

    for how in ("draft", "append"):
        channel = FakeChannel(streaming=Streaming(how=how), script=refusing)
        async with open_test_gateway(channel, providers=night.providers) as gateway:
            async with gateway.stream(("bot", "fake-1")) as out:
                for word in WORDS.split():
                    out.write(f"{word} ")
                    await trio.sleep(2)
            night.values.append(out.receipt)
            async with gateway.typing(event(room="fake-1")):
                await trio.sleep(1)
            night.read()
    await signs(night)


async def signs(night):
    """One of typing is passed over, since the account's token is another's; an acknowledgement."""
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("account", count=1, per=60.0)])
    async with open_test_gateway(channel, providers=night.providers) as gateway:
        await night.told(gateway.send("bot", "fake-1", WORDS))
        async with gateway.typing(event(room="fake-1")):
            await trio.sleep(1)
        await night.told(gateway.reply(event(room="fake-1", asked="command"), WORDS))
        night.read()


async def groups(night):
    """One that is paused, goes on, fails in a room and is tried again; one cancelled, one left."""
    refused = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.FORBIDDEN)
    script = [Failure(refused)]

    async def run(_):
        if script:
            raise script.pop()

    channel = FakeChannel(
        script=run, limits=lambda _room, _operation: [Limit("account", count=10, per=1.0)]
    )
    rooms = [f"group-{number}" for number in range(50)]
    settings = {"providers": night.providers, "drain_timeout": 1.0}
    async with open_test_gateway(channel, **settings) as gateway:
        job = await gateway.broadcast("bot", rooms, WORDS)
        await trio.sleep(1)
        await job.pause()
        night.read()
        await job.resume()
        night.values.append(await job.wait())
        await job.retry()
        await job.wait()
        job = await gateway.broadcast("bot", rooms, WORDS)
        await trio.sleep(1)
        await job.cancel()
        night.read()
        night.values.append(await job.wait())
        await gateway.broadcast("bot", rooms, WORDS, not_before=virtual_wall() + 60)
        await gateway.broadcast("bot", rooms, WORDS)
        await trio.sleep(1)
        night.read()


async def cut_short(night):
    """A drain that is cut short, as the bridge does by a third Ctrl-C."""
    settings = {"providers": night.providers, "drain_timeout": 60}
    async with open_test_gateway(FakeChannel(latency=1_000.0), **settings) as gateway:
        send = Send(instance_id="bot", external_room_id="fake-1", text=WORDS)
        await night.told(gateway.submit(send))
        await trio.sleep(1)
        gateway._life.cut_drain()
        night.read()


def exporting_to_nobody(night):
    """Finished spans that no exporter takes."""
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(CountedSpans(DeadExporter(), night.drops, queue=10))
    tracers.get_tracer("application").start_span("lost").end()
    tracers.shutdown()
    night.read()


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """The night is over."""
    night, folder = Night(), tmp_path_factory.mktemp("night")

    def run(scene, *arguments):
        with seeded_schedule("night"):
            trio.run(scene, night, *arguments, clock=trio.testing.MockClock(autojump_threshold=0))

    with night.listening(), patch("gateway_core.monitoring.histograms.LONG_STALL", 0.06):
        run(platforms, folder)
        run(engine)
        run(lives, folder)
        run(every_word)
        run(streams)
        run(groups)
        run(cut_short)
        exporting_to_nobody(night)
    return night


@pytest.fixture
def tokens():
    """Every secret of the night."""
    return list(TOKENS.values())


@pytest.fixture
def room_ids():
    """Every room of the night that somebody could be known by."""
    named = [room.format(number) for room in ROOMS.values() for number in range(5)]
    return [*named, "fake-1", "fake-new", "fake-3"]


@pytest.fixture
def words():
    """The words of the texts that nobody but their authors uses."""
    return ["Quarterly", "mandragora", "figures leak"]
