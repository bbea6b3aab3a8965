"""What the parts of one partition share: its settings, its alarm, its lanes, its memory."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from gateway_core.clock import NEVER, SECOND, Clock
from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.hookspecs import Level, Pressure
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Keys
from gateway_core.deliveries.remembered import Scope
from gateway_core.deliveries.revisions import Revisions
from gateway_core.deliveries.targets import Targets
from gateway_core.files.keeper import FileKeeper
from gateway_core.monitoring.observer import Observer
from gateway_core.outboxes.journal import Journal
from gateway_core.scheduling.admission import Admission
from gateway_core.scheduling.pressure import Gauge
from gateway_core.scheduling.scheduler import Scheduler
from gateway_core.telemetry import PRESSURE_CHANGED, log_event
from gateway_core.telemetry.privacy import Privacy


@attrs.define(eq=False, repr=False, slots=False)
class Shard:
    """The state of one partition.

    journal     records for a durable outbox; None: nothing survives the process
    files       gives attempts the bytes of their files
    keys_of     the keys among which one of that scope is: those of the partition that serves the
                room which the caller named
    accepted    envelopes accepted since the gateway opened
    spilled     unfinished envelopes that are in the outbox only
    deliveries  unfinished envelopes in memory, by id
    """

    index: int
    config: GatewayConfig
    clock: Clock
    journal: Journal | None
    observer: Observer
    privacy: Privacy
    files: FileKeeper
    _on_pressure: Callable[[Pressure, Level], None]
    keys_of: Callable[[Scope], Keys]
    accepted: int = attrs.field(default=0, init=False)
    spilled: int = attrs.field(default=0, init=False)
    deliveries: dict[str, Delivery] = attrs.field(factory=dict, init=False)
    _alarm: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _ringing: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        config = self.config
        self.admission = Admission(
            partition=config.partition_bound,
            instance=config.instance_share,
            room=config.room_bound,
        )
        self.gauge = Gauge(config.pressure, config.partition_bound)
        self.keys = Keys(
            most=config.idempotency_keys,
            window=round(config.idempotency_window * SECOND),
            newest=config.history,
            stored=self.journal is not None,
        )
        self.targets = Targets(self.keys_of, Revisions(config.history), self.deliveries)
        self.scheduler = Scheduler(slots=config.attempts_per_partition, rearm=self.rearm)

    def rearm(self, at: int) -> None:
        """Ring at that time at the latest. The alarm is moved, which wakes no task."""
        if not self._ringing and at < NEVER:
            soon = self.clock.start + (at + 1) / SECOND
            self._alarm.deadline = min(self._alarm.deadline, soon)

    def measure(self) -> None:
        """Read the depth; report a changed pressure level."""
        depth, gauge = self.admission.depth, self.gauge
        if gauge.low <= depth < gauge.high:
            return
        previous = gauge.update(depth)
        if previous is not None:
            pressure = self.pressure()
            log_event(
                PRESSURE_CHANGED,
                partition=self.index,
                pressure=pressure.level,
                previous=previous,
                depth=pressure.depth,
                bound=pressure.bound,
            )
            self._on_pressure(pressure, previous)

    def free_slot(self, envelope: Envelope, rank: int) -> None:
        """Give back the slot of an envelope that was not accepted, or no longer needs it."""
        room = envelope.external_room_id
        self.admission.remove(envelope.instance_id, room, rank, self.clock.now())
        self.measure()

    def pressure(self) -> Pressure:
        """How full it is."""
        admission = self.admission
        return Pressure(
            partition=self.index,
            level=self.gauge.level,
            depth=admission.depth,
            bound=admission.bound,
        )
