"""Reads the table `telemetry.export` of `gateway.toml`, which says where telemetry goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
from attrs.validators import optional

from gateway_core.authors import ConfigError
from gateway_core.settings import (
    CheckedSettings,
    all_of,
    at_most,
    mistakes_in,
    must_be,
    number,
    text,
    whole,
)

_ADDRESS = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})")
_URL = re.compile(r"https?://\S+")
_MOST_PORTS = 65_535


_BATCH = 512


def _are_attributes(value: object) -> bool:
    """Whether OpenTelemetry takes all of these attributes; it would leave out the others."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and name and _is_attribute(one) for name, one in value.items()
    )


def _is_attribute(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value)) and len({type(one) for one in value}) < 2  # noqa: PLR2004 - one kind
    return _is_plain(value)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | bool | int | float)


_ATTRIBUTES = must_be(
    "a table of texts, numbers, truth values, and lists of one of these", _are_attributes
)


def _is_address(value: object) -> bool:
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    return found is not None and int(found[1]) <= _MOST_PORTS


def _is_collector(value: object) -> bool:
    if not isinstance(value, str) or not _URL.fullmatch(value):
        return False
    try:
        return urlsplit(value).port != 0
    except ValueError:
        return False


_AT = must_be("host:port, a port from 0 to 65535", _is_address)
_URL_OF_COLLECTOR = must_be("an http or https URL, its port from 1 to 65535", _is_collector)


def _collector(settings: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, str) and ("?" in value or "#" in value):  # paths are added to its end
        raise ValueError(f"'{attribute.name}' must have no query and no fragment")
    if isinstance(value, str) and "@" in value and not _is_collector(value):
        raise ValueError(f"'{attribute.name}' must be an http or https URL")  # without its password
    _URL_OF_COLLECTOR(settings, attribute, value)


def _batch(queue: object) -> int:
    return queue if isinstance(queue, int) and 0 < queue < _BATCH else _BATCH


@attrs.frozen(kw_only=True)
class OtelSettings(CheckedSettings):
    """Settings of `open_telemetry`.

    otlp        base URL of a collector that takes OTLP over HTTP (`http://127.0.0.1:4318`); headers
                come from `OTEL_EXPORTER_OTLP_HEADERS`, since they hold secrets. None: no export,
                since only you know where telemetry may go
    prometheus  `host:port` at which metrics are served for scraping. None: nowhere
    service     the resource's `service.name`; give your service's own name
    resource    more attributes of the resource (`deployment.environment.name`, …); only you know
                them
    sampling    share of traces without a sampled parent that are recorded; one in a hundred shows
                what is slow, and costs next to nothing
    interval    seconds between exports of metrics by OTLP; most back ends expect this interval
    queue       most finished spans that wait for the exporter; more are dropped and counted (the
                SDK's default)
    batch       most spans in one export, at most `queue` (the SDK's default)
    timeout     seconds that one export may take (the OTLP exporter's default)
    closing     seconds that closing waits for the last export; less than most processes are given
                to stop
    """

    otlp: str | None = attrs.field(default=None, validator=optional(_collector))
    prometheus: str | None = attrs.field(default=None, validator=optional(_AT))
    service: str = attrs.field(default="gateway", validator=text)
    resource: Mapping[str, Any] = attrs.field(factory=dict, validator=_ATTRIBUTES)
    sampling: float = attrs.field(default=0.01, validator=number(least=0, most=1))
    interval: float = attrs.field(default=60.0, validator=number(least=0.001))
    queue: int = attrs.field(default=2_048, validator=whole(least=1))
    batch: int = attrs.field(
        default=attrs.Factory(lambda self: _batch(self.queue), takes_self=True),
        validator=all_of(whole(least=1), at_most("queue")),
    )
    timeout: float = attrs.field(default=10.0, validator=number(least=0.001))
    closing: float = attrs.field(default=5.0, validator=number(least=0))


def settings_of(table: Mapping[str, Any]) -> OtelSettings:
    """The settings in the table. Raises `ConfigError` with every mistake and its place."""
    problems = mistakes_in(OtelSettings, table, "telemetry.export")
    if problems:
        raise ConfigError(problems)
    return OtelSettings(**table)
