"""How the envelopes of one partition end: exactly once, counted, remembered, told. Never waits."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway_core.contract.envelopes import Call, Disposition, Receipt, Send
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.monitoring.recorder import about, result, words
from gateway_core.monitoring.spans import GOOD
from gateway_core.scheduling.shedding import Sheddable
from gateway_core.telemetry import ENVELOPE_FAILED, log_event

if TYPE_CHECKING:
    from gateway_core.accounts.instance_state import InstanceState
    from gateway_core.contract.errors import HookContractError
    from gateway_core.deliveries.delivery import Delivery
    from gateway_core.engine.partition import Partition
    from gateway_core.plugins.front import ChannelHooks


class Completion:
    """Ends what one partition has accepted.

    dispositions  how many ended how
    history       the newest receipts, by envelope id
    sheddable     the bulk that may be ended for the sake of higher classes
    empty         called whenever nothing unfinished is left in memory
    freed         called with what ended, where an outbox may have more to bring in
    """

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._longest_history = partition.config.history
        self._clock = partition.clock
        self._deliveries = partition.deliveries
        self._shed = partition.config.shed
        self.dispositions: Counter[Disposition] = Counter()
        self.history: OrderedDict[str, Receipt] = OrderedDict()
        self.sheddable = Sheddable()
        self.empty: Callable[[], None] = lambda: None
        self.freed: Callable[[Delivery], None] = lambda _delivery: None

    # -- one envelope

    def finish(
        self, delivery: Delivery, disposition: Disposition, verdict: Verdict | None, now: int
    ) -> Receipt:
        """End an envelope: exactly once, counted, remembered, told."""
        receipt = self._ended(delivery, disposition, verdict, now)
        partition, envelope = self._partition, delivery.envelope
        lanes = partition.scheduler
        del self._deliveries[delivery.id]
        if self._shed:
            self.sheddable.discard(delivery)
        lanes.deadlines.ended()
        room = lanes.room_of(envelope)
        room.unfinished -= 1
        partition.admission.remove(envelope.instance_id, envelope.external_room_id)
        partition.measure()
        self._tell(delivery, receipt, room.account, room.account.hooks)
        if not room.lanes and not room.unfinished:
            lanes.tidy(room, now)
        if partition.journal is not None:
            self.freed(delivery)
        if not self._deliveries:
            self.empty()
        return receipt

    def finish_outside(
        self,
        delivery: Delivery,
        account: InstanceState | None,
        disposition: Disposition,
        hooks: ChannelHooks | None,
    ) -> Receipt:
        """End one that was accepted, and counted, and never took a place in memory.

        Its instance may have been taken out: the observers are told by its channel's `hooks`. One
        that was never there in this life has no channel: nobody observes it.
        """
        verdict = _expired(delivery) if disposition is Disposition.EXPIRED else None
        receipt = self._ended(delivery, disposition, verdict, self._clock.now())
        self._tell(delivery, receipt, account, hooks)
        self.freed(delivery)
        return receipt

    def finish_if_over(self, delivery: Delivery, now: int) -> bool:
        """End it where no step is left, or its deadline has passed; whether that was so."""
        if delivery.steps is not None and delivery.step is None:
            self.finish(delivery, delivery.disposition(), None, now)
        elif delivery.deadline <= now:
            self.finish(delivery, Disposition.EXPIRED, _expired(delivery), now)
        else:
            return False
        return True

    def end(
        self, delivery: Delivery, disposition: Disposition, verdict: Verdict | None, now: int
    ) -> Receipt:
        """End a delivery that waits, and let its lane go on without it."""
        receipt = self.finish(delivery, disposition, verdict, now)
        lane = delivery.lane
        if lane is not None and lane.queue:
            if lane.queue[0] is delivery:
                self._partition.scheduler.look_again(lane, now)
            else:
                self._partition.scheduler.drop_ended(lane)
        return receipt

    def expire(self, delivery: Delivery, now: int) -> None:
        """The deadline passed. An attempt in flight is not disturbed; it looks itself."""
        lane = delivery.lane
        if lane is not None and lane.running and lane.queue and lane.queue[0] is delivery:
            return
        self.end(delivery, Disposition.EXPIRED, _expired(delivery), now)

    def withdraw(self, delivery: Delivery) -> bool:
        """End it `cancelled` if it has not started; false if it has."""
        if delivery.receipt is not None or delivery.started:
            return False
        self.end(delivery, Disposition.CANCELLED, None, self._clock.now())
        return True

    def broken(self, delivery: Delivery, error: HookContractError, now: int) -> None:
        """A pure hook failed on this envelope: it ends, naming plugin and hook."""
        verdict = Verdict(
            error_class=ErrorClass.NON_RETRYABLE, reason=Reason.HOOK_CONTRACT, raw=str(error)
        )
        self.finish(delivery, Disposition.CRASHED, verdict, now)

    def crashed(self, delivery: Delivery, error: Exception, now: int) -> None:
        """It broke its worker once too often."""
        step = delivery.step
        doubtful = step is not None and step.doubtful
        verdict = Verdict(
            error_class=ErrorClass.NON_RETRYABLE,
            reason=Reason.CRASHED,
            dispatched="unknown" if doubtful else "no",
            raw=f"{type(error).__name__}: {error}",
        )
        self.finish(delivery, Disposition.CRASHED, verdict, now)

    def give_up(self, delivery: Delivery) -> Receipt:
        """End it now: in doubt where it may have arrived, else cancelled.

        Whoever gives up several begins with the newest, so that no lane goes on meanwhile.
        """
        if delivery.receipt is not None:  # the end of another one ended it
            return delivery.receipt
        now = self._clock.now()
        step = delivery.step
        if step is not None and step.started:  # its lane goes on once the attempt is over
            step.outcome = "unknown"
            return self.finish(delivery, Disposition.UNKNOWN, None, now)
        if step is not None and step.doubtful:
            step.outcome = "unknown"
        doubt = any(each.outcome == "unknown" for each in delivery.steps or ())
        ending = Disposition.UNKNOWN if doubt else Disposition.CANCELLED
        return self.end(delivery, ending, None, now)

    # -- several

    def shed_for(self, instance_id: str, room_id: str) -> bool:
        """Take a place of a higher class by ending the newest bulk that is in its way.

        The place passes from one to the other: nobody who waits can take it. False: there is
        no bulk whose end would help, and none ends.
        """
        admission = self._partition.admission
        victim = self.sheddable.newest(admission.narrowest(instance_id, room_id))
        if victim is None:
            return False
        admission.add(instance_id, room_id)
        self.end(victim, Disposition.SHED, None, self._clock.now())
        return True

    def end_all(self, account: InstanceState, verdict: Verdict) -> None:
        """The instance is out of order, and configured to end what waits for it."""
        now = self._clock.now()
        for delivery in list(self._deliveries.values()):
            step = delivery.step
            mine = delivery.envelope.instance_id == account.instance.id
            if mine and delivery.receipt is None and not (step is not None and step.started):
                self.end(delivery, Disposition.FATAL, verdict, now)

    def keep(self) -> None:
        """The gateway ends, and a durable outbox keeps what is unfinished."""
        watch = self._partition.watch
        for delivery in self._deliveries.values():
            if watch is not None:
                watch.kept(delivery, self._partition.scheduler.room_of(delivery.envelope).account)
            delivery.kept = True
            callbacks, delivery.callbacks = delivery.callbacks, None
            for callback in callbacks or ():
                callback()

    def abandon(self) -> None:
        """The gateway ends: what is unfinished ends now, in doubt where it was in flight."""
        for delivery in reversed(list(self._deliveries.values())):
            self.give_up(delivery)

    def forget_room(self, instance_id: str, room_id: str) -> int:
        """Forget what ended in a room; how many of it are under way still."""
        for name, receipt in list(self.history.items()):
            if (receipt.instance_id, receipt.external_room_id) == (instance_id, room_id):
                del self.history[name]
        self._partition.keys.forget_room(instance_id, room_id)
        self._partition.targets.forget_room(instance_id, room_id)
        return sum(
            (f.envelope.instance_id, f.envelope.external_room_id) == (instance_id, room_id)
            for f in self._deliveries.values()
        )

    # -- the receipt

    def _ended(
        self, delivery: Delivery, disposition: Disposition, verdict: Verdict | None, now: int
    ) -> Receipt:
        """Write the receipt; count it, remember it, let the outbox have it."""
        partition, envelope = self._partition, delivery.envelope
        receipt = delivery.end(disposition, verdict=verdict, ended_wall=self._clock.wall())
        self.dispositions[disposition] += 1
        self.history[receipt.envelope_id] = receipt
        if len(self.history) > self._longest_history:
            self.history.popitem(last=False)
        if delivery.scope is not None:
            partition.keys.end(delivery.scope, receipt, now)
        if isinstance(envelope, Send):
            partition.targets.sent(receipt)
        elif not isinstance(envelope, Call):
            partition.targets.changed(delivery, envelope, receipt, now)
        if partition.journal is not None:
            partition.journal.finished(receipt)
        return receipt

    def _tell(
        self,
        delivery: Delivery,
        receipt: Receipt,
        account: InstanceState | None,
        hooks: ChannelHooks | None,
    ) -> None:
        """The log and whoever listens, those who wait for it, then the observers."""
        partition = self._partition
        if receipt.disposition not in GOOD:
            self._tell_failure(delivery, receipt)
        if account is not None:
            account.counts.end(receipt)
            if partition.watch is not None:
                partition.watch.ended(delivery, receipt, account, partition.index)
        callbacks, delivery.callbacks = delivery.callbacks, None
        for callback in callbacks or ():
            callback()
        if hooks is not None and hooks.observes_dispositions:
            hooks.after_disposition(delivery.envelope, receipt)

    def _tell_failure(self, delivery: Delivery, receipt: Receipt) -> None:
        verdict, partition = receipt.verdict, self._partition
        log_event(
            ENVELOPE_FAILED,
            **about(delivery, partition.index),
            **result(delivery, receipt),
            reason=str(verdict.reason) if verdict is not None else None,
            raw=words(partition.privacy, delivery, verdict) if verdict is not None else None,
        )


def _expired(delivery: Delivery) -> Verdict:
    if delivery.verdict is not None:
        return delivery.verdict
    return Verdict(
        error_class=ErrorClass.NON_RETRYABLE,
        reason=Reason.EXPIRED,
        raw=f"its deadline passed while it waited ({delivery.cause})",
    )
