"""Stores accepted envelopes; the door for authors of engines; may import `config` and below."""

# isort: off
# fmt: off
from gateway_core.contract.codec import from_json, to_json
from gateway_core.contract.envelopes import (
    Call, Delete, Edit, Envelope, KeyRef, MessageRef, Part, Priority, Receipt, Send,
)
from gateway_core.contract.errors import FormatVersionError, OutboxError
from gateway_core.contract.fast_init import fast_init
from gateway_core.contract.ids import position_of
from gateway_core.deliveries.idempotency import frees_its_key
from gateway_core.outboxes.endings import Ended, Follower
from gateway_core.outboxes.handover import OF_SUSPENSION, Handover, News, suspension_question
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.records import (
    Endings, Entry, Found, Group, GroupState, Member, OutboxForbidden, Overdue, Overview,
    PastAttempt, Recovery, Request, RequestWithdrawn, StepRecord, StepShape, StoredEntry, Stream,
    STREAMS, Suspension, What,
)
from gateway_core.outboxes.spreading import Spreading
from gateway_core.outboxes.stored_bytes import (
    BytesDigest, BytesLost, Content, check_digest, digest_of_bytes, pieces_of,
)
from gateway_core.outboxes.tenure import Shared, Tenure
from gateway_core.plugins.plain import plain
from gateway_core.ratelimits.spent import Standing
from gateway_core.telemetry import (
    Event, OUTBOX_BROKE, OUTBOX_FAILED, OUTBOX_KEY_MISSING, OUTBOX_MIGRATION_WAITS,
    OUTBOX_STANDS_BY, OUTBOX_TAKEN_OVER, OUTBOX_UNREADABLE, OUTBOX_WORKS, REQUEST_REFUSED,
    log_event,
)

__all__ = [
    "OF_SUSPENSION",
    "OUTBOX_BROKE",
    "OUTBOX_FAILED",
    "OUTBOX_KEY_MISSING",
    "OUTBOX_MIGRATION_WAITS",
    "OUTBOX_STANDS_BY",
    "OUTBOX_TAKEN_OVER",
    "OUTBOX_UNREADABLE",
    "OUTBOX_WORKS",
    "REQUEST_REFUSED",
    "STREAMS",
    "BytesDigest",
    "BytesLost",
    "Call",
    "Content",
    "Delete",
    "Edit",
    "Ended",
    "Endings",
    "Entry",
    "Envelope",
    "Event",
    "Follower",
    "FormatVersionError",
    "Found",
    "Group",
    "GroupState",
    "Handover",
    "KeyRef",
    "Member",
    "MessageRef",
    "News",
    "Outbox",
    "OutboxError",
    "OutboxForbidden",
    "Overdue",
    "Overview",
    "Part",
    "PastAttempt",
    "Priority",
    "Receipt",
    "Recovery",
    "Request",
    "RequestWithdrawn",
    "Send",
    "Shared",
    "Spreading",
    "Standing",
    "StepRecord",
    "StepShape",
    "StoredEntry",
    "Stream",
    "Suspension",
    "Tenure",
    "What",
    "check_digest",
    "digest_of_bytes",
    "fast_init",
    "frees_its_key",
    "from_json",
    "log_event",
    "pieces_of",
    "plain",
    "position_of",
    "suspension_question",
    "to_json",
]
