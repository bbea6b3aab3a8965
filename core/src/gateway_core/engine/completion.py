"""Completes each envelope exactly once: counts, records and reports its end. Never waits."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import CHANGES, Disposition, Receipt
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import CANCELLED, SHED, Ending, expired, given_up
from gateway_core.deliveries.made import receipts
from gateway_core.engine.shard import Shard
from gateway_core.monitoring.log_fields import GOOD, about, result, words
from gateway_core.plugins.front import ChannelHooks
from gateway_core.ratelimits import interims
from gateway_core.scheduling.admission import Sheddable
from gateway_core.scheduling.classes import RANKS
from gateway_core.scheduling.rooms import Room, lane_of
from gateway_core.telemetry import ENVELOPE_FAILED, log_event


class Completion:
    """Ends the envelopes of one partition.

    history       the newest receipts, by envelope id
    unsure        ids of envelopes that ended before another process took over their accounts: the
                  outbox may not have these endings
    sheddable     bulk envelopes that may be ended in favour of higher classes
    on_empty      called whenever nothing unfinished is left in memory
    on_end        called with each delivery that ended, if the outbox is durable
    """

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._clock = shard.clock
        self._scheduler = shard.scheduler
        self._deliveries = shard.deliveries
        self._longest_history = shard.config.history
        self._may_shed = shard.config.shed
        self.dispositions: defaultdict[Disposition, int] = defaultdict(int)
        self.history: OrderedDict[str, Receipt] = OrderedDict()
        self.unsure: dict[str, None] = {}
        self.sheddable = Sheddable()
        self.on_empty: Callable[[], None] = lambda: None
        self.on_end: Callable[[Delivery, int], None] = lambda _delivery, _now: None
        self.on_receipt: Callable[[Receipt], None] | None = None

    # -- one envelope

    def complete(self, delivery: Delivery, ending: Ending, now: int) -> Receipt:
        """End an envelope; the caller lets its lane go on."""
        shard, envelope = self._shard, delivery.envelope
        receipt = self._write_receipt(delivery, ending, now)
        room = self._scheduler.rooms[envelope.instance_id, envelope.external_room_id]
        self._take_out(delivery, room, now)
        self._report(delivery, receipt, room.account, room.account.hooks)
        if not room.lanes and not room.unfinished:
            self._scheduler.tidy(room, now)
        if shard.journal is not None:
            self.on_end(delivery, now)
        if not self._deliveries:
            self.on_empty()
        return receipt

    def _take_out(self, delivery: Delivery, room: Room, now: int) -> None:
        """Take the delivery out of memory, and give back its slot."""
        shard, envelope = self._shard, delivery.envelope
        del self._deliveries[delivery.id]
        if delivery.growth is not None:
            interims.leave(delivery.growth)
        if self._may_shed:
            self.sheddable.discard(delivery)
        room.unfinished -= 1
        self._scheduler.deadlines.ended()
        rank = RANKS[delivery.priority]
        shard.admission.remove(envelope.instance_id, envelope.external_room_id, rank, now)
        shard.measure()

    def complete_if_over(self, delivery: Delivery, now: int) -> None:
        """End the delivery if no step is left, or if its deadline passed during its attempt."""
        if delivery.receipt is not None:
            return
        if delivery.is_over:
            self.complete(delivery, Ending(delivery.disposition()), now)
        elif delivery.deadline <= now:
            self.complete(delivery, expired(delivery), now)

    def complete_waiting(self, delivery: Delivery, ending: Ending, now: int) -> Receipt:
        """End a waiting delivery, and let its lane go on without it."""
        receipt = self.complete(delivery, ending, now)
        self._scheduler.remove(delivery, now)
        return receipt

    def complete_spilled(
        self,
        delivery: Delivery,
        account: InstanceState | None,
        ending: Ending,
        hooks: ChannelHooks | None,
    ) -> Receipt:
        """End a delivery that is in the outbox only; its instance, and its hooks, may be gone."""
        if delivery.restored:
            delivery.returns(self._shard.gauge.level)
        now = self._clock.now()
        receipt = self._write_receipt(delivery, ending, now)
        self._report(delivery, receipt, account, hooks)
        self.on_end(delivery, now)
        return receipt

    def expire(self, delivery: Delivery, now: int) -> None:
        """End a delivery whose deadline passed; an attempt in flight may end first."""
        lane = lane_of(delivery)
        if lane is not None and lane.running and lane.queue and lane.queue[0] is delivery:
            return
        cause = delivery.cause
        if lane is not None:
            cause = lane.room.account.health.waited_for(cause)
        self.complete_waiting(delivery, expired(delivery, cause), now)

    def withdraw(self, delivery: Delivery) -> bool:
        """End the delivery `cancelled`; false: it has started, or has ended already.

        Also false: the gateway closes and the account was removed, so the delivery stays stored.
        """
        if delivery.receipt is not None or delivery.started:
            return False
        envelope = delivery.envelope
        place = envelope.instance_id, envelope.external_room_id
        if delivery.stored and place not in self._scheduler.rooms:
            return False
        self.complete_waiting(delivery, CANCELLED, self._clock.now())
        return True

    def give_up(self, delivery: Delivery, because: str = "") -> Receipt:
        """End the delivery now: `unknown` if it may have arrived, else `cancelled`.

        Of several deliveries, callers give up the newest first.

        because  why an attempt that is under way is cut off
        """
        if delivery.receipt is not None:  # the end of another delivery ended this one
            return delivery.receipt
        step = delivery.step
        started = step is not None and step.started
        end = self.complete if started else self.complete_waiting  # an attempt lets its lane go on
        return end(delivery, given_up(delivery, because), self._clock.now())

    def drop(self, delivery: Delivery) -> bool:
        """Give the delivery up; false: it goes on, since an attempt is under way."""
        if _is_under_way(delivery):
            return False
        self.give_up(delivery)
        return True

    def pass_to_another(self, delivery: Delivery, account: InstanceState) -> None:
        """Take the delivery out of memory: another process owns its account, and goes on with it.

        An attempt under way is in doubt. Nothing is written: the outbox has the delivery already.
        """
        shard, now, waits = self._shard, self._clock.now(), not _is_under_way(delivery)
        lane = lane_of(delivery)
        room = lane.room if lane is not None else self._scheduler.room_of(delivery.envelope)
        delivery.pass_to_another()
        self._take_out(delivery, room, now)
        if delivery.scope is not None:
            keys = shard.keys_of(delivery.scope, delivery.envelope.external_room_id)
            keys.leave(delivery.scope, delivery)
        if delivery.envelope.target is not None:
            shard.targets.leaves(delivery)
        shard.observer.stored(delivery, account, shard.index)
        delivery.notify()
        if waits:  # an attempt lets its lane go on
            self._scheduler.remove(delivery, now)
        self._scheduler.tidy(room, now)
        if not self._deliveries:
            self.on_empty()

    # -- several

    def shed_for(self, instance_id: str, room_id: str, rank: int) -> bool:
        """If a bound is reached, end the newest bulk envelope there, and take over its slot.

        False: no bound is reached, or no bulk envelope may be ended.
        """
        admission = self._shard.admission
        reached = admission.narrowest(instance_id, room_id)
        victim = None if reached is None else self.sheddable.newest(reached)
        if victim is None:
            return False
        admission.add(instance_id, room_id, rank)  # before a waiting caller could get the slot
        self.complete_waiting(victim, SHED, self._clock.now())
        return True

    def unfinished_of(self, instance_id: str) -> list[Delivery]:
        """The instance's unfinished deliveries in this partition, the oldest first."""
        return [d for d in self._deliveries.values() if d.envelope.instance_id == instance_id]

    def end_if_waiting(self, delivery: Delivery, ending: Ending) -> None:
        """End the delivery, unless it has ended or an attempt is under way."""
        if delivery.receipt is None and not _is_under_way(delivery):
            self.complete_waiting(delivery, ending, self._clock.now())

    def store(self) -> None:
        """The gateway closes: mark all unfinished deliveries as stored in the durable outbox."""
        for delivery in self._deliveries.values():
            account = self._scheduler.room_of(delivery.envelope).account
            self._shard.observer.stored(delivery, account, self._shard.index)
            delivery.store()

    def end_delayed(self, until: float) -> None:
        """The gateway closes: give up what policies delay, or what is due after that POSIX time."""
        for delivery in reversed(list(self._deliveries.values())):
            if delivery.parked and (delivery.delayed or (delivery.due or 0.0) > until):
                self.give_up(delivery, "the gateway closed")

    def abandon(self) -> None:
        """The gateway closes: give up all unfinished envelopes."""
        for delivery in reversed(list(self._deliveries.values())):
            self.give_up(delivery, "the gateway closed")

    def forget_ended(self, instance_ids: Collection[str]) -> None:
        """Forget the endings of accounts that another process owns; note them as `unsure`."""
        for name, receipt in list(self.history.items()):
            if receipt.instance_id in instance_ids:
                del self.history[name]
                self.unsure[name] = None
        while len(self.unsure) > self._longest_history:
            del self.unsure[next(iter(self.unsure))]

    def forget_room(self, instance_id: str, room_id: str) -> int:
        """Forget a room's ended envelopes, but not its keys; return how many are unfinished."""
        for name, receipt in list(self.history.items()):
            if (receipt.instance_id, receipt.external_room_id) == (instance_id, room_id):
                del self.history[name]
        self._shard.targets.forget_room(instance_id, room_id)
        return sum(
            (d.envelope.instance_id, d.envelope.external_room_id) == (instance_id, room_id)
            for d in self._deliveries.values()
        )

    # -- the receipt

    def _write_receipt(self, delivery: Delivery, ending: Ending, now: int) -> Receipt:
        """Write the receipt, count it, and store it in the history and the outbox."""
        shard, envelope = self._shard, delivery.envelope
        disposition, verdict = ending
        if delivery.restored and isinstance(envelope, CHANGES) and delivery.steps is not None:
            shard.targets.resumed(delivery, now)
        if delivery.delayed:
            shard.delay_ends(delivery)
        wall = self._clock.wall()
        receipt = receipts.end(delivery, disposition, verdict=verdict, ended_wall=wall)
        self.dispositions[disposition] += 1
        self.history[receipt.envelope_id] = receipt
        if len(self.history) > self._longest_history:
            self.history.popitem(last=False)
        if delivery.scope is not None:
            keys = shard.keys_of(delivery.scope, envelope.external_room_id)
            keys.end(delivery.scope, receipt, now)
        if isinstance(envelope, CHANGES):
            shard.targets.changed(delivery, receipt, now)
        elif envelope.target is not None:
            shard.targets.leaves(delivery)
        else:
            shard.targets.sent(receipt)
        if shard.journal is not None:
            shard.journal.finished(delivery, receipt)
        elif self.on_receipt is not None:
            self.on_receipt(receipt)
        return receipt

    def _report(
        self,
        delivery: Delivery,
        receipt: Receipt,
        account: InstanceState | None,
        hooks: ChannelHooks | None,
    ) -> None:
        """Report to the log and the observer, to waiting callers, then to the hooks."""
        shard = self._shard
        if receipt.disposition not in GOOD:
            self._log_failure(delivery, receipt)
        if account is not None:
            copied, member = delivery.possible_duplicate, delivery.member
            account.counts.end(receipt, copied=copied, member=member)
            shard.observer.ended(delivery, receipt, account, shard.index)
        delivery.notify()
        if hooks is not None and "after_disposition" in hooks.served:
            hooks.after_disposition(delivery.envelope, receipt)

    def _log_failure(self, delivery: Delivery, receipt: Receipt) -> None:
        verdict, step, lane = receipt.verdict, delivery.step, lane_of(delivery)
        reason = raw = None
        if verdict is not None:
            address, part = lane.room.address if lane else "", step.part if step else None
            reason = str(verdict.reason)
            raw = words(self._shard.privacy, delivery, verdict, address, part)
        fields = about(delivery, self._shard.index) | result(delivery, receipt)
        room = self._shard.privacy.room_of(delivery.envelope)
        log_event(ENVELOPE_FAILED, **fields, room=room, reason=reason, raw=raw)


def _is_under_way(delivery: Delivery) -> bool:
    """Whether an attempt of the delivery has begun and not ended."""
    step = delivery.step
    return step is not None and step.started
