"""One outbound gateway for every chat platform: hand it an envelope, get exactly one receipt."""

# isort: off
# fmt: off
from gateway_core.accounts.reloading import Reloaded
from gateway_core.config import (
    FilesSettings, GatewayConfig, OutboxSettings, SourceSettings, Ttl,
)
from gateway_core.config_file import load_config, load_outbox, parse_config
from gateway_core.contract.addresses import Address, Interaction
from gateway_core.contract.beside.buttons import Button
from gateway_core.contract.codec import from_json, to_json
from gateway_core.contract.beside.polls import Poll
from gateway_core.contract.envelopes import (
    Call, Delete, Delivered, Disposition, Edit, Envelope, KeyRef, MessageRef, Part,
    PartReceipt, PartRef, Priority, Receipt, Send, Undelivered,
)
from gateway_core.contract.errors import (
    AmbiguousEvent, ConfigError, DeadlinePassed, DeliveryError, EndingsForgotten,
    FormatVersionError, GatewayClosed, GatewayError, GroupTooLong, HookContractError,
    IdempotencyConflict, InstanceSourceError, InstanceSuspended, Invalid, NotServing, OutboxError,
    Overloaded, PartitionFailed, PluginError, ProbeFailed, Problem, Refused, UnknownEvent,
    UnknownInstance,
)
from gateway_core.contract.files import File
from gateway_core.contract.hookspecs import Identity, Limit, Providers
from gateway_core.contract.instances import Instance, Secret
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict
from gateway_core.deliveries.retries import RetrySettings
from gateway_core.gateway.gateway import Gateway
from gateway_core.gateway.opening import open_gateway
from gateway_core.groups.job import Job, Progress
from gateway_core.groups.verbs import Forecast
from gateway_core.monitoring.statistics import InstanceStatistics, PartitionStatistics, Statistics
from gateway_core.outboxes.endings import Ended
from gateway_core.plugins.loader import ChannelBinding, Filter, installed_channels
from gateway_core.ratelimits.circuit import CircuitSettings
from gateway_core.scheduling.pressure import PressureSettings
from gateway_core.sourcing.asking import InstanceSource
from gateway_core.streams.stream import Stream
from gateway_core.submission.preview import Preview, preview
from gateway_core.submission.status import Status
from gateway_core.submission.tickets import Ticket
from gateway_core.telemetry.privacy import TelemetrySettings

__all__ = [
    "Address", "AmbiguousEvent", "Button", "Call", "ChannelBinding", "CircuitSettings",
    "ConfigError", "DeadlinePassed", "Delete", "Delivered", "DeliveryError", "Disposition", "Edit",
    "Ended", "EndingsForgotten", "Envelope", "ErrorClass", "File", "FilesSettings", "Filter",
    "Forecast", "FormatVersionError", "Gateway", "GatewayClosed", "GatewayConfig", "GatewayError",
    "GroupTooLong", "HookContractError", "IdempotencyConflict", "Identity", "Instance",
    "InstanceSource", "InstanceSourceError", "InstanceStatistics", "InstanceSuspended",
    "Interaction", "Invalid", "Job", "KeyRef", "Limit", "MessageRef", "NotServing", "OutboxError",
    "OutboxSettings", "Overloaded", "Part", "PartReceipt", "PartRef", "PartitionFailed",
    "PartitionStatistics", "PluginError", "Poll", "PressureSettings", "Preview", "Priority",
    "ProbeFailed", "Problem", "Progress", "Providers", "Reason", "Receipt", "Refused", "Reloaded",
    "RetrySettings", "Scope", "Secret", "Send", "SourceSettings", "Statistics", "Status", "Stream",
    "TelemetrySettings", "Ticket", "Ttl", "Undelivered", "UnknownEvent", "UnknownInstance",
    "Verdict", "from_json", "installed_channels", "load_config", "load_outbox", "open_gateway",
    "parse_config", "preview", "to_json",
]
