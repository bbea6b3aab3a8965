"""Declares every metric: its name, unit, kind, attributes and meaning. Sans-I/O.

The number of label sets is bounded: labels are partitions, instances, and core's own words. None of
them is a room id. Their values are read from snapshots by `monitoring.snapshots`, or collected in
`monitoring.histograms`.
"""

from __future__ import annotations

from gateway_core.telemetry.attributes import (
    ACCEPTED_UNDER,
    CAUSE,
    CHANNEL,
    DEGRADATION,
    DISPOSITION,
    ERROR_CLASS,
    ERROR_TYPE,
    FORESEEN,
    GROUP_STATE,
    HOOK,
    INSTANCE,
    OPERATION,
    PARTITION,
    PLUGIN,
    SIGN,
    SIGN_OUTCOME,
    SIGNAL,
)
from gateway_core.telemetry.kinds import Metric

QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Bounds in seconds of operations that should take milliseconds."""
ACCEPT = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Bounds of accepting: 50 ms is the aim, and a caller may wait long for a slot."""
REQUEST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 90.0)
"""Bounds of requests: from a near server to the default `attempt_timeout`."""
WAIT = (0.05, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86_400.0)
"""Bounds of waiting: the default times to live are among them."""
STALL = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_BY_PARTITION = (PARTITION,)
_BY_INSTANCE = (CHANNEL, INSTANCE)
_BY_DELIVERY = (*_BY_INSTANCE, PARTITION, ACCEPTED_UNDER)

DEPTH = Metric(
    "gateway.partition.depth", "{envelope}", "gauge", _BY_PARTITION,
    "unfinished envelopes with a slot in memory",
)  # fmt: skip
BOUND = Metric(
    "gateway.partition.bound", "{envelope}", "gauge", _BY_PARTITION, "slots in memory"
)  # fmt: skip
OCCUPANCY = Metric(
    "gateway.partition.occupancy",
    "1",
    "gauge",
    _BY_PARTITION,
    "depth over bound; above 1 where several classes fill it",
)
UNFINISHED = Metric(
    "gateway.partition.unfinished", "{envelope}", "gauge", _BY_PARTITION,
    "envelopes accepted and not ended, including spilled ones; of a previous run, those that "
    "are loaded",
)  # fmt: skip
IN_FLIGHT = Metric(
    "gateway.partition.in_flight", "{attempt}", "gauge", _BY_PARTITION, "attempts under way"
)
OLDEST_WAIT = Metric(
    "gateway.partition.oldest_wait", "s", "gauge", _BY_PARTITION,
    "since the oldest unfinished envelope in memory was accepted, or became due",
)  # fmt: skip
PRESSURE = Metric(
    "gateway.partition.pressure", "1", "gauge", _BY_PARTITION,
    "the level: 0 nominal, 1 elevated, 2 high, 3 saturated",
)  # fmt: skip
CALLERS_WAITING = Metric(
    "gateway.partition.callers_waiting", "{caller}", "gauge", _BY_PARTITION,
    "callers of `submit` that wait for a slot",
)  # fmt: skip
SHARE = Metric(
    "gateway.partition.share", "1", "gauge", _BY_PARTITION,
    "this partition's share of all accepted envelopes",
)  # fmt: skip
RESTARTS = Metric(
    "gateway.partition.restarts", "{restart}", "counter", _BY_PARTITION,
    "times that the partition's task died",
)  # fmt: skip
SKEW = Metric(
    "gateway.skew", "1", "gauge", (),
    "the busiest partition's share over the even share; 1 is perfect",
)  # fmt: skip
ACCEPTED = Metric(
    "gateway.envelopes.accepted", "{envelope}", "counter", _BY_INSTANCE, "envelopes accepted"
)
REFUSED = Metric(
    "gateway.envelopes.refused", "{envelope}", "counter", (*_BY_INSTANCE, ERROR_TYPE),
    "envelopes refused, by the exception; without an instance if it is unknown",
)  # fmt: skip
ENDED = Metric(
    "gateway.envelopes.ended", "{envelope}", "counter", (*_BY_INSTANCE, DISPOSITION),
    "envelopes ended; superseded and shed ones are dispositions",
)  # fmt: skip
RECOVERED_COUNT = Metric(
    "gateway.envelopes.recovered", "{envelope}", "counter", _BY_INSTANCE,
    "envelopes that a previous run accepted and this one took over",
)  # fmt: skip
DUPLICATES = Metric(
    "gateway.envelopes.possible_duplicates", "{envelope}", "counter", _BY_INSTANCE,
    "ended envelopes that may have made a copy; changes of such messages do not count",
)  # fmt: skip
DEGRADED = Metric(
    "gateway.envelopes.degraded", "{envelope}", "counter", (*_BY_INSTANCE, DEGRADATION),
    "envelopes delivered without a part of their look",
)  # fmt: skip
ATTEMPTS_COUNT = Metric(
    "gateway.attempts", "{attempt}", "counter", (*_BY_DELIVERY, ERROR_CLASS, ERROR_TYPE),
    "attempts ended, by class and reason",
)  # fmt: skip
RATE_LIMITED = Metric(
    "gateway.rate_limited", "{attempt}", "counter", (*_BY_INSTANCE, FORESEEN),
    "attempts that the platform refused for a limit (429s)",
)  # fmt: skip
SUSPENDED = Metric(
    "gateway.instance.suspended",
    "1",
    "gauge",
    _BY_INSTANCE,
    "1 while the instance is suspended; of instances from a source, how many are",
)
CIRCUIT = Metric(
    "gateway.instance.circuit_open", "1", "gauge", _BY_INSTANCE,
    "1 while only probes are sent; of instances from a source, for how many",
)  # fmt: skip
INSTANCE_UNFINISHED = Metric(
    "gateway.instance.unfinished", "{envelope}", "gauge", _BY_INSTANCE,
    "unfinished envelopes of the instance with a slot in memory",
)  # fmt: skip
INSTANCE_IN_FLIGHT = Metric(
    "gateway.instance.in_flight", "{attempt}", "gauge", _BY_INSTANCE, "attempts under way"
)
WAITING = Metric(
    "gateway.instance.waiting", "{envelope}", "gauge", (*_BY_INSTANCE, CAUSE),
    "unfinished envelopes in memory by what they wait for now; `queue`: for earlier ones of their "
    "room",
)  # fmt: skip
GROUPS_OPEN = Metric(
    "gateway.groups.open", "{group}", "gauge", (*_BY_INSTANCE, GROUP_STATE),
    "groups that have not ended, and whose members this process sends",
)  # fmt: skip
MEMBERS_WAITING = Metric(
    "gateway.groups.waiting", "{member}", "gauge", _BY_INSTANCE,
    "members of groups whose turn has not come; they are not envelopes yet",
)  # fmt: skip
MEMBERS_FED = Metric(
    "gateway.groups.fed", "{member}", "counter", _BY_INSTANCE,
    "members of groups whose turn came, so that they became envelopes",
)  # fmt: skip
MEMBERS_ENDED = Metric(
    "gateway.groups.ended", "{member}", "counter", (*_BY_INSTANCE, DISPOSITION),
    "members of groups ended, including those of previous runs and those whose turn never "
    "came",
)  # fmt: skip
SIGNS = Metric(
    "gateway.signs", "{sign}", "counter", (*_BY_INSTANCE, SIGN, SIGN_OUTCOME),
    "signs of typing, and acknowledgements of interactions",
)  # fmt: skip
OUTBOX_UNFINISHED = Metric(
    "gateway.outbox.unfinished", "{envelope}", "gauge", (),
    "unfinished envelopes in a durable outbox",
)  # fmt: skip
OUTBOX_UNSERVED_COUNT = Metric(
    "gateway.outbox.unserved", "{envelope}", "gauge", (),
    "unfinished envelopes in a durable outbox whose instance is not configured",
)  # fmt: skip
OUTBOX_OWNED = Metric(
    "gateway.outbox.owned", "1", "gauge", (),
    "1 while this process owns an outbox that several processes share",
)  # fmt: skip
OUTBOX_LEASE = Metric(
    "gateway.outbox.lease", "s", "gauge", (),
    "seconds for which this process's lease still runs; 0: it has no lease",
)  # fmt: skip
OUTBOX_ACCOUNTS = Metric(
    "gateway.outbox.accounts", "{account}", "gauge", (),
    "accounts that this process owns, where they are spread over processes",
)  # fmt: skip
OUTBOX_TAKEOVERS = Metric(
    "gateway.outbox.takeovers", "{takeover}", "counter", (),
    "times that this process became the owner of the outbox, or of one of its spread "
    "accounts, including at its start",
)  # fmt: skip
OUTBOX_HANDOVERS = Metric(
    "gateway.outbox.handovers", "{account}", "counter", (),
    "spread accounts that this process has given up",
)  # fmt: skip
OUTBOX_LOST = Metric(
    "gateway.outbox.lost", "{account}", "counter", (),
    "accounts that turned out to belong to another process as this one wrote for them",
)  # fmt: skip
OUTBOX_FENCED = Metric(
    "gateway.outbox.fenced", "{transaction}", "counter", (),
    "transactions refused because another process owned what they change",
)  # fmt: skip
OUTBOX_TAKEN = Metric(
    "gateway.outbox.taken", "{envelope}", "counter", (),
    "envelopes and questions taken over from processes that handed them over",
)  # fmt: skip
OUTBOX_WAITED = Metric(
    "gateway.outbox.waited", "s", "counter", (),
    "total time that envelopes and questions waited between their handover and being taken; "
    "divided by `gateway.outbox.taken`, the mean",
)  # fmt: skip
HOOK_ERRORS = Metric(
    "gateway.hook.errors", "{error}", "counter", (CHANNEL, PLUGIN, HOOK),
    "errors and wrong answers of hookimpls, which went no further",
)  # fmt: skip
HOOK_SLOW_COUNT = Metric(
    "gateway.hook.slow", "{call}", "counter", (CHANNEL, PLUGIN, HOOK),
    "times that a hookimpl, or a step of an async one, blocked the event loop for 0.1 s or "
    "more, not counting garbage collection",
)  # fmt: skip
TELEMETRY_DROPPED = Metric(
    "gateway.telemetry.dropped", "{item}", "counter", (SIGNAL,),
    "spans, and exports of metrics, that the exporter could not take; by `gateway_contrib.otel`",
)  # fmt: skip
ACCEPT_DURATION = Metric(
    "gateway.accept.duration", "s", "histogram", _BY_DELIVERY,
    "time to accept where it was 1 ms or more: `submit` from the call to the ticket, "
    "including the wait for a slot", ACCEPT,
)  # fmt: skip
APPEND_DURATION = Metric(
    "gateway.outbox.append.duration", "s", "histogram", (),
    "time until the durable outbox has stored an envelope", QUICK,
)  # fmt: skip
WAIT_DURATION = Metric(
    "gateway.wait.duration", "s", "histogram", (*_BY_INSTANCE, PARTITION, CAUSE),
    "how long an envelope waited for one cause until its next attempt or its end; waits under "
    "10 ms count with the longest", WAIT,
)  # fmt: skip
ATTEMPT_DURATION = Metric(
    "messaging.client.operation.duration", "s", "histogram",
    (*_BY_DELIVERY, OPERATION, ERROR_TYPE),
    "time of one attempt, by OpenTelemetry's convention for messaging", REQUEST,
)  # fmt: skip
ENVELOPE_DURATION = Metric(
    "gateway.envelope.duration", "s", "histogram", (*_BY_DELIVERY, DISPOSITION),
    "total latency: from acceptance, or from the due time, to the disposition", WAIT,
)  # fmt: skip
STALL_DURATION = Metric(
    "gateway.loop.stall.duration", "s", "histogram", (),
    "times of 50 ms or more in which the event loop was blocked", STALL,
)  # fmt: skip

METRICS = tuple(thing for thing in list(vars().values()) if isinstance(thing, Metric))
