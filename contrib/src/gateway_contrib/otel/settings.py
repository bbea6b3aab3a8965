"""Where telemetry goes: the table `telemetry.export` of `gateway.toml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs
from attrs.validators import ge, gt, instance_of, le, optional

from gateway_core.authors import ConfigError, Problem

_NUMBER = instance_of((int, float))
_ADDRESS = r"(?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}"
_URL = r"https?://\S+"


def _looks_like(pattern: str, words: str) -> Any:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise ValueError(f"'{attribute.name}' must be {words}, not {value!r}")

    return check


@attrs.frozen(kw_only=True)
class OtelSettings:
    """What `open_telemetry` sets up.

    otlp        base URL of a collector that takes OTLP over HTTP (`http://127.0.0.1:4318`); headers
                come from `OTEL_EXPORTER_OTLP_HEADERS`, since they hold secrets. None: none, since
                where telemetry may go is yours to say
    prometheus  `host:port` at which metrics are served for scraping. None: nowhere, likewise
    service     the resource's `service.name`: what it is, until yours has a name of its own
    resource    more attributes of the resource (`deployment.environment.name`, …); nobody but you
                knows any
    sampling    share of traces without a sampled parent that are kept: a trace in a hundred
                shows what is slow, and costs next to nothing
    interval    seconds between exports of metrics by OTLP: what most back ends expect
    queue       finished spans that wait for the exporter, at the most; more are dropped and counted
                (the SDK's own number)
    batch       spans in one export (likewise)
    timeout     seconds that one export may take (the OTLP exporter's own)
    closing     seconds that closing waits for the last export: less than what a process is mostly
                given to stop in
    """

    otlp: str | None = attrs.field(
        default=None, validator=optional(_looks_like(_URL, "an http or https URL"))
    )
    prometheus: str | None = attrs.field(
        default=None, validator=optional(_looks_like(_ADDRESS, "host:port"))
    )
    service: str = attrs.field(default="gateway", validator=instance_of(str))
    resource: Mapping[str, Any] = attrs.field(factory=dict, validator=instance_of(dict))
    sampling: float = attrs.field(default=0.01, validator=[_NUMBER, ge(0), le(1)])
    interval: float = attrs.field(default=60.0, validator=[_NUMBER, gt(0)])
    queue: int = attrs.field(default=2_048, validator=[instance_of(int), ge(1)])
    batch: int = attrs.field(default=512, validator=[instance_of(int), ge(1)])
    timeout: float = attrs.field(default=10.0, validator=[_NUMBER, gt(0)])
    closing: float = attrs.field(default=5.0, validator=[_NUMBER, ge(0)])


def settings_of(table: Mapping[str, Any]) -> OtelSettings:
    """The settings in the table. Raises `ConfigError` with every mistake by its place."""
    known = attrs.fields_dict(OtelSettings)
    problems = [
        Problem(f"telemetry.export.{name}", "is no setting") for name in table if name not in known
    ]
    for name in table.keys() & known.keys():
        try:
            OtelSettings(**{name: table[name]})
        except (TypeError, ValueError) as error:
            text = str(error.args[0]).partition(" (")[0].removeprefix(f"'{name}' ")
            problems.append(Problem(f"telemetry.export.{name}", text))
    if problems:
        raise ConfigError(problems)
    return OtelSettings(**table)
