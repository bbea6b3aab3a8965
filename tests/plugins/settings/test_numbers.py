"""Every setting that is a number refuses nonsense in words that name it and what it may be."""

from __future__ import annotations

import math
import pkgutil
from importlib import import_module
from typing import Any

import attrs
import pytest

from gateway_contrib.otel.settings import OtelSettings
from gateway_contrib.postgres.opening import outbox_at
from gateway_core import ConfigError, Secret
from gateway_core.settings import CheckedSettings
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.settings import TelegramSettings

NONSENSE = (math.nan, -math.inf, -1, -0.5, True, "5", [5], {})
FOR_EVER = (math.inf, 1e300, 10**30)
MAY_BE_FOR_EVER = {
    ("GatewayConfig", "attempt_timeout"),
    ("GatewayConfig", "session_idle"),
    ("GatewayConfig", "drain_timeout"),
    ("PostgresSettings", "owner_wait"),
    ("SourceSettings", "idle"),
}
"""Seconds of which infinity is a sense: no bound."""
PACKAGES = (
    "gateway_core",
    "gateway_contrib.otel",
    "gateway_contrib.postgres",
    "gateway_contrib.sqlite",
    "gateway_plugin_discord",
    "gateway_plugin_slack",
    "gateway_plugin_telegram",
)


def _kinds(kind: type = CheckedSettings) -> list[type]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_kinds(sub))]


def _numbers() -> list[tuple[type, attrs.Attribute[Any]]]:
    """By what the modules hold that have settings; each field whose type has a number."""
    for package in PACKAGES:
        for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            if found.name.rpartition(".")[2] in {"settings", "config", "retries", "circuit"}:
                import_module(found.name)
    kinds = {kind for kind in _kinds() if attrs.has(kind)}
    ours = [kind for kind in kinds if kind.__module__.startswith(("gateway_", "gateway_plugin_"))]
    return [
        (kind, field)
        for kind in sorted(ours, key=str)
        for field in attrs.fields(kind)
        if field.init and any(word in str(field.type) for word in ("int", "float"))
        and "Mapping" not in str(field.type)
    ]  # fmt: skip


NUMBERS = _numbers()
IDS = [f"{kind.__module__.split('.')[0]}-{kind.__name__}.{field.name}" for kind, field in NUMBERS]


def refused(kind: type, field: attrs.Attribute[Any], value: object) -> str:
    """The words; empty: it is accepted."""
    beside = {
        each.name: None for each in attrs.fields(kind) if each.name != field.name
    }  # no relation is looked at
    settings = type("Settings", (), beside)()
    assert field.validator is not None, "nobody looks at it"
    try:
        field.validator(settings, field, value)
    except ValueError as error:
        return str(error)
    return ""


def test_there_are_numbers_in_all_packages() -> None:
    assert {package.partition(".")[0] for package in PACKAGES} == {
        kind.__module__.partition(".")[0] for kind, _ in NUMBERS
    }
    assert len(NUMBERS) > 70


@pytest.mark.parametrize(("kind", "field"), NUMBERS, ids=IDS)
def test_nonsense_is_refused_by_name_and_with_what_it_may_be(kind, field):
    for value in NONSENSE:
        assert refused(kind, field, value).startswith(f"'{field.name}' must be "), value
    for value in FOR_EVER:
        words = refused(kind, field, value)
        assert ((kind.__name__, field.name) in MAY_BE_FOR_EVER) == (words == ""), value


PORTS = ("65536", "99999", "-1", "x")


@pytest.mark.parametrize("port", [*PORTS, "0"])
def test_an_address_has_a_port_that_there_is(port):
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(ValueError, match="'otlp' must be an http or https URL, its port from 1 to"):
        OtelSettings(otlp=url)
    for kind, token in (
        (SlackSettings, "xoxb-1"),
        (DiscordSettings, "a." + "b" * 30),
        (TelegramSettings, "1:" + "a" * 35),
    ):
        with pytest.raises(ValueError, match="'base_url' must be a URL"):
            kind(token=Secret(token), base_url=url)
    with pytest.raises(ConfigError, match="port") as caught:
        outbox_at(f"postgresql://user:hidden@host:{port}/database", ())
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("port", PORTS)
def test_metrics_are_served_at_a_port_that_there_is(port):
    with pytest.raises(ValueError, match="'prometheus' must be host:port, a port from 0 to 65535"):
        OtelSettings(prometheus=f"127.0.0.1:{port}")


@pytest.mark.parametrize("port", ["0", "1", "65535"])
def test_other_ports_are_taken(port):
    """0: one that is free."""
    OtelSettings(prometheus=f"127.0.0.1:{port}")
    OtelSettings(otlp="http://127.0.0.1:65535/v1")
    OtelSettings(otlp="https://collector.example")
    outbox_at("postgresql://user@host:65535/database", ())
    outbox_at("postgresql://user@one,two:5433/database", ())
