"""What the parts of one partition share: its queue, its lanes, its memory, and whom they tell."""

from __future__ import annotations

from collections.abc import Callable

from gateway_core.clock import SECOND, Clock
from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.hookspecs import Level, Pressure
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Keys
from gateway_core.deliveries.revisions import Revisions
from gateway_core.deliveries.targets import Targets
from gateway_core.monitoring.observer import Observer
from gateway_core.outboxes.journal import Journal
from gateway_core.scheduling.admission import Admission
from gateway_core.scheduling.pressure import Gauge
from gateway_core.scheduling.scheduler import Scheduler
from gateway_core.telemetry import PRESSURE_CHANGED, log_event
from gateway_core.telemetry.privacy import Privacy


class Shard:
    """The state of one partition.

    journal     tells a durable outbox what happens; None: it outlives nothing
    observer    hears of every envelope's life
    deliveries  what is unfinished in memory, by envelope id
    accepted    envelopes accepted since the gateway opened
    spilled     of those unfinished, the ones in the outbox only
    """

    def __init__(
        self,
        index: int,
        config: GatewayConfig,
        *,
        clock: Clock,
        journal: Journal | None,
        observer: Observer,
        privacy: Privacy,
        rearm: Callable[[int], None],
        on_pressure: Callable[[Pressure, Level], None],
    ) -> None:
        self.index = index
        self.config = config
        self.clock = clock
        self.journal = journal
        self.observer = observer
        self.privacy = privacy
        self._on_pressure = on_pressure
        self.accepted = 0
        self.spilled = 0
        self.deliveries: dict[str, Delivery] = {}
        self.admission = Admission(
            partition=config.partition_bound,
            instance=config.instance_share,
            room=config.room_bound,
        )
        self.gauge = Gauge(config.pressure, config.partition_bound)
        self.keys = Keys(
            most=config.idempotency_keys, window=round(config.idempotency_window * SECOND)
        )
        self.targets = Targets(self.keys, Revisions(config.history), self.deliveries)
        self.scheduler = Scheduler(slots=config.attempts_per_partition, rearm=rearm)

    def measure(self) -> None:
        """Take the depth in; report a changed pressure level."""
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

    def free_slot(self, envelope: Envelope) -> None:
        """The slot that was taken for an envelope is free: it was not accepted, or has no use."""
        self.admission.remove(envelope.instance_id, envelope.external_room_id)
        self.measure()

    def pressure(self) -> Pressure:
        """How full it is."""
        return Pressure(
            partition=self.index,
            level=self.gauge.level,
            depth=self.admission.depth,
            bound=self.admission.bound,
        )
