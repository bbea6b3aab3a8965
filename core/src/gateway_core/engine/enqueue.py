"""Enqueues deliveries in a partition's lanes: new ones, restored ones, due ones. Never waits."""

from __future__ import annotations

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND
from gateway_core.contract.addresses import Interaction
from gateway_core.contract.envelopes import MESSAGES, Edit, Send, digest_of
from gateway_core.deliveries.delays import SOON
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import SUPERSEDED, Ending
from gateway_core.deliveries.steps import REPEATED
from gateway_core.engine.completion import Completion
from gateway_core.engine.shard import Shard
from gateway_core.scheduling.classes import CLASSES
from gateway_core.scheduling.rooms import Lane, Room, lane_of
from gateway_core.scheduling.scheduler import Hold

FARTHEST = 1e9
"""Seconds: a delivery that is due later than this is looked at again after this time."""


class Enqueuer:
    """Puts deliveries into the lanes of one partition."""

    def __init__(self, shard: Shard, completion: Completion) -> None:
        self._shard = shard
        self._clock = shard.clock
        self._scheduler = shard.scheduler
        self._targets = shard.targets
        self._completion = completion
        self._may_shed = shard.config.shed

    def accept(
        self, delivery: Delivery, account: InstanceState, now: int, ending: Ending | None = None
    ) -> None:
        """Accept an envelope whose slot is counted already; `ending`: how it ends at once."""
        shard, envelope = self._shard, delivery.envelope
        shard.accepted += 1
        account.counts.accepted += 1
        room = self._come_in(delivery, account)
        if ending is not None:
            self._completion.complete(delivery, ending, now)
            return
        due = delivery.due if delivery.delayed else envelope.not_before
        wait = due - delivery.accepted_at if due else 0.0
        self._place(delivery, room, wait, now)

    def resume(
        self,
        delivery: Delivery,
        account: InstanceState,
        now: int,
        fingerprint: str,
        hold: float,
        arrives: float,
    ) -> None:
        """Take in a delivery that was accepted and counted before, and has its slot.

        fingerprint  that of its content, if the delivery has a key
        hold         seconds that remain of a wait that the platform asked for
        arrives      seconds within which a lost owner's attempt may still arrive
        """
        envelope, shard = delivery.envelope, self._shard
        delivery.wait_for("queue", now)  # it was spilled meanwhile
        if delivery.delayed:
            delivery.has_its_place()
        delivery.returns(shard.gauge.level)
        room = self._come_in(delivery, account)
        shard.observer.resumed(delivery, account, shard.index)
        if delivery.scope is not None:
            keys = shard.keys_of(delivery.scope, envelope.external_room_id)
            if keys.find(delivery.scope, now) is None:
                keys.begin(delivery.scope, delivery, fingerprint, now)
        wait = 0.0
        if envelope.not_before and not delivery.started:
            wait = envelope.not_before - self._clock.wall()
        known = delivery.steps or hold
        held = self._held(delivery, account, hold, arrives, now) if known else None
        self._place(delivery, room, wait, now, hold=held)

    def due(self, delivery: Delivery, now: int) -> None:
        """Put a parked delivery that is due into its lane, unless policies delay it again."""
        if delivery.receipt is not None or not delivery.parked:
            return
        cause = delivery.cause
        if cause == "stream":
            self._look_at_stream(delivery, now)
            return
        if cause == "schedule":
            left = (delivery.due or 0.0) - self._clock.wall()
            if delivery.delayed and left > SOON:  # its delay changed, or the clock was set back
                self._scheduler.at(now + round(min(left, FARTHEST) * SECOND), delivery)
                return
            hooks = self._scheduler.room_of(delivery.envelope).account.hooks
            until = self._shard.delay_again(delivery, hooks, self._clock.wall())
            if until is not None:
                self._scheduler.deadlines.add(delivery)
                wait = until - self._clock.wall()
                self._scheduler.at(now + round(min(wait, FARTHEST) * SECOND), delivery)
                return
            self._shard.delay_ends(delivery)
        if cause == "target" or delivery.delayed or delivery.due == delivery.envelope.not_before:
            delivery.has_its_place()
            if self._shard.journal is not None:
                self._shard.journal.entered(delivery)
        delivery.unpark(now)
        if cause == "schedule" and self._supersede(delivery, now):
            return
        self._enter(delivery, self._scheduler.room_of(delivery.envelope), now)

    def _look_at_stream(self, delivery: Delivery, now: int) -> None:
        """Let a stream go on, unless it was put off after this alarm was set."""
        growth = delivery.growth
        if growth is not None and growth.is_due(now):
            delivery.unpark(now)
            self._enter(delivery, self._scheduler.room_of(delivery.envelope), now)

    def step_aside(self, delivery: Delivery, before: Delivery, now: int) -> None:
        """Park the delivery until `before` has ended; then it enters its lane anew.

        At once it ranks after the other deliveries of its lane, since they may begin now. The
        outbox records this for the next process run, in case this one ends before `before` does.
        """
        delivery.park("target", now)
        if self._shard.journal is not None:
            self._shard.journal.entered(delivery)
        before.on_end(lambda: self.due(delivery, self._clock.now()))

    def _come_in(self, delivery: Delivery, account: InstanceState) -> Room:
        self._shard.deliveries[delivery.id] = delivery
        room = self._scheduler.room(account, delivery.envelope.external_room_id)
        self._scheduler.deadlines.add(delivery)
        room.unfinished += 1
        if delivery.envelope.target is not None:
            self._targets.comes(delivery, self._clock.now())
        if delivery.growth is not None and delivery.growth.elsewhere:
            delivery.growth.woken_by(lambda: self._scheduler.grew(delivery, self._clock.now()))
            self._shard.written_elsewhere(delivery)
        return room

    def _supersede(self, delivery: Delivery, now: int) -> bool:
        """End the edit that a newer edit makes useless, if any; true: it is `delivery`."""
        if not isinstance(delivery.envelope, Edit):
            return False
        useless = self._targets.overtaken(delivery, now)
        if useless is not None:
            self._completion.complete_waiting(useless, SUPERSEDED, now)
        return useless is delivery

    def _held(
        self, delivery: Delivery, account: InstanceState, hold: float, arrives: float, now: int
    ) -> Hold | None:
        """Why a resumed delivery must wait: an unknown outcome, or the platform asked for it."""
        step, until = delivery.step, now + round(hold * SECOND)
        if (
            step is not None
            and step.maybe_sent
            and step.kind in REPEATED
            and not step.deduplicated(account.hooks.deduplicates_for, now)
        ):
            retries = self._shard.config.retries
            arrives = min(arrives, retries.arrival)  # whatever the wall clock says
            quiet = now + round(max(retries.quarantine, arrives) * SECOND)
            return Hold(max(quiet, until), quiet or 1)
        return Hold(until) if hold > 0 else None

    def _place(
        self, delivery: Delivery, room: Room, wait: float, now: int, *, hold: Hold | None = None
    ) -> None:
        """Park the delivery for `wait` seconds, or enqueue it, unless it is superseded."""
        if self._may_shed and CLASSES[delivery.priority].may_be_shed and not delivery.started:
            self._completion.sheddable.add(delivery)
        superseded = wait <= 0 and self._supersede(delivery, now)
        self._shard.measure()
        if wait > 0:
            delivery.park("schedule", now)
            self._scheduler.at(now + round(min(wait, FARTHEST) * SECOND), delivery)
        elif not superseded:
            self._enter(delivery, room, now, hold=hold)

    def _enter(self, delivery: Delivery, room: Room, now: int, *, hold: Hold | None = None) -> None:
        envelope = delivery.envelope
        independent = room.account.hooks.traits.independent_threads
        thread = self._targets.thread(delivery, now) if independent else None
        key = thread
        if envelope.order == "none":
            key = f"{delivery.id} alone"
        elif isinstance(envelope, MESSAGES) and envelope.interaction is not None:
            key = _answers_to(envelope.interaction)
        if delivery.growth is not None and delivery.stands:
            key = f"{delivery.id} grows"  # later envelopes do not wait for its end
        lane = room.lanes.get(key)
        if lane is None:
            lane = room.lanes[key] = Lane(key, thread, room, self._scheduler)
        collapses = isinstance(envelope, Send) and envelope.collapse is not None
        if hold is not None or not collapses or not self._collapse(delivery, lane, now):
            self._scheduler.push(delivery, lane, now, hold=hold)

    def _collapse(self, delivery: Delivery, lane: Lane, now: int) -> bool:
        """Let the newer of two messages with the same `collapse` replace the older one.

        True: the delivery took the other one's place, or has ended; false: enqueue it.
        """
        room, envelope = lane.room, delivery.envelope
        waiting = room.collapsing = {} if room.collapsing is None else room.collapsing
        key = (envelope.thread_id, str(getattr(envelope, "collapse", None)))
        other = waiting.get(key)
        if other is not None and (other.receipt is not None or other.started):
            other = None
        newer = other is not None and other.sequence > delivery.sequence
        if newer and delivery.started:
            return False  # it started in a previous run: it goes on, and the newer one waits
        if newer:
            self._completion.complete(delivery, SUPERSEDED, now)
            if not lane.queue and not lane.running:
                self._scheduler.offer(lane, now)  # the lane was new: the scheduler forgets it
            return True

        def forget() -> None:
            if waiting.get(key) is delivery:
                del waiting[key]

        waiting[key] = delivery
        delivery.on_end(forget)
        if other is None:
            return False
        takes_place = lane_of(other) is lane
        if takes_place:
            self._scheduler.replace(other, delivery, lane, now)
            if self._shard.journal is not None:
                self._shard.journal.replaced(other, delivery)
        self._completion.complete_waiting(other, SUPERSEDED, now)
        return takes_place


def _answers_to(interaction: Interaction) -> str:
    """The lane of an interaction's answers: they keep their order, and wait for no other message.

    Its name is a digest, since a lane's name may be shown, but the token may not.
    """
    return f"answers {digest_of(interaction.token.reveal())}"
