"""Every event by name, and the logger that they go through."""

from __future__ import annotations

from typing import Any

import structlog

log: Any = structlog.get_logger("gateway")

ATTEMPT_FAILED = "gateway.attempt_failed"
ENVELOPE_CRASHED = "gateway.envelope_crashed"
ENVELOPE_ENDED = "gateway.envelope_ended"
ENVELOPE_SHED = "gateway.envelope_shed"
INSTANCE_SUSPENDED = "gateway.instance_suspended"
INSTANCE_RESUMED = "gateway.instance_resumed"
CIRCUIT_OPENED = "gateway.circuit_opened"
CIRCUIT_CLOSED = "gateway.circuit_closed"
HOOK_FAILED = "gateway.hook_failed"
PARTITION_RESTARTED = "gateway.partition_restarted"
PRESSURE_CHANGED = "gateway.pressure_changed"
ROOM_MOVED = "gateway.room_moved"
SESSION_FAILED = "gateway.session_failed"
OUTBOX_IN_MEMORY = "gateway.outbox_in_memory"
OUTBOX_FAILED = "gateway.outbox_failed"
OUTBOX_RECOVERED = "gateway.outbox_recovered"
OUTBOX_UNSERVED = "gateway.outbox_unserved"
UNFINISHED_AT_CLOSE = "gateway.unfinished_at_close"
