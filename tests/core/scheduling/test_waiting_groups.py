"""What a delivery waited for with its group is told by causes, from its coming on."""

from __future__ import annotations

from types import SimpleNamespace

from gateway_core.clock import SECOND
from gateway_core.deliveries.waits import Elapsed
from gateway_core.ratelimits.acquire import Blocked
from gateway_core.ratelimits.bucket import Bucket
from gateway_core.ratelimits.instance_limits import InstanceLimits
from gateway_core.scheduling.rooms import Lane
from gateway_core.scheduling.waiting_groups import WaitingGroup, queue_of, serve_waiters


def test_each_cause_is_told_for_as_long_as_it_lasted_while_the_delivery_waited():
    """It came at second 5: a suspension before that was none of its waits."""
    shut, limits = Elapsed(), InstanceLimits("bot", attempts=1)
    account = SimpleNamespace(limits=limits, health=SimpleNamespace(shut=shut))
    group = WaitingGroup((limits.attempts,), None, account)
    shut.turn("suspension", 1 * SECOND)
    shut.turn("", 3 * SECOND)
    lane = Lane(None, None, SimpleNamespace(account=account), None)
    group.join(lane, limits.attempts, 4 * SECOND)
    mark = group.mark(5 * SECOND)
    shut.turn("circuit", 8 * SECOND)
    shut.turn("suspension", 10 * SECOND)
    shut.turn("", 11 * SECOND)
    told = group.split(10 * SECOND, mark, 15 * SECOND)
    expected = {"slots": 7, "circuit": 2, "suspension": 1, "account limit": 0}
    assert {cause: seconds * SECOND for cause, seconds in expected.items()} == told


def test_lanes_that_two_buckets_hand_to_each_other_leave_the_others_their_turns():
    """They go on in a moment."""
    one, other, alarms = Bucket("one", 1), Bucket("other", 1), []

    def try_start(lane, now, woken, work):
        next_one = other if woken is one else one
        queue_of(next_one).push(lane)
        work.append(next_one)
        return Blocked(next_one, now)

    home = SimpleNamespace(
        try_start=try_start, stand_in=None, at=lambda at, bucket: alarms.append((at, bucket))
    )
    waiter = Lane(None, None, None, home)
    waiter.rank = (0, False, 1)
    queue_of(one).push(waiter)
    serve_waiters([one], 5 * SECOND)
    ((at, bucket),) = alarms
    assert waiter.waits_in is bucket.waiting
    assert 5 * SECOND < at < 6 * SECOND
