"""What the engine tells of every envelope where anybody listens: spans, histograms, debug logs.

Where nobody does there is no `Watch`, and each place that would tell it something costs one
comparison. That is decided once, when the gateway opens.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
import trio
from opentelemetry import context as contexts
from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.trace import get_tracer_provider, set_span_in_context

from gateway_core.clock import Clock
from gateway_core.contract.envelopes import Receipt
from gateway_core.contract.hookspecs import Answer, Providers
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.waits import NONE, told
from gateway_core.monitoring.histograms import LoopMonitor, Meters
from gateway_core.monitoring.snapshots import Source, hub_of
from gateway_core.monitoring.spans import GOOD, Spans, operation_of
from gateway_core.monitoring.statistics import Statistics
from gateway_core.ratelimits.bucket import SECOND
from gateway_core.telemetry import (
    ATTEMPT_ANSWERED,
    ATTEMPT_STARTED,
    ENVELOPE_ACCEPTED,
    ENVELOPE_ENDED,
    ENVELOPE_REFUSED,
    SCHEMA_VERSION,
    SCOPE,
    log,
    log_event,
)
from gateway_core.telemetry.privacy import Privacy

if TYPE_CHECKING:
    from gateway_core.accounts.instance_state import InstanceState
    from gateway_core.engine.running_attempt import RunningAttempt

_UNCHOSEN = structlog.make_filtering_bound_logger(logging.NOTSET)
"""What structlog has before anybody sets it up: it shows everything, to nobody's wish."""
NOTICED = 1_000_000
"""Nanoseconds from which the time to accept is recorded: nearly all are accepted at once."""


class Recorder:
    """Where what happens to envelopes is told; any of its three listeners may be missing.

    verbose  the log is set up to show every envelope's life
    """

    def __init__(
        self,
        clock: Clock,
        privacy: Privacy,
        *,
        spans: Spans | None,
        meters: Meters | None,
        verbose: bool,
    ) -> None:
        self._clock = clock
        self._privacy = privacy
        self._spans = spans
        self.meters = meters
        self._verbose = verbose

    # -- at the door

    def submitted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int
    ) -> None:
        """It is about to be accepted, `submit` having been called at `begun`."""
        delivery.observed = True
        if self._spans is not None:
            delivery.trace = self._spans.submitted(delivery, account, partition, begun)

    def appended(self, begun: int) -> None:
        """The outbox has it."""
        if self.meters is not None:
            self.meters.appended((self._clock.now() - begun) / SECOND)

    def accepted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int
    ) -> None:
        """Its caller is about to hear that it is accepted."""
        if self.meters is not None:
            took = self._clock.now() - begun
            if took >= NOTICED:
                self.meters.accepted(account, took / SECOND)
        if self._verbose:
            envelope = delivery.envelope
            log_event(
                ENVELOPE_ACCEPTED,
                **about(delivery, partition),
                room=self._privacy.room(envelope.instance_id, envelope.external_room_id),
                operation=operation_of(delivery),
                **{"class": delivery.priority},
            )

    def refused(self, instance_id: str, error: str) -> None:
        """It was refused before anything was known of it; the caller has the exception."""
        if self._verbose:
            log_event(ENVELOPE_REFUSED, instance=instance_id, error=error)

    def taken_back(self, delivery: Delivery, error: BaseException) -> None:
        """It was not accepted after all."""
        if self._spans is not None and delivery.trace is not None:
            self._spans.refused(delivery.trace, error)

    def resumed(self, delivery: Delivery, account: InstanceState, partition: int) -> None:
        """An earlier life accepted it; or this one, and it was outside meanwhile."""
        delivery.observed = True
        if self._spans is not None and delivery.trace is None and delivery.parent:
            delivery.trace = self._spans.resumed(delivery, account, partition, delivery.parent)

    # -- attempts

    def began(self, running: RunningAttempt, partition: int, now: int) -> None:
        """An attempt begins."""
        delivery, account = running.delivery, running.lane.room.account
        delivery.wait_for("attempt", now)
        if delivery.waits:
            self._waited(delivery, account)
        trace = delivery.trace
        if trace is not None and trace.recording and self._spans is not None:
            self._spans.began(trace, delivery, running.step, account, partition, now)
        if self._verbose:
            log_event(ATTEMPT_STARTED, **_tried(running, partition))

    async def around(self, delivery: Delivery, attempt: Awaitable[Answer]) -> Answer:
        """Make the attempt with its span current, so that what it asks of others is told them."""
        trace = delivery.trace
        if trace is None:
            return await attempt
        context = trace.context
        if trace.attempt is not None:
            context = set_span_in_context(trace.attempt, context)
        token = contexts.attach(context)
        try:
            return await attempt
        finally:
            contexts.detach(token)

    def attempted(
        self, running: RunningAttempt, partition: int, verdict: Verdict | None, now: int
    ) -> None:
        """An attempt ended; None: the platform said yes."""
        delivery, begun = running.delivery, running.lane.begun
        if self.meters is not None:
            account = running.lane.room.account
            self.meters.attempted(account, running.step.kind, verdict, (now - begun) / SECOND)
        trace = delivery.trace
        if trace is not None and trace.attempt is not None and self._spans is not None:
            self._spans.attempted(trace, verdict, now)
        if self._verbose and verdict is None:
            seconds = round((now - begun) / SECOND, 3)
            log_event(ATTEMPT_ANSWERED, **_tried(running, partition), seconds=seconds)

    def transformed(self, delivery: Delivery, how: str) -> None:
        """A refused part was changed."""
        if self._spans is not None and delivery.trace is not None and delivery.trace.recording:
            self._spans.transformed(delivery.trace, how)

    # -- the end

    def ended(
        self, delivery: Delivery, receipt: Receipt, account: InstanceState, partition: int
    ) -> None:
        """It has its disposition."""
        if delivery.cause != "attempt":
            delivery.wait_for("", self._clock.now())
            if delivery.waits:
                self._waited(delivery, account)
        if self.meters is not None:
            self.meters.ended(account, receipt, latency(delivery, receipt))
        trace = delivery.trace
        if trace is None and delivery.parent and self._spans is not None:  # it ended outside memory
            trace = self._spans.resumed(delivery, account, partition, delivery.parent)
        if trace is not None and trace.recording and self._spans is not None:
            self._spans.ended(trace, receipt)
        if self._verbose and receipt.disposition in GOOD:
            log_event(ENVELOPE_ENDED, **about(delivery, partition), **result(delivery, receipt))

    def kept(self, delivery: Delivery, account: InstanceState | None = None) -> None:
        """A durable outbox keeps it: its trace goes on when it is back.

        Where it was in memory, of an `account`, what it waited for there is told.
        """
        delivery.wait_for("outbox", self._clock.now())
        if account is not None and delivery.waits:
            self._waited(delivery, account)
        trace, delivery.trace = delivery.trace, None
        if trace is None or self._spans is None:
            return
        delivery.parent = str(trace)
        if trace.recording:
            self._spans.kept(trace)

    def _waited(self, delivery: Delivery, account: InstanceState) -> None:
        waits, delivery.waits = told(delivery.waits), NONE
        for cause, nanoseconds in waits.items():
            seconds = round(nanoseconds / SECOND, 6)
            if self.meters is not None:
                self.meters.waited(account, cause, seconds)
            trace = delivery.trace
            if trace is not None and trace.recording and self._spans is not None:
                self._spans.waited(trace, cause, seconds)


def latency(delivery: Delivery, receipt: Receipt) -> float:
    """Seconds from acceptance, or from when it was due, to the end; over restarts as well."""
    since, due = receipt.accepted_at, delivery.envelope.not_before
    if due is not None and due > since:
        since = due
    seconds = receipt.ended_at - since
    return seconds if seconds > 0 else 0.0


def about(delivery: Delivery, partition: int) -> dict[str, Any]:
    """What every event of an envelope's life is bound to."""
    return {
        "envelope": delivery.id,
        "instance": delivery.envelope.instance_id,
        "partition": partition,
    }


def result(delivery: Delivery, receipt: Receipt) -> dict[str, Any]:
    """How it ended, for the log."""
    return {
        "disposition": str(receipt.disposition),
        "attempts": receipt.attempts,
        "seconds": round(latency(delivery, receipt), 3),
    }


def words(privacy: Privacy, delivery: Delivery, verdict: Verdict) -> str:
    """The platform's own words, for the log: of rooms and texts what the settings allow."""
    envelope, lane, step = delivery.envelope, delivery.lane, delivery.step
    rooms = [envelope.external_room_id, *([lane.room.address] if lane is not None else [])]
    text = getattr(envelope, "text", "")
    if step is not None and step.part is not None:
        text = text[slice(*step.part.span)]
    return privacy.words(verdict.raw, envelope.instance_id, tuple(rooms), text)


def _tried(running: RunningAttempt, partition: int) -> dict[str, Any]:
    number = running.step.number
    bound = about(running.delivery, partition)
    return {**bound, "operation": running.attempt.operation, "attempt": number}


def open_recorder(
    clock: Clock, privacy: Privacy, providers: Providers, meters: MeterProvider | None
) -> Recorder | None:
    """The watch of a gateway that opens now; None: nobody listens."""
    tracers = get_tracer_provider() if providers.tracers is None else providers.tracers
    spans = None
    if _works(tracers):
        spans = Spans(tracers.get_tracer(SCOPE, str(SCHEMA_VERSION)), clock, privacy)
    measuring = Meters(meters, several=providers.several) if meters is not None else None
    verbose = _shows_debug()
    if spans is None and measuring is None and not verbose:
        return None
    return Recorder(clock, privacy, spans=spans, meters=measuring, verbose=verbose)


def working_meters(providers: Providers) -> MeterProvider | None:
    """The provider given, else the process's; None: there is none that does anything."""
    meters = get_meter_provider() if providers.meters is None else providers.meters
    return meters if _works(meters) else None


def _works(provider: object) -> bool:
    """Whether it is anybody's but the API's own stand-in."""
    own = ("opentelemetry.trace", "opentelemetry.metrics")
    return not type(provider).__module__.startswith(own)


def _shows_debug() -> bool:
    """Whether somebody chose a level for structlog that lets debug events pass."""
    chosen = structlog.get_config()["wrapper_class"]
    shows = getattr(log.bind(), "is_enabled_for", None)
    return chosen is not _UNCHOSEN and (shows is None or shows(logging.DEBUG))


@contextmanager
def observed(
    provider: MeterProvider | None, watch: Recorder | None, statistics: Callable[[], Statistics]
) -> Iterator[None]:
    """For the block, the provider's observed instruments read these snapshots."""
    if provider is None or watch is None or watch.meters is None:
        yield
        return
    source, hub, loop = (
        Source(statistics, watch.meters.hand_on),
        hub_of(provider),
        LoopMonitor(watch.meters),
    )
    trio.lowlevel.add_instrument(loop)
    hub.add(source)
    try:
        yield
    finally:
        hub.remove(source)
        trio.lowlevel.remove_instrument(loop)
