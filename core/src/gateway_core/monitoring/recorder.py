"""The observer that records what happens to envelopes: spans, histograms, debug logs.

If nobody listens there is no `Recorder`, and the engine reports to an observer that does nothing.
That is decided once, when the gateway opens.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import trio
from opentelemetry import context as contexts
from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.trace import get_tracer_provider, set_span_in_context

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import Receipt
from gateway_core.contract.hookspecs import Answer, Providers
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step
from gateway_core.monitoring.histograms import LoopMonitor, Meters
from gateway_core.monitoring.log_fields import GOOD, about, latency, operation_of, result
from gateway_core.monitoring.observer import NOBODY, Observer
from gateway_core.monitoring.snapshots import Source, hub_of
from gateway_core.monitoring.spans import Spans, Trace
from gateway_core.monitoring.statistics import Statistics
from gateway_core.telemetry import (
    ATTEMPT_ANSWERED,
    ATTEMPT_STARTED,
    ENVELOPE_ACCEPTED,
    ENVELOPE_ENDED,
    ENVELOPE_REFUSED,
    INSTRUMENTATION_SCOPE,
    SCHEMA_VERSION,
    log,
    log_event,
)
from gateway_core.telemetry.privacy import Privacy

_UNCHOSEN = structlog.make_filtering_bound_logger(logging.NOTSET)
"""structlog's logger before anybody sets structlog up: it shows everything, though unasked."""
NOTICED = 1_000_000
"""Nanoseconds from which the time to accept is recorded: nearly all envelopes take less."""


class Recorder(Observer):
    """Records for three listeners (spans, histograms, the log); any of them may be missing.

    verbose  whether the log is set up to show every envelope's life
    """

    listens = True

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
        self._traces: dict[str, Trace] = {}

    # -- at the door

    def submitted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int
    ) -> str:
        """The outbox is asked to store the envelope; `submit` was called at `begun`.

        Returns its trace context as a text; empty: it has none.
        """
        if self._spans is None:
            return ""
        trace = self._spans.submitted(delivery, account, partition, begun)
        self._traces[delivery.id] = trace
        return str(trace)

    def accepted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int, asked: int
    ) -> None:
        """The outbox, asked at `asked`, has stored it; its caller is about to learn that."""
        if self.meters is not None:
            self.meters.appended((self._clock.now() - asked) / SECOND)
        self._accepted(delivery, account, partition, begun)

    def admitted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int
    ) -> None:
        """The envelope is accepted into memory, and its caller is about to learn that."""
        if self._spans is not None:
            trace = self._spans.submitted(delivery, account, partition, begun)
            self._traces[delivery.id] = trace
        self._accepted(delivery, account, partition, begun)

    def _accepted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int
    ) -> None:
        if self.meters is not None:
            took = self._clock.now() - begun
            if took >= NOTICED:
                self.meters.accepted(account, partition, delivery.pressure, took / SECOND)
        if self._verbose:
            log_event(
                ENVELOPE_ACCEPTED,
                **about(delivery, partition),
                room=self._privacy.room_of(delivery.envelope),
                operation=operation_of(delivery),
                **{"class": delivery.priority},
            )

    def refused(self, instance_id: str, error: str) -> None:
        """An envelope was refused before anything was reported of it; the caller has the error."""
        if self._verbose:
            log_event(ENVELOPE_REFUSED, instance=instance_id, error=error)

    def taken_back(self, delivery: Delivery, error: BaseException) -> None:
        """The envelope was not accepted after all."""
        trace = self._traces.pop(delivery.id, None)
        if self._spans is not None and trace is not None:
            self._spans.refused(trace, error)

    def resumed(self, delivery: Delivery, account: InstanceState, partition: int) -> None:
        """The envelope is in memory again: a previous run accepted it, or it was spilled."""
        if self._spans is not None and delivery.traceparent and delivery.id not in self._traces:
            self._traces[delivery.id] = self._spans.resumed(delivery, account, partition)

    # -- attempts

    def attempting(
        self,
        delivery: Delivery,
        step: Step,
        account: InstanceState,
        partition: int,
        now: int,
        performing: Awaitable[Answer],
    ) -> Awaitable[Answer]:
        """An attempt begins; its span is current while the attempt runs, for the code it calls."""
        self._report_waits(delivery, account, partition)
        trace = self._traces.get(delivery.id)
        if trace is not None and trace.recording and self._spans is not None:
            self._spans.began(trace, delivery, step, account, partition, now)
        if self._verbose:
            log_event(ATTEMPT_STARTED, **_tried(delivery, step, partition))
        return performing if trace is None else _within(trace, performing)

    def attempted(
        self,
        delivery: Delivery,
        step: Step,
        account: InstanceState,
        partition: int,
        verdict: Verdict | None,
        begun: int,
        now: int,
    ) -> None:
        """The attempt that began at `begun` has ended; no verdict: the platform said yes."""
        if self.meters is not None:
            under = partition, delivery.pressure
            self.meters.attempted(account, *under, step.kind, verdict, (now - begun) / SECOND)
        trace = self._traces.get(delivery.id)
        if trace is not None and trace.attempt is not None and self._spans is not None:
            self._spans.attempted(trace, verdict, now)
        if self._verbose and verdict is None:
            seconds = round((now - begun) / SECOND, 3)
            log_event(ATTEMPT_ANSWERED, **_tried(delivery, step, partition), seconds=seconds)

    def transformed(self, delivery: Delivery, how: str) -> None:
        """A refused part was changed."""
        trace = self._traces.get(delivery.id)
        if self._spans is not None and trace is not None and trace.recording:
            self._spans.transformed(trace, how)

    # -- the end

    def ended(
        self, delivery: Delivery, receipt: Receipt, account: InstanceState, partition: int
    ) -> None:
        """The envelope has its disposition."""
        if delivery.cause != "attempt":
            delivery.wait_for("", self._clock.now())
            self._report_waits(delivery, account, partition)
        if self.meters is not None:
            under = partition, delivery.pressure
            self.meters.ended(account, *under, receipt, latency(delivery, receipt))
        trace = self._traces.pop(delivery.id, None)
        if trace is None and delivery.traceparent and self._spans is not None:  # it was spilled
            trace = self._spans.resumed(delivery, account, partition)
        if trace is not None and trace.recording and self._spans is not None:
            self._spans.ended(trace, receipt)
        if self._verbose and receipt.disposition in GOOD:
            log_event(ENVELOPE_ENDED, **about(delivery, partition), **result(delivery, receipt))

    def stored(
        self, delivery: Delivery, account: InstanceState | None = None, partition: int = 0
    ) -> None:
        """Only a durable outbox has the envelope now; its trace goes on when it is back.

        If it was in memory, for an `account`, its waits there are reported.
        """
        delivery.wait_for("outbox", self._clock.now())
        if account is not None:
            self._report_waits(delivery, account, partition)
        trace = self._traces.pop(delivery.id, None)
        if trace is None or self._spans is None:
            return
        delivery.trace(str(trace))
        if trace.recording:
            self._spans.stored(trace)

    def _report_waits(self, delivery: Delivery, account: InstanceState, partition: int) -> None:
        for cause, nanoseconds in delivery.take_waits().items():
            seconds = round(nanoseconds / SECOND, 6)
            if self.meters is not None:
                self.meters.waited(account, partition, cause, seconds)
            trace = self._traces.get(delivery.id)
            if trace is not None and trace.recording and self._spans is not None:
                self._spans.waited(trace, cause, seconds)


async def _within(trace: Trace, performing: Awaitable[Answer]) -> Answer:
    """Make the attempt with its span current."""
    context = trace.context
    if trace.attempt is not None:
        context = set_span_in_context(trace.attempt, context)
    token = contexts.attach(context)
    try:
        return await performing
    finally:
        contexts.detach(token)


def _tried(delivery: Delivery, step: Step, partition: int) -> dict[str, Any]:
    operation = delivery.envelope.operation if step.kind == "call" else step.kind
    return {**about(delivery, partition), "operation": operation, "attempt": step.number}


def open_recorder(
    clock: Clock, privacy: Privacy, providers: Providers, meters: MeterProvider | None
) -> Observer:
    """The observer to which a gateway that opens now reports."""
    tracers = get_tracer_provider() if providers.tracers is None else providers.tracers
    spans = None
    if _works(tracers):
        spans = Spans(
            tracers.get_tracer(INSTRUMENTATION_SCOPE, str(SCHEMA_VERSION)), clock, privacy
        )
    measuring = Meters(meters, several=providers.several) if meters is not None else None
    verbose = _shows_debug()
    if spans is None and measuring is None and not verbose:
        return NOBODY
    return Recorder(clock, privacy, spans=spans, meters=measuring, verbose=verbose)


def working_meters(providers: Providers) -> MeterProvider | None:
    """The provider given, else the process's; None: it does nothing."""
    meters = get_meter_provider() if providers.meters is None else providers.meters
    return meters if _works(meters) else None


def _works(provider: object) -> bool:
    """Whether the provider is a real one, and not the API's own stand-in."""
    own = ("opentelemetry.trace", "opentelemetry.metrics")
    return not type(provider).__module__.startswith(own)


def _shows_debug() -> bool:
    """Whether somebody chose a level for structlog that lets debug events pass."""
    chosen = structlog.get_config()["wrapper_class"]
    shows = getattr(log.bind(), "is_enabled_for", None)
    return chosen is not _UNCHOSEN and (shows is None or shows(logging.DEBUG))


@contextmanager
def observed(
    provider: MeterProvider | None, observer: Observer, statistics: Callable[[], Statistics]
) -> Iterator[None]:
    """For the block, the provider's observed instruments read these snapshots."""
    meters = observer.meters if isinstance(observer, Recorder) else None
    if provider is None or meters is None:
        yield
        return
    source, hub, loop = Source(statistics, meters.hand_on), hub_of(provider), LoopMonitor(meters)
    trio.lowlevel.add_instrument(loop)
    hub.add(source)
    try:
        yield
    finally:
        hub.remove(source)
        trio.lowlevel.remove_instrument(loop)
