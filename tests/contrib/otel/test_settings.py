"""The table `telemetry.export`: what is wrong with it is told in words."""

import attrs
import pytest

from gateway_contrib.otel.settings import OtelSettings, settings_of
from gateway_core import ConfigError


@pytest.mark.parametrize("address", ["127.0.0.1:9464", "[::1]:9464", "metrics.example.org:80"])
def test_metrics_are_served_at_an_address(address):
    assert OtelSettings(prometheus=address) == settings_of({"prometheus": address})


def test_every_mistake_is_told_by_its_place():
    wrong = {"prometheus": "nonsense", "otlp": "collector", "port": 1, "queue": 0}
    there = ", ".join(field.name for field in attrs.fields(OtelSettings))
    with pytest.raises(ConfigError) as caught:
        settings_of(wrong)
    assert [
        (
            "telemetry.export.otlp: must be an http or https URL, its port from 1 to 65535,"
            " not 'collector'"
        ),
        f"telemetry.export.port: is not a setting; the settings here are {there}",
        "telemetry.export.prometheus: must be host:port, a port from 0 to 65535, not 'nonsense'",
        "telemetry.export.queue: must be a whole number of at least 1, not 0",
    ] == sorted(map(str, caught.value.problems))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://a:secret@[::1", "must be an http or https URL"),
        ("http://a:secret@h:99999", "must be an http or https URL"),
        ("http://h:4318?key=secret", "must have no query and no fragment"),
        ("file:///x?secret", "must have no query and no fragment"),
    ],
)
def test_a_collector_s_password_is_not_shown(url, words):
    with pytest.raises(ConfigError, match=f"telemetry.export.otlp: {words}") as caught:
        settings_of({"otlp": url})
    assert "secret" not in str(caught.value)
