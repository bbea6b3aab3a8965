"""Sets up OpenTelemetry's SDK: `async with open_telemetry(OtelSettings(…)) as providers`."""

from gateway_contrib.otel.opening import open_telemetry
from gateway_contrib.otel.settings import OtelSettings, settings_of

__all__ = ["OtelSettings", "open_telemetry", "settings_of"]
