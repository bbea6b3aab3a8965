"""Odd values in every setting: a typed error that names the setting, or messages are delivered."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from random import Random

import attrs
import pytest

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_contrib.otel import OtelSettings, open_telemetry
from gateway_contrib.otel.settings import settings_of
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import (
    CircuitSettings,
    ConfigError,
    GatewayConfig,
    Instance,
    PressureSettings,
    RetrySettings,
    Secret,
    TelemetrySettings,
    Ttl,
    open_gateway,
    parse_config,
)
from gateway_core.testing import FakeChannel, FakeSettings, open_network, virtual_wall
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_discord.settings import RoomLimits as DiscordRoom
from gateway_plugin_slack.settings import RoomLimits as SlackRoom
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.settings import RoomLimits as TelegramRoom
from gateway_plugin_telegram.settings import TelegramSettings

ODD = (
    *(math.inf, -math.inf, math.nan, 1e300, -1e300, 5e-324, 1e-10, 1.5, -1.5),
    *(0, 1, -1, 2**31, 10**12, 10**30, -(10**30), 10**5000),
    *(True, False, "", " ", "\n", "\ufeff", "\x00", "\ud800", "x" * 5000, "..", "nan"),
    *([], [1], ["", "\n"], {}, {"": 1}, {"a": []}, [0.1, 0.2, 0.3], b"bytes"),
)
IN_A_FILE = tuple(value for value in ODD if not isinstance(value, bytes))

HOSTS = {"telegram": "", "slack": "/api", "discord": "/api/v10"}
EMULATORS = {"telegram": TelegramEmulator, "slack": SlackEmulator, "discord": DiscordEmulator}
TOKENS = {
    "telegram": "1234567:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "slack": "xoxb-1234567890-test",
    "discord": "MTIzNDU2Nzg5MDEyMzQ1Njc4.test.token",
}
ROOMS = {"telegram": "-4711", "slack": "C024BE91L", "discord": "100000000000000001"}
SETTINGS = {"telegram": TelegramSettings, "slack": SlackSettings, "discord": DiscordSettings}
ROOM_LIMITS = {"telegram": TelegramRoom, "slack": SlackRoom, "discord": DiscordRoom}
OF_GATEWAY = (
    GatewayConfig,
    Ttl,
    RetrySettings,
    CircuitSettings,
    PressureSettings,
    TelemetrySettings,
    type(GatewayConfig().plugins),
    type(GatewayConfig().files),
    type(GatewayConfig().instance_source),
)
TABLES = (
    *("", "ttl", "retries", "circuit", "pressure", "telemetry", "plugins", "files"),
    "instance_source",
)


def named(value: object) -> str:
    return "10**5000" if value == 10**5000 else ascii(value)[:20]


def fields_of(kind: type) -> list[str]:
    return [field.name for field in attrs.fields(kind) if field.init]


def made(kind: type, name: str, value: object, **others: object) -> object | None:
    """The settings, or None where they are refused; the error names the setting."""
    try:
        return kind(**{**others, name: value})
    except (ValueError, ConfigError) as raised:
        error = raised
    words = str(error)
    if isinstance(error, ConfigError):
        assert {name} == {problem.place.rpartition(".")[2] for problem in error.problems}, words
    else:  # a relation names both
        assert words.startswith(f"'{name}' must ") or f"`{name}`" in words, words
    return None


def fits_nowhere(kind: type, name: str, value: object, **others: object) -> bool:
    """Whether the value is wrong by itself, whatever the others are."""
    try:
        kind(**{**others, name: tuple(value) if isinstance(value, list) else value})
    except ValueError as error:
        return "`" not in str(error)
    return False


async def delivers(config: GatewayConfig, room: str = "room", **given: object) -> bool:
    given = {"rng": Random("odd"), "wall_clock": virtual_wall, **given}
    async with open_gateway(config, **given) as gateway:
        for text in ("a message", "another"):
            sent = await gateway.send(config.instances[0].id, room, text, raises=False)
            assert sent.delivered, str(sent)
    return True


CASES = [(kind, name) for kind in OF_GATEWAY for name in fields_of(kind)]
OWN_TABLE = dict(zip(OF_GATEWAY, TABLES, strict=True))
FOR_ITSELF = {"instances", "export", "outbox"}
"""Read by others than the class: by the registry, or a plugin."""


@pytest.mark.parametrize(
    ("kind", "name"), CASES, ids=lambda value: getattr(value, "__name__", value)
)
async def test_of_the_gateway(kind, name, autojump_clock):
    """What is accepted in code delivers."""
    for value in ODD:
        settings = made(kind, name, value)
        if settings is None or name in FOR_ITSELF:
            continue
        config = settings if kind is GatewayConfig else None
        if config is None:
            config = GatewayConfig(**{OWN_TABLE[kind]: settings})
        if name not in {"allow", "deny"}:
            config = attrs.evolve(config, instances=[Instance("bot", "fake", FakeSettings())])
            assert await delivers(config, plugins=[("fake", FakeChannel())])
        elif value:
            with pytest.raises(ConfigError, match=f"plugins.{name}: no plugin is called"):
                await delivers(config)


@pytest.mark.parametrize("value", IN_A_FILE, ids=named)
def test_of_the_gateway_all_at_once_in_a_file(value):
    """The file refuses at least what the classes refuse, each by its place, in one error."""
    content = {name: value for name in fields_of(GatewayConfig) if name not in TABLES}
    content |= {
        table: dict.fromkeys(fields_of(kind), value)
        for kind, table in OWN_TABLE.items()
        if kind is not GatewayConfig
    }
    expected = {
        ".".join(filter(None, (OWN_TABLE[kind], name)))
        for kind, name in CASES
        if name not in {*TABLES, *FOR_ITSELF} and fits_nowhere(kind, name, value)
    }
    with pytest.raises(ConfigError) as caught:
        parse_config(content, [("fake", FakeChannel())])
    places = {problem.place for problem in caught.value.problems}
    # A place in a list is that of the value in it.
    assert set() == {place for place in expected if not _at_or_below(place, places)}


def _at_or_below(place: str, places: set[str]) -> bool:
    return any(one == place or one.startswith(f"{place}.") for one in places)


@asynccontextmanager
async def platform(channel: str):
    emulator = EMULATORS[channel](tokens=[TOKENS[channel]])
    async with open_network() as network:
        network.mount("http://127.0.0.1:8081", emulator.app)
        yield


def table_of(channel: str) -> dict[str, object]:
    url = f"http://127.0.0.1:8081{HOSTS[channel]}"
    return {"token": Secret(TOKENS[channel]), "base_url": url}


CHANNEL_CASES = [(channel, name) for channel, kind in SETTINGS.items() for name in fields_of(kind)]


@pytest.mark.parametrize(("channel", "name"), CHANNEL_CASES)
async def test_of_a_channel(channel, name, tmp_path, autojump_clock):
    """What is accepted in code delivers at the emulated platform."""
    async with platform(channel):
        for value in ODD:
            settings = made(SETTINGS[channel], name, value, **table_of(channel))
            if settings is None:
                continue
            config = GatewayConfig(instances=[Instance("bot", channel, settings)])
            assert await delivers(config, ROOMS[channel])


ROOM_CASES = [(channel, name) for channel, kind in ROOM_LIMITS.items() for name in fields_of(kind)]


@pytest.mark.parametrize(("channel", "name"), ROOM_CASES)
async def test_of_a_room(channel, name, autojump_clock):
    async with platform(channel):
        for value in ODD:
            limits = made(ROOM_LIMITS[channel], name, value)
            if limits is None:
                continue
            settings = SETTINGS[channel](**table_of(channel), rooms={ROOMS[channel]: limits})
            config = GatewayConfig(instances=[Instance("bot", channel, settings)])
            assert await delivers(config, ROOMS[channel])


@pytest.mark.parametrize("value", IN_A_FILE, ids=named)
def test_of_all_channels_at_once_in_a_file(value):
    """Three instances, every setting of each wrong: every one is told."""
    instances = {
        channel: {"channel": channel, **dict.fromkeys(fields_of(kind), value)}
        for channel, kind in SETTINGS.items()
    }
    expected = {
        f"instances.{channel}.{name}"
        for channel, name in CHANNEL_CASES
        if name not in {"token", "refresh_token", "client_secret"}
        and fits_nowhere(SETTINGS[channel], name, value, **table_of(channel))
    }
    with pytest.raises(ConfigError) as caught:
        parse_config({"instances": instances}, environ={})
    places = {problem.place for problem in caught.value.problems}
    assert set() == {place for place in expected if not _at_or_below(place, places)}
    assert {"instances.slack.token", "instances.telegram.token"} <= places


@pytest.mark.parametrize("name", fields_of(SqliteSettings))
async def test_of_an_outbox_in_a_file(name, tmp_path):
    for number, value in enumerate(ODD):
        settings = made(SqliteSettings, name, value)
        if settings is None:
            continue
        settings = attrs.evolve(settings, owner_wait=0.0)
        config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
        slot = "" if settings.slots is None else "-{slot}"
        outbox = SqliteOutbox(tmp_path / f"{number}{slot}.db", settings)
        assert await delivers(config, plugins=[("fake", FakeChannel())], outbox=outbox)


@pytest.mark.parametrize("name", fields_of(OtelSettings))
async def test_of_an_exporter(name):
    for value in ODD:
        settings = made(OtelSettings, name, value)
        if settings is None:
            with pytest.raises(ConfigError, match=rf"telemetry\.export\.{name}: must "):
                settings_of({name: value})
            continue
        config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
        async with open_telemetry(settings) as providers:
            assert await delivers(config, plugins=[("fake", FakeChannel())], providers=providers)
