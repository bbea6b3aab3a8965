"""Takes the table `telemetry.export` of `gateway.toml`, where the SDK is installed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from gateway_core.authors import ConfigError, Problem, Providers, hookimpl

GATEWAY_CONTRACT = 1


@hookimpl
def open_telemetry(settings: Mapping[str, Any]) -> AbstractAsyncContextManager[Providers]:
    """OpenTelemetry's SDK as the table says.

    Raises `ConfigError` for what is wrong in it, and where the extra is not installed.
    """
    try:
        from gateway_contrib import otel  # noqa: PLC0415 - its libraries are an extra
    except ModuleNotFoundError as error:
        text = f"{error.name} is missing: install 'gateway-contrib[otel]'"
        raise ConfigError([Problem("telemetry.export", text)]) from None
    return otel.open_telemetry(otel.settings_of(settings))
