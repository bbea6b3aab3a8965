"""Says what envelopes wait for at this instant. Sans-I/O.

If a lane waits in a group, `delivery.cause` is the cause for which the lane joined it. That does
not change when the group moves or its account has trouble, so this module asks the group. The group
and the account count how long each cause lasted (`WaitingGroup.mark`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from operator import attrgetter

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.deliveries.delivery import Delivery
from gateway_core.scheduling.rooms import Lane, lane_of
from gateway_core.scheduling.waiting_groups import WaitingGroup

SHARED = ("slots", "account limit", "circuit", "suspension")
"""The causes for which lanes wait as a group."""
_named = attrgetter("envelope.instance_id", "cause")


def cause_now(delivery: Delivery) -> str:
    """What a delivery waits for."""
    lane = lane_of(delivery)
    if lane is None or lane.group is None or lane.queue[0] is not delivery:
        return delivery.cause
    return _at(lane, lane.group, delivery.cause)


def _at(lane: Lane, group: WaitingGroup, otherwise: str) -> str:
    """What a member of the group waits for."""
    bucket = group.waits_at
    return lane.room.account.health.trouble or (
        otherwise if bucket is None else lane.cause_at(bucket)
    )


def causes(
    deliveries: Iterable[Delivery], groups: Iterable[WaitingGroup], now: int
) -> Counter[tuple[str, str]]:
    """How many of a partition's deliveries wait, by instance and cause; takes 0.5 µs for each."""
    counts: Counter[tuple[str, str]] = Counter(map(_named, deliveries))
    standing: defaultdict[InstanceState, list[tuple[Lane, WaitingGroup]]] = defaultdict(list)
    for group in groups:
        lane: Lane | None = group.members.peek(now)
        if lane is not None:
            standing[lane.room.account].append((lane, group))
    for account, theirs in standing.items():  # nearly always one group for each account
        instance = account.instance.id
        rest = sum(counts.pop((instance, cause), 0) for cause in SHARED)
        for lane, group in theirs[1:]:
            count = min(rest, group.members.ahead(None))
            counts[instance, _at(lane, group, SHARED[0])] += count
            rest -= count
        counts[instance, _at(*theirs[0], SHARED[0])] += rest
    return Counter({key: n for key, n in counts.items() if n and key[1] != "attempt"})
