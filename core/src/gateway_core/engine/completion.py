"""Completes envelopes: exactly once, counted, remembered, reported. Never waits."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import Call, Disposition, Receipt, Send
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import CANCELLED, SHED, Ending, expired
from gateway_core.engine.shard import Shard
from gateway_core.monitoring.log_fields import GOOD, about, result, words
from gateway_core.plugins.front import ChannelHooks
from gateway_core.scheduling.rooms import lane_of
from gateway_core.scheduling.shedding import Sheddable
from gateway_core.telemetry import ENVELOPE_FAILED, log_event


class Completion:
    """Ends what one partition has accepted.

    dispositions  how many ended how
    history       the newest receipts, by envelope id
    sheddable     the bulk that may be ended for the sake of higher classes
    on_empty      called whenever nothing unfinished is left in memory
    on_end        called with what ended, where an outbox may have more to bring in
    """

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._clock = shard.clock
        self._scheduler = shard.scheduler
        self._deliveries = shard.deliveries
        self._longest_history = shard.config.history
        self._may_shed = shard.config.shed
        self.dispositions: Counter[Disposition] = Counter()
        self.history: OrderedDict[str, Receipt] = OrderedDict()
        self.sheddable = Sheddable()
        self.on_empty: Callable[[], None] = lambda: None
        self.on_end: Callable[[Delivery], None] = lambda _delivery: None

    # -- one envelope

    def complete(self, delivery: Delivery, ending: Ending, now: int) -> Receipt:
        """End an envelope whose lane somebody else lets go on."""
        shard, envelope = self._shard, delivery.envelope
        receipt = self._write_receipt(delivery, ending, now)
        del self._deliveries[delivery.id]
        if self._may_shed:
            self.sheddable.discard(delivery)
        scheduler = self._scheduler
        room = scheduler.rooms[envelope.instance_id, envelope.external_room_id]
        room.unfinished -= 1
        scheduler.deadlines.ended()
        shard.admission.remove(envelope.instance_id, envelope.external_room_id)
        shard.measure()
        self._report(delivery, receipt, room.account, room.account.hooks)
        if not room.lanes and not room.unfinished:
            scheduler.tidy(room, now)
        if shard.journal is not None:
            self.on_end(delivery)
        if not self._deliveries:
            self.on_empty()
        return receipt

    def complete_if_over(self, delivery: Delivery, now: int) -> None:
        """End it where no step is left, or where its deadline passed during its attempt."""
        if delivery.receipt is not None:
            return
        if delivery.step is None:
            self.complete(delivery, Ending(delivery.disposition()), now)
        elif delivery.deadline <= now:
            self.complete(delivery, expired(delivery), now)

    def complete_waiting(self, delivery: Delivery, ending: Ending, now: int) -> Receipt:
        """End a delivery that waits, and let its lane go on without it."""
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
        """End one that was accepted, and counted, and never took a slot in memory.

        Its instance may have been taken out: the observers are told by its channel's `hooks`. One
        that was never there in this process run has no channel: nobody observes it.
        """
        receipt = self._write_receipt(delivery, ending, self._clock.now())
        self._report(delivery, receipt, account, hooks)
        self.on_end(delivery)
        return receipt

    def expire(self, delivery: Delivery, now: int) -> None:
        """The deadline passed. An attempt in flight is not disturbed; it looks itself."""
        lane = lane_of(delivery)
        if lane is not None and lane.running and lane.queue and lane.queue[0] is delivery:
            return
        self.complete_waiting(delivery, expired(delivery), now)

    def withdraw(self, delivery: Delivery) -> bool:
        """End it `cancelled` if it has not started; false if it has."""
        if delivery.receipt is not None or delivery.started:
            return False
        self.complete_waiting(delivery, CANCELLED, self._clock.now())
        return True

    def give_up(self, delivery: Delivery) -> Receipt:
        """End it now: in doubt where it may have arrived, else cancelled.

        Whoever gives up several begins with the newest, so that no lane goes on meanwhile.
        """
        if delivery.receipt is not None:  # the end of another one ended it
            return delivery.receipt
        now, step = self._clock.now(), delivery.step
        if step is not None and step.started:  # its lane goes on once the attempt is over
            step.end("unknown")
            return self.complete(delivery, Ending(Disposition.UNKNOWN), now)
        if step is not None and step.doubtful:
            step.end("unknown")
        doubt = any(each.outcome == "unknown" for each in delivery.steps or ())
        ending = Ending(Disposition.UNKNOWN) if doubt else CANCELLED
        return self.complete_waiting(delivery, ending, now)

    # -- several

    def shed_for(self, instance_id: str, room_id: str) -> bool:
        """Take a slot of a higher class by ending the newest bulk that is in its way.

        The slot passes from one to the other: nobody who waits can take it. False: there is no
        bulk whose end would help, and none ends.
        """
        admission = self._shard.admission
        victim = self.sheddable.newest(admission.narrowest(instance_id, room_id))
        if victim is None:
            return False
        admission.add(instance_id, room_id)
        self.complete_waiting(victim, SHED, self._clock.now())
        return True

    def end_all(self, account: InstanceState, ending: Ending) -> None:
        """The instance is out of order, and configured to end what waits for it."""
        now = self._clock.now()
        for delivery in list(self._deliveries.values()):
            step = delivery.step
            mine = delivery.envelope.instance_id == account.instance.id
            if mine and delivery.receipt is None and not (step is not None and step.started):
                self.complete_waiting(delivery, ending, now)

    def store(self) -> None:
        """The gateway ends, and a durable outbox has what is unfinished."""
        for delivery in self._deliveries.values():
            account = self._scheduler.room_of(delivery.envelope).account
            self._shard.observer.stored(delivery, account)
            delivery.store()

    def abandon(self) -> None:
        """The gateway ends: what is unfinished ends now, in doubt where it was in flight."""
        for delivery in reversed(list(self._deliveries.values())):
            self.give_up(delivery)

    def forget_room(self, instance_id: str, room_id: str) -> int:
        """Forget what ended in a room; how many of it are under way still."""
        for name, receipt in list(self.history.items()):
            if (receipt.instance_id, receipt.external_room_id) == (instance_id, room_id):
                del self.history[name]
        self._shard.keys.forget_room(instance_id, room_id)
        self._shard.targets.forget_room(instance_id, room_id)
        return sum(
            (d.envelope.instance_id, d.envelope.external_room_id) == (instance_id, room_id)
            for d in self._deliveries.values()
        )

    # -- the receipt

    def _write_receipt(self, delivery: Delivery, ending: Ending, now: int) -> Receipt:
        """Write it; count it, remember it, let the outbox have it."""
        shard, envelope = self._shard, delivery.envelope
        disposition, verdict = ending
        receipt = delivery.end(disposition, verdict=verdict, ended_wall=self._clock.wall())
        self.dispositions[disposition] += 1
        self.history[receipt.envelope_id] = receipt
        if len(self.history) > self._longest_history:
            self.history.popitem(last=False)
        if delivery.scope is not None:
            shard.keys.end(delivery.scope, receipt, now)
        if isinstance(envelope, Send):
            shard.targets.sent(receipt)
        elif not isinstance(envelope, Call):
            shard.targets.changed(delivery, envelope, receipt, now)
        if shard.journal is not None:
            shard.journal.finished(receipt)
        return receipt

    def _report(
        self,
        delivery: Delivery,
        receipt: Receipt,
        account: InstanceState | None,
        hooks: ChannelHooks | None,
    ) -> None:
        """To the log and whoever listens, to those who wait for it, then to the observers."""
        shard = self._shard
        if receipt.disposition not in GOOD:
            log_event(ENVELOPE_FAILED, **self._failure(delivery, receipt))
        if account is not None:
            account.counts.end(receipt)
            shard.observer.ended(delivery, receipt, account, shard.index)
        delivery.notify()
        if hooks is not None and "after_disposition" in hooks.served:
            hooks.after_disposition(delivery.envelope, receipt)

    def _failure(self, delivery: Delivery, receipt: Receipt) -> Mapping[str, Any]:
        """What the log says of an envelope that was not delivered."""
        verdict, shard, step = receipt.verdict, self._shard, delivery.step
        lane = lane_of(delivery)
        address, part = lane.room.address if lane else "", step.part if step else None
        privacy = shard.privacy
        return {
            **about(delivery, shard.index),
            **result(delivery, receipt),
            "reason": str(verdict.reason) if verdict is not None else None,
            "raw": words(privacy, delivery, verdict, address, part)
            if verdict is not None
            else None,
        }
