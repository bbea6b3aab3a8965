"""Schedules the lanes of one partition: which waits for what, and which goes next. Sans-I/O.

A lane is a conversation's queue. It waits for a time or at a bucket, or it is running: then it
holds a token of every bucket it needs, including one of the partition's attempt slots, and a worker
serves it. No waiting lane holds a worker, and an empty lane is forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from heapq import heappop, heappush
from typing import NamedTuple, TypeAlias

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import NEVER
from gateway_core.contract.envelopes import UPLOAD, Edit, Envelope
from gateway_core.contract.errors import HookContractError
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import Ending, Later, LongText, Planned, broken_by
from gateway_core.ratelimits.acquire import Blocked, acquire_all, reserve, unreserve
from gateway_core.ratelimits.bucket import Bucket
from gateway_core.ratelimits.concurrency import ConcurrencyLimits
from gateway_core.scheduling.classes import RANKS
from gateway_core.scheduling.deadlines import Deadlines
from gateway_core.scheduling.rooms import Lane, Room, lane_of
from gateway_core.scheduling.waiting_groups import Shared, WaitingGroup, queue_of, serve_waiters

AGED = 5_000_000_000
"""Nanoseconds of waiting after which a lane reserves tokens that younger lanes would take."""

MADE_WITH_FILES = ("send", UPLOAD)
"""Operations whose attempt may take more than one token of each limit."""
PAUSE = 100_000_000
"""Nanoseconds until a lane or delivery is tried again after an error in our own code."""

Alarm: TypeAlias = Bucket | Lane | Delivery | Room


class Hold(NamedTuple):
    """Why a delivery of a previous process run waits.

    until  its next attempt does not begin before this time
    quiet  an attempt may still arrive until this time, so nothing else of the lane begins; 0: no
           attempt may still arrive
    """

    until: int
    quiet: int = 0


class Scheduler:
    """The lanes of one partition. It calls `rearm(at)` when its next alarm becomes earlier."""

    def __init__(self, *, slots: int, rearm: Callable[[int], None]) -> None:
        self._rearm = rearm
        self.slots = ConcurrencyLimits(slots)
        self._alarms: list[tuple[int, int, Alarm]] = []
        self.deadlines = Deadlines(rearm)
        self._serial = 0
        self.groups: dict[Shared, WaitingGroup] = {}
        self.rooms: dict[tuple[str, str], Room] = {}
        self.stand_in: Scheduler | None = None

    def serve(
        self,
        *,
        plan: Callable[[Delivery, Lane, int], Planned],
        start: Callable[[Lane], None],
        end: Callable[[Lane, Delivery, Ending], None],
        step_aside: Callable[[Delivery, Delivery, int], None],
        plan_long: Callable[[Lane, Delivery, LongText], None],
        crashed: Callable[[Delivery | None, BaseException], Ending | None],
    ) -> None:
        """Set what the scheduler calls, before the first delivery comes.

        plan        says what the head of a lane does next
        start       hands a lane that holds its tokens to a worker
        end         hands a delivery that is over to a worker, which ends it and lets its lane go on
        step_aside  parks a delivery until another delivery has ended
        plan_long   has a long text planned, and then lets its lane go on
        crashed     counts an error in our own code against a delivery; returns the delivery's
                    ending if the error ends it
        """
        self._plan, self._start, self._end = plan, start, end
        self._step_aside, self._plan_long, self._crashed = step_aside, plan_long, crashed

    def forget(self, account: InstanceState) -> None:
        """Forget a removed instance; rooms with attempts under way stay, under another name."""
        self.slots.forget(account.instance)
        for group in list(self.groups.values()):
            if group.account is account and not group.members:
                group.dissolve()
        for key in [key for key, room in self.rooms.items() if room.account is account]:
            room = self.rooms.pop(key)
            if room.lanes:
                self._serial += 1
                room.key = (f"{key[0]} removed {self._serial}", key[1])
                self.rooms[room.key] = room

    def forget_idle(self, accounts: Collection[InstanceState]) -> None:
        """Forget accounts that have no room here, in one pass for all of them."""
        for account in accounts:
            self.slots.forget(account.instance)
        for group in [each for each in self.groups.values() if each.account in accounts]:
            if not group.members:
                group.dissolve()

    # -- deliveries in

    def room(self, account: InstanceState, room_id: str) -> Room:
        """The room, made if it is new."""
        key = (account.instance.id, room_id)
        room = self.rooms.get(key)
        if room is None:
            address = account.addresses.get(room_id, room_id)
            room = self.rooms[key] = Room(account=account, id=room_id, key=key, address=address)
        return room

    def room_of(self, envelope: Envelope) -> Room:
        """The room of an unfinished envelope."""
        return self.rooms[envelope.instance_id, envelope.external_room_id]

    def push(self, delivery: Delivery, lane: Lane, now: int, *, hold: Hold | None = None) -> None:
        """Put `delivery` at the end of `lane`, and try to start it, unless it must `hold`."""
        delivery.stand_in(lane)
        lane.queue.append(delivery)
        if len(lane.queue) != 1 or lane.running:
            return
        paused = lane.timer_at or 0  # an earlier delivery of the lane may still arrive
        if hold is None:
            if not paused:
                self.offer(lane, now)
        elif hold.quiet:
            lane.quiet = max(paused, hold.quiet)
            self.wait_until_it_works(lane, max(paused, hold.until))
        else:
            self.pause(lane, max(paused, hold.until))

    def at(self, when: int, what: Alarm) -> None:
        """Ring for `what` at `when`."""
        self._serial += 1
        heappush(self._alarms, (when, self._serial, what))
        if self._alarms[0][1] == self._serial:
            self._rearm(when)

    # -- which lane goes next

    def offer(self, lane: Lane, now: int) -> None:
        """Start the lane if all tokens that it needs are free, else let it wait."""
        work: list[Bucket] = []
        self.try_start(lane, now, None, work)
        if work:
            serve_waiters(work, now)

    def try_start(
        self, lane: Lane, now: int, woken: Bucket | None, work: list[Bucket]
    ) -> Blocked | None:
        """Start the lane; or queue it at the bucket that blocks it, and add that to `work`."""
        lane.group = lane.alone_at = None
        buckets = self._drawn(lane, now)
        if buckets is None:
            return None
        blocked = acquire_all(lane, buckets, now, woken, lane.cost)
        if blocked is None:
            assert lane.tokens is None  # noqa: S101 - invariant: a lane is started once
            if lane.reserves:
                unreserve(lane, buckets)
                lane.reserves = False
            lane.tokens, lane.running = buckets, True
            self._start(lane)
            return None
        if blocked.at < NEVER and now - lane.since > AGED:
            lane.reserves = True
            reserve(lane, buckets, blocked.at, now)
        lane.queue[0].wait_for(lane.cause_at(blocked.bucket), now)
        work.append(self._wait(lane, buckets, blocked.bucket, now))
        return blocked

    def _wait(self, lane: Lane, buckets: list[Bucket], bucket: Bucket, now: int) -> Bucket:
        """Let the lane wait: by itself if the bucket is the lane's own, else with its group."""
        if not bucket.shared:
            lane.alone_at = bucket
            queue_of(bucket).push(lane)
            return bucket
        shared = tuple([bucket for bucket in buckets if bucket.shared])
        group = self.groups.get(shared)
        if group is None:
            group = self.groups[shared] = WaitingGroup(shared, self, lane.room.account)
        stands_at = group.join(lane, bucket, now)
        lane.queue[0].wait_in(group, now)
        return stands_at

    def _drawn(self, lane: Lane, now: int) -> list[Bucket] | None:
        """The buckets that the lane's next step draws on; None: there is no step now."""
        operation = None
        try:
            operation = self._head(lane, now)
            lane.cost = 1
            if operation in MADE_WITH_FILES and getattr(lane.queue[0].envelope, "files", None):
                lane.cost = lane.cost_of_head()
            return None if operation is None else lane.buckets(operation, now)
        except BaseException as raised:  # noqa: BLE001 - only this lane is to blame
            head = lane.queue[0] if lane.queue else None
            ending: Ending | None
            if operation is not None and isinstance(raised, HookContractError):
                ending = broken_by(raised)
            else:
                ending = self._crashed(head, raised)
            if head is not None and ending is not None:
                self._hand_over(lane, head, ending)
            else:  # the lane is tried again in a moment
                self.pause(lane, now + PAUSE)
            return None

    def _head(self, lane: Lane, now: int) -> str | None:
        """The operation of the lane's next step, skipping ended deliveries; None: no step."""
        while lane.queue:
            delivery = lane.queue[0]
            if delivery.receipt is None:
                planned = self._plan(delivery, lane, now)
                if isinstance(planned, str):
                    if not lane.since:  # its place in the account's line, in every partition
                        account = lane.room.account
                        lane.since = account.arrived = max(now, account.arrived + 1)
                    envelope, growth = delivery.envelope, delivery.growth
                    interim = isinstance(envelope, Edit) and envelope.interim
                    if growth is not None:
                        interim = growth.interim
                    lane.rank = (RANKS[delivery.priority], interim, lane.since)
                    return planned
                if isinstance(planned, (Ending, LongText)):
                    self._hand_over(lane, delivery, planned)
                    return None
                delivery.stand_in(None)
                if isinstance(planned, Later):
                    self._wait_to_grow(delivery, planned, now)
                else:
                    self._step_aside(delivery, planned.before, now)
            lane.queue.popleft()
            lane.since = 0
            if lane.quiet > now and delivery.left_in_doubt:
                self.pause(lane, lane.quiet)
                return None
        lane.forget_limits()
        if lane.room.lanes.get(lane.key) is lane:
            del lane.room.lanes[lane.key]
        self.tidy(lane.room, now)
        return None

    def _hand_over(self, lane: Lane, delivery: Delivery, planned: Ending | LongText) -> None:
        """Let a worker end the head of the lane, or a thread plan it; then the lane goes on."""
        lane.running = True
        if isinstance(planned, Ending):
            self._end(lane, delivery, planned)
        else:
            self._plan_long(lane, delivery, planned)

    def _wait_to_grow(self, delivery: Delivery, later: Later, now: int) -> None:
        """Park a stream until the time of `later`, or until its text grows."""
        delivery.park("stream", now)
        at = later.at
        if delivery.growth is not None:
            alarm = at if at < NEVER else None
            look_at = None if later.wakes else alarm
            delivery.growth.look_again(look_at, alarm)
        if at < NEVER:
            self.at(at, delivery)

    def grew(self, delivery: Delivery, now: int) -> None:
        """A stream has something new to show, or is whole."""
        growth, lane = delivery.growth, lane_of(delivery)
        if growth is None or delivery.receipt is not None:
            return
        if lane is None:
            if delivery.parked:
                growth.look_again(now)
                self.at(now, delivery)
        elif not growth.is_open and lane.queue and lane.queue[0] is delivery:
            waits_for_a_time = lane.timer_at is not None or lane.doubt
            if not lane.running and not waits_for_a_time:
                self._look_again(lane, now)  # the lane ranks higher now

    def tidy(self, room: Room, now: int) -> None:
        """Forget a room that is empty and not closed."""
        if room.lanes or room.unfinished:
            return
        if room.gate is not None or room.thread_gates:
            closed_until = room.closed_until()
            if closed_until > now:
                self.at(closed_until, room)
                return
        if self.rooms.get(room.key) is room:
            del self.rooms[room.key]

    def remove(self, delivery: Delivery, now: int) -> None:
        """A waiting delivery has ended: let its lane go on without it."""
        lane = lane_of(delivery)
        if lane is None or not lane.queue:
            return
        if lane.queue[0] is delivery:
            self._look_again(lane, now)
            return
        lane.dead += 1  # rebuild the queue once most of it has ended
        if lane.dead > 16 and lane.dead * 2 > len(lane.queue):  # noqa: PLR2004 - small queues stay
            head = lane.queue[0]
            lane.queue = deque(d for d in lane.queue if d is head or d.receipt is None)
            lane.dead = 0

    def replace(self, old: Delivery, new: Delivery, lane: Lane, now: int) -> None:
        """Put `new` where `old` waits in `lane`; the lane keeps its place among the others."""
        old.stand_in(None)
        new.stand_in(lane)
        lane.queue[lane.queue.index(old)] = new
        if lane.queue[0] is new:
            self._look_again(lane, now)

    def release(self, lane: Lane, now: int, *, unused: bool = False) -> None:
        """The attempt ended (or never began): give its tokens back and let others in."""
        tokens, lane.tokens = lane.tokens, None
        if tokens is None:
            return
        contended = None
        for bucket in tokens:
            if unused:
                bucket.give_back()
            elif bucket.paced:
                bucket.release(now, now - lane.begun)
            else:  # what `release` does, without the call
                bucket.in_flight -= 1
            if lane.cost > 1:
                self._release_more(bucket, lane.cost - 1, now, unused=unused)
            if bucket.waiting is not None:
                contended = contended or []
                contended.append(bucket)
        if contended is not None:
            serve_waiters(contended, now)

    def _release_more(self, bucket: Bucket, count: int, now: int, *, unused: bool) -> None:
        """Give back the tokens that an attempt took beside its first one."""
        if unused:
            bucket.take_more(-count)
        else:
            bucket.release_more(count, now)

    def pause(self, lane: Lane, until: int) -> None:
        """Start nothing of the lane before `until`; it holds no worker meanwhile."""
        lane.running = False
        self._leave(lane)
        lane.timer_at = until
        self.at(until, lane)

    def wait_until_it_works(self, lane: Lane, not_before: int, at_last: int | None = None) -> None:
        """Start nothing of the lane until its instance works, and not before `not_before`.

        at_last  the lane is tried then, even if nothing has worked meanwhile; None: it is not
        """
        lane.running = False
        self._leave(lane)
        lane.doubt = True
        if at_last is not None:
            lane.timer_at = at_last
            self.at(at_last, lane)
        lane.room.account.health.wait_until_it_works(lane, not_before)

    def _leave(self, lane: Lane) -> None:
        """Take a waiting lane out of its queue."""
        lane.waits_in = lane.group = lane.alone_at = lane.timer_at = None
        lane.doubt = False

    def go_on(self, lane: Lane, now: int) -> None:
        """Offer the lane again: its worker has left it."""
        lane.running = False
        self.offer(lane, now)

    def go_on_quietly(self, lane: Lane, now: int) -> None:
        """Offer the lane again once its last attempt cannot arrive any more."""
        lane.running = False
        self._look_again(lane, now)

    def _look_again(self, lane: Lane, now: int) -> None:
        """Offer a waiting lane anew: its head ended, or its limits changed."""
        if lane.running:
            return
        blocked = lane.waits_at if lane.cost > 1 else None
        if lane.quiet > now:
            self.pause(lane, lane.quiet)
        else:
            self._leave(lane)
            self.offer(lane, now)
        if blocked is not None and blocked.waiting is not None:  # lanes after it may need less
            serve_waiters([blocked], now)

    def ask_anew(self, account: InstanceState, now: int) -> None:
        """The account's limits may have changed: let lanes that wait for them ask again."""
        waiting: dict[Bucket, Lane] = {}
        for room in self.rooms.values():
            if room.account is account:
                for lane in room.lanes.values():
                    if lane.waits_at is not None:
                        waiting.setdefault(lane.waits_at, lane)
        for bucket, lane in waiting.items():  # one lane at a bucket asks for all lanes there
            if lane.waits_at is bucket:
                self._look_again(lane, now)
            serve_waiters([bucket], now)

    def lift(self, account: InstanceState, now: int) -> None:
        """Open the account's rooms and threads that refusals closed."""
        for room in self.rooms.values():
            if room.account is account:
                serve_waiters(room.lift(), now)

    # -- time

    def next_alarm(self) -> int:
        """When `ring` has something to do."""
        return min(self._alarms[0][0] if self._alarms else NEVER, self.deadlines.next)

    def ring(self, now: int) -> Delivery | None:
        """Wake the lanes and buckets that are due; stop at a parked delivery, and return it."""
        while self._alarms and self._alarms[0][0] <= now:
            when, _, what = heappop(self._alarms)
            if isinstance(what, Delivery):
                return what
            if isinstance(what, Room):
                self.tidy(what, now)
            elif what.timer_at == when:
                what.timer_at = None
                if isinstance(what, Lane):
                    what.doubt = False
                    self.offer(what, now)
                else:
                    serve_waiters([what], now)
        return None

    def revive(self, now: int) -> list[Lane]:
        """After the partition's task died, let waiting lanes go on; return those left running."""
        self.stand_in = None
        lanes = [lane for room in self.rooms.values() for lane in room.lanes.values()]
        running = [lane for lane in lanes if lane.running]
        for lane in lanes:  # its alarm may have rung just when the task died
            if not lane.running and lane.timer_at is None and not lane.doubt:
                self._look_again(lane, now)
        return running

    def hand_over(self, other: Scheduler) -> None:
        """While this partition is down, `other` rings for the buckets shared with it."""
        self.stand_in = other
        alarms, self._alarms = self._alarms, []
        for when, serial, what in alarms:
            if isinstance(what, Bucket):
                other.at(when, what)
            else:
                heappush(self._alarms, (when, serial, what))
