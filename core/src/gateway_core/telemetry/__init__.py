"""Names every event, span, metric and attribute, sans-I/O; may import `clock` and below."""

from gateway_core.telemetry.attributes import *  # noqa: F403 - names, all of them
from gateway_core.telemetry.events import *  # noqa: F403 - likewise
from gateway_core.telemetry.kinds import *  # noqa: F403 - likewise
from gateway_core.telemetry.metrics import *  # noqa: F403 - likewise
from gateway_core.telemetry.spans import *  # noqa: F403 - likewise

SCHEMA_VERSION = 1
"""Goes up when a name, a unit, an attribute or a meaning changes, but not with additions."""

INSTRUMENTATION_SCOPE = "gateway_core"
"""The instrumentation scope of every span and metric."""
