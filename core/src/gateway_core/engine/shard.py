"""Holds what the components of one partition share: its settings, alarm, lanes and memory."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from gateway_core.clock import NEVER, SECOND, Clock
from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.hookspecs import Level, Pressure
from gateway_core.deliveries.delays import SOON, Delays, Place, delayed_until, in_order, place_of
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Keys
from gateway_core.deliveries.remembered import Scope
from gateway_core.deliveries.revisions import Revisions
from gateway_core.deliveries.targets import Targets
from gateway_core.files.keeper import KeptFiles
from gateway_core.monitoring.observer import Observer
from gateway_core.outboxes.journal import Journal
from gateway_core.plugins.front import ChannelHooks
from gateway_core.scheduling.admission import Admission
from gateway_core.scheduling.pressure import Gauge
from gateway_core.scheduling.scheduler import Scheduler
from gateway_core.telemetry import PRESSURE_CHANGED, log_event
from gateway_core.telemetry.privacy import Privacy


def _nobody(_: Delivery | Place) -> None:
    """Do nothing: the default of `Shard.written_elsewhere` and `Shard.first_is_stored`."""


@attrs.define(eq=False, repr=False, slots=False)
class Shard:
    """The state of one partition.

    journal     records for a durable outbox; None: nothing survives the process
    files       gives attempts the bytes of their files
    accepted    envelopes accepted since the gateway opened
    spilled     unfinished envelopes that are in the outbox only
    handed      envelopes handed over to another process, without news of their end
    deliveries  unfinished envelopes in memory, by id
    written_elsewhere  called with each stream that comes into memory and that another process
                       writes
    first_is_stored    called with each room whose first delayed envelope is not in memory, and may
                       go on
    """

    index: int
    config: GatewayConfig
    clock: Clock
    journal: Journal | None
    observer: Observer
    privacy: Privacy
    files: KeptFiles
    _on_pressure: Callable[[Pressure, Level], None]
    _keys_anywhere: Callable[[Scope], Keys]
    accepted: int = attrs.field(default=0, init=False)
    spilled: int = attrs.field(default=0, init=False)
    handed: int = attrs.field(default=0, init=False)
    deliveries: dict[str, Delivery] = attrs.field(factory=dict, init=False)
    written_elsewhere: Callable[[Delivery], None] = attrs.field(default=_nobody, init=False)
    first_is_stored: Callable[[Place], None] = attrs.field(default=_nobody, init=False)
    _alarm: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _ringing: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        config = self.config
        self.admission = Admission(
            partition=config.partition_bound,
            instance=config.instance_share,
            room=config.room_bound,
        )
        self.delays = Delays()
        self.gauge = Gauge(config.pressure, config.partition_bound)
        self.keys = Keys(
            most=config.idempotency_keys,
            window=round(config.idempotency_window * SECOND),
            newest=config.history,
            stored=self.journal is not None,
        )
        self.targets = Targets(self.keys_of, Revisions(config.history), self.deliveries)
        self.scheduler = Scheduler(slots=config.attempts_per_partition, rearm=self.rearm)

    def keys_of(self, scope: Scope, room: str | None = None) -> Keys:
        """The keys among which this key belongs: of the partition that serves the scope's room.

        room  the room to which the key's envelope goes, if it is known; mostly the scope's room
        """
        return self.keys if scope[1] == room else self._keys_anywhere(scope)

    def rearm(self, at: int) -> None:
        """Ring at `at` at the latest. This moves the alarm, and wakes no task."""
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

    def delay_again(self, delivery: Delivery, hooks: ChannelHooks, wall: float) -> float | None:
        """Ask the policies again about a delivery that is due; returns the same as `delayed`.

        It may be due before its own delay is over, since an earlier delivery of its room has ended.
        Then policies are not asked.
        """
        until = self.delays.own(place_of(delivery.envelope), delivery.id, wall)
        if until is None and "admit" in hooks.served:
            until = hooks.admit(delivery.envelope, self.pressure()).until
        return self.delayed(delivery, until, wall)

    def delayed(self, delivery: Delivery, asked: float | None, wall: float) -> float | None:
        """POSIX time until which a delivery that is due is delayed further; None: it goes on.

        asked  the time until which policies delay it; earlier deliveries of its room may hold it
               for longer
        """
        envelope = delivery.envelope
        own = delayed_until(asked, max(delivery.accepted_at, envelope.not_before or 0.0), wall)
        until = own
        if in_order(envelope):
            before = self.delays.before(place_of(envelope), delivery.id)
            if before is not None:
                until = max(before, wall + SOON, own or 0.0)
        if until is not None:
            self.delay(delivery, until, own or 0.0)
        return until

    def delay(
        self, delivery: Delivery, until: float, own: float, *, by_class: bool = False
    ) -> None:
        """Delay the delivery; later deliveries in its room wait for it.

        If its deadline follows from the ttl of its class, the ttl counts from `until`.

        until     POSIX time
        own       the time until which policies delay the delivery itself; 0: they do not
        by_class  its deadline is that of its class, although its envelope has one: for members of
                  groups
        """
        envelope, clock = delivery.envelope, self.clock
        delivery.delay(until)
        if in_order(envelope):
            self.delays.hold(place_of(envelope), delivery.id, until, own)
        if by_class or (envelope.ttl is None and envelope.deadline is None):
            of_class: float = getattr(self.config.ttl, delivery.priority)
            ttl = max(0.0, until - clock.wall()) + of_class
            delivery.ends_by(max(delivery.deadline, clock.now() + round(ttl * SECOND)))

    def delay_ends(self, delivery: Delivery) -> None:
        """The delivery has entered its lane, or ended: its room no longer waits for it."""
        self.release(place_of(delivery.envelope), delivery.id)

    def release(self, place: Place, envelope_id: str) -> None:
        """Hold the envelope no longer, and let the next one of its room go on."""
        first = self.delays.release(place, envelope_id)
        if first is None:
            return
        delivery = self.deliveries.get(first)
        if delivery is None:
            self.first_is_stored(place)
        elif delivery.parked:
            delivery.delay(self.clock.wall())
            self.scheduler.at(self.clock.now(), delivery)

    def pressure(self) -> Pressure:
        """How full the partition is."""
        admission = self.admission
        return Pressure(
            partition=self.index,
            level=self.gauge.level,
            depth=admission.depth,
            bound=admission.bound,
        )
