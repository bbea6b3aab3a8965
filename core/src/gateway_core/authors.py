"""For authors of adapters and policies: hookimpl, and every type in the signatures of hooks."""

# isort: off
# fmt: off
from gateway_core.contract.addresses import Address, Asked, Interaction
from gateway_core.contract.beside.buttons import Button, Rows, places
from gateway_core.contract.beside.polls import Poll
from gateway_core.contract.envelopes import (
    Attempt, Call, Delete, Disposition, Edit, Envelope, Format, Grows, Json, KeyRef,
    Mentions, MessageRef, Mode, OnCancel, OnConflict, OnFileError, OnUnknown, Order, Part,
    PartReceipt, PartRef, Priority, Receipt, Send, Target, digest_of,
)
from gateway_core.contract.errors import (
    AttemptTimeout, ConfigError, GatewayError, HookContractError, Invalid, OutboxError,
    PluginError, Problem, TransportError, UnreadableSource,
)
from gateway_core.contract.files import File, Upload
from gateway_core.contract.hookspecs import (
    Answer, AttemptReport, CONTRACT_VERSION, Delay, Identity, Level, Limit, Mark, MarkKind,
    Pressure, Providers, Session, Sign, Streaming, Traits, Vote, hookimpl,
)
from gateway_core.contract.instances import Instance, Secret
from gateway_core.contract.verdicts import (
    BucketReport, Dispatched, ErrorClass, Reason, Scope, Transform, Verdict,
)
from gateway_core.files.for_adapters import too_much, with_first_part
from gateway_core.outboxes.interface import Outbox
from gateway_core.submission.checks import checked
from gateway_core.telemetry import (
    Event, INSTRUMENTATION_SCOPE, METRICS, SIGNAL, Several, TELEMETRY_DROPPED,
    TELEMETRY_DROPPING, log_event,
)

__all__ = [
    "CONTRACT_VERSION", "INSTRUMENTATION_SCOPE", "METRICS", "SIGNAL", "TELEMETRY_DROPPED",
    "TELEMETRY_DROPPING", "Address", "Answer", "Asked", "Attempt", "AttemptReport",
    "AttemptTimeout", "BucketReport", "Button", "Call", "ConfigError", "Delay", "Delete",
    "Dispatched", "Disposition", "Edit", "Envelope", "ErrorClass", "Event", "File", "Format",
    "GatewayError", "Grows", "HookContractError", "Identity", "Instance", "Interaction",
    "Invalid", "Json", "KeyRef", "Level", "Limit", "Mark", "MarkKind", "Mentions", "MessageRef",
    "Mode", "OnCancel", "OnConflict", "OnFileError", "OnUnknown", "Order", "Outbox",
    "OutboxError", "Part", "PartReceipt", "PartRef", "PluginError", "Poll", "Pressure",
    "Priority", "Problem", "Providers", "Reason", "Receipt", "Rows", "Scope", "Secret", "Send",
    "Session", "Several", "Sign", "Streaming", "Target", "Traits", "Transform",
    "TransportError", "UnreadableSource", "Upload", "Verdict", "Vote", "checked", "digest_of",
    "hookimpl", "log_event", "places", "too_much", "with_first_part",
]
