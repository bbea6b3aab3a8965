"""Telemetry over real sockets and threads: scraped as Prometheus does, and exporters that hang."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from urllib.error import URLError

import pytest
import trio
from breaking import DeadMetrics
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace.export import SpanExporter
from ports import free_port, scraped
from prometheus_client.parser import text_string_to_metric_families

from gateway_contrib.otel import OtelSettings, open_telemetry
from gateway_core import ConfigError, Instance, open_gateway, parse_config
from gateway_core.testing import FakeChannel, FakeSettings, MemoryOutbox, open_test_gateway

PATIENCE = 40.0
MESSAGES = 300


@pytest.fixture
def port():
    """One that is free now."""
    return free_port()


def families_at(port):
    """The metric families at the port, by name; none while nobody listens."""
    try:
        text = scraped(port)
    except URLError:
        return {}
    return {family.name: family for family in text_string_to_metric_families(text)}


def total(family, **labels):
    return sum(
        sample.value
        for sample in family.samples
        if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
    )


LIFE = """
import sys
from pathlib import Path

import trio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from gateway_core import (
    ErrorClass,
    GatewayConfig,
    Instance,
    Providers,
    Reason,
    Verdict,
    open_gateway,
)
from gateway_core.testing import Failure, FakeChannel, FakeSettings

folder, first = Path(sys.argv[1]), sys.argv[2] == "first"


class Lines(SpanExporter):
    def export(self, spans):
        with (folder / "spans").open("a") as file:
            file.writelines(span.to_json(indent=None) + "\\n" for span in spans)
        return SpanExportResult.SUCCESS


async def run(_):
    if first:
        down = Verdict(
            error_class=ErrorClass.RETRYABLE, reason=Reason.PLATFORM_ERROR, retry_after=2.0
        )
        raise Failure(down)


async def main():
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(Lines()))
    config = GatewayConfig(
        instances=[Instance("bot", "fake", FakeSettings())], outbox=f"sqlite:///{folder}/outbox.db"
    )
    plugins = [("fake", FakeChannel(script=run))]
    providers = Providers(tracers=tracers)
    async with open_gateway(config, plugins=plugins, providers=providers) as gateway:
        if first:
            with tracers.get_tracer("application").start_as_current_span("request") as span:
                print(format(span.get_span_context().trace_id, "032x"), flush=True)
                await gateway.send("bot", "room", "hello")
        while not gateway.statistics().dispositions:
            await trio.sleep(0.1)


trio.run(main)
"""


def spans_of(folder):
    file = folder / "spans"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def test_one_trace_over_two_processes_the_first_of_them_killed(tmp_path):
    """What the caller began in a process that was killed ends in the next one's spans."""
    command = [sys.executable, "-c", LIFE, str(tmp_path)]
    first = subprocess.Popen([*command, "first"], stdout=subprocess.PIPE, text=True)
    try:
        trace_id = first.stdout.readline().strip()
        until = time.monotonic() + PATIENCE
        while not spans_of(tmp_path) and time.monotonic() < until:
            time.sleep(0.05)  # noqa: TID251 - another process is waited for
    finally:
        first.kill()
        first.communicate()
    subprocess.run([*command, "second"], check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
    spans = spans_of(tmp_path)
    assert ["send fake", "send fake", "create fake"] == [span["name"] for span in spans]
    assert {f"0x{trace_id}"} == {span["context"]["trace_id"] for span in spans}
    failed, delivered, envelope = spans
    # The first life's span of the envelope was lost with it; its children know it all the same.
    assert failed["parent_id"] == envelope["parent_id"]
    assert envelope["context"]["span_id"] == delivered["parent_id"]
    assert [1, 2] == [span["attributes"]["gateway.attempt"] for span in (failed, delivered)]
    assert envelope["attributes"]["gateway.recovered"]


class Hanging(SpanExporter):
    """Takes a batch and never comes back."""

    def export(self, _):
        time.sleep(600)  # noqa: TID251 - what is tested is that nobody waits for it


async def test_a_hanging_exporter_changes_nothing_but_a_drop_counter(port):
    """Spans beyond the queue are dropped, every message is delivered, and closing is bounded."""
    settings = OtelSettings(
        sampling=1.0, queue=16, batch=8, closing=0.5, prometheus=f"127.0.0.1:{port}"
    )
    async with open_telemetry(settings, spans=Hanging()) as providers:
        async with open_test_gateway(providers=providers) as gateway:
            for number in range(MESSAGES):
                await gateway.send("bot", f"room {number % 7}", "hello")
            families = await trio.to_thread.run_sync(families_at, port)
        dropped = total(families["gateway_telemetry_dropped"], gateway_signal="traces")
        assert 2 * MESSAGES - 16 - 8 - 8 <= dropped <= 2 * MESSAGES
        assert MESSAGES == total(families["gateway_envelopes_ended"])
        began = time.monotonic()
    assert time.monotonic() - began < 60


async def test_a_dead_collector_is_counted_and_closing_does_not_wait(port):
    """Nobody listens at the collector's address."""
    settings = OtelSettings(
        otlp=f"http://127.0.0.1:{port}", sampling=1.0, closing=0.5, interval=0.2, timeout=0.5
    )
    began = time.monotonic()
    async with (
        open_telemetry(settings, metrics=DeadMetrics()) as providers,
        open_test_gateway(providers=providers) as gateway,
    ):
        assert (await gateway.send("bot", "room", "hello")).delivered
        await trio.sleep(0.5)
    assert time.monotonic() - began < 60


class Scraping(MetricExporter):
    """Looks at the port while it exports; what it found each time."""

    def __init__(self, port):
        super().__init__()
        self.port, self.found = port, []

    def export(self, *_words, **_more):
        self.found.append(families_at(self.port))
        return MetricExportResult.SUCCESS

    def force_flush(self, *_words, **_more):
        return True

    def shutdown(self, *_words, **_more):
        pass


async def test_the_page_is_whole_for_as_long_as_it_is_served(port):
    """Through the last export, which may take a while: an empty page would end every series."""
    exporter = Scraping(port)
    settings = OtelSettings(prometheus=f"127.0.0.1:{port}", closing=PATIENCE)
    async with (
        open_telemetry(settings, metrics=exporter) as providers,
        open_test_gateway(providers=providers) as gateway,
    ):
        assert (await gateway.send("bot", "room", "hello")).delivered
    (families,) = exporter.found
    assert 1 == total(families["gateway_envelopes_ended"])
    assert {} == await trio.to_thread.run_sync(families_at, port)


async def test_a_table_of_the_configuration_is_all_it_takes(port):
    table = {"telemetry": {"export": {"prometheus": f"127.0.0.1:{port}", "service": "night"}}}
    channel = FakeChannel()
    config = parse_config(table, [("fake", channel)])
    async with open_gateway(config, plugins=[("fake", channel)]) as gateway:
        gateway.add_instance(Instance("bot", "fake", FakeSettings()))
        await gateway.send("bot", "room", "hello")
        families = await trio.to_thread.run_sync(families_at, port)
    assert 1 == total(families["gateway_envelopes_accepted"], gateway_instance="bot")
    assert "night" == families["target_info"].samples[0].labels["service_name"]
    assert {} == await trio.to_thread.run_sync(families_at, port)


class Untouched(MemoryOutbox):
    """Knows whether it was opened."""

    opened = False

    async def __aenter__(self):
        self.opened = True
        return await super().__aenter__()


@pytest.mark.parametrize(
    ("host", "why"),
    [("127.0.0.1", "Address already in use"), ("192.0.2.1", "Cannot assign")],
)
async def test_an_address_that_cannot_be_served_is_told_by_its_place(port, host, why):
    """Nothing else is opened then."""
    table = {"telemetry": {"export": {"prometheus": f"{host}:{port}"}}}
    channel, outbox = FakeChannel(), Untouched()
    config = parse_config(table, [("fake", channel)])
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigError) as raised:
        async with open_gateway(config, plugins=[("fake", channel)], outbox=outbox):
            pass
    (problem,) = raised.value.problems
    assert "telemetry.export.prometheus" == problem.place
    assert re.fullmatch(rf"metrics cannot be served at {host}:{port}: .*{why}.*", problem.text)
    assert not outbox.opened


def test_a_port_that_no_machine_has_is_told_by_its_place():
    table = {"telemetry": {"export": {"prometheus": "127.0.0.1:99999"}}}
    with pytest.raises(ConfigError, match=r"^telemetry\.export\.prometheus: .*65535.*:99999"):
        parse_config(table, [("fake", FakeChannel())])


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ({"colour": "blue"}, "telemetry.export.colour"),
        ({"sampling": 2}, "telemetry.export.sampling"),
        ({"otlp": "collector"}, "telemetry.export.otlp"),
        ({"prometheus": 9464}, "telemetry.export.prometheus"),
        ({"queue": 1.5}, "telemetry.export.queue"),
    ],
)
def test_mistakes_in_the_table_are_told_by_their_place(table, place):
    with pytest.raises(ConfigError) as raised:
        parse_config({"telemetry": {"export": table}}, [("fake", FakeChannel())])
    assert [place] == [problem.place for problem in raised.value.problems]
