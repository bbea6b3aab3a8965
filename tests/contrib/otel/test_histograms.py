"""Histograms that take many values in one record say what those of one by one say."""

from random import Random

import attrs
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from gateway_contrib.otel import OtelSettings, open_telemetry
from gateway_contrib.otel.opening import views
from gateway_core import Instance, Providers
from gateway_core.monitoring.histograms import Meters
from gateway_core.telemetry import ATTEMPT_DURATION
from gateway_core.testing import open_test_gateway


@attrs.frozen
class Account:
    """What labels are made of."""

    instance: Instance = attrs.field(factory=lambda: Instance("bot", "fake"))
    label: str = "bot"


def points(reader):
    """Everything that a histogram says, by its name and attributes."""
    return {
        (metric.name, *sorted(point.attributes.items())): (
            point.count,
            round(point.sum, 9),
            tuple(point.bucket_counts),
            tuple(point.explicit_bounds),
            point.min,
            point.max,
        )
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if hasattr(metric.data.data_points[0], "bucket_counts")
        for point in metric.data.data_points
    }


@pytest.mark.parametrize("rounds", [1, 3])
def test_both_ways_say_the_same(rounds):
    random, found = Random("histograms"), []
    values = [random.choice((0.0, random.expovariate(2.0), 0.25, 1e4)) for _ in range(300)]
    for several in (False, True):
        reader = InMemoryMetricReader()
        meters = Meters(MeterProvider([reader], views=views()), several=several)
        for number in range(rounds):
            for value in values[number::rounds]:
                meters.attempted(Account(), 0, "nominal", "send", None, value)
                meters.waited(Account(), 0, "queue", value)
                meters.appended(value)
            meters.hand_on()
            read = points(reader)
        found.append(read)
    assert found[0] == found[1]
    assert 3 == len(found[0])


async def test_what_is_held_back_is_there_when_somebody_reads(autojump_clock):
    reader = InMemoryMetricReader()
    async with open_telemetry(OtelSettings(), readers=[reader]) as providers:
        assert providers.several
        async with open_test_gateway(providers=providers) as gateway:
            for expected in (1, 2):
                await gateway.send("bot", "room", "hello")
                counts = [c[0] for k, c in points(reader).items() if k[0] == ATTEMPT_DURATION.name]
                assert [expected] == counts
            await gateway.send("bot", "room", "hello")
        counts = [c[0] for k, c in points(reader).items() if k[0] == ATTEMPT_DURATION.name]
        assert [3] == counts


def test_providers_of_ones_own_get_one_value_at_a_time():
    assert not Providers().several
