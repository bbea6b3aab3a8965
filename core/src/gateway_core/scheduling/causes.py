"""What envelopes wait for at this instant. Pure.

Lanes that wait as a group are not told when it moves, or when their account goes out of order:
`flight.cause` is what they came to wait for. Here they are asked about as a group; for how long
each cause was, the group and the account count (`Group.mark`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING

from gateway_core.deliveries.delivery import Flight
from gateway_core.scheduling.rooms import Lane
from gateway_core.scheduling.waiting_groups import Group

if TYPE_CHECKING:
    from gateway_core.accounts.instance_state import Account

SHARED = ("slots", "account limit", "circuit", "suspension")
"""What lanes wait for as a group."""
_named = attrgetter("envelope.instance_id", "cause")


def cause_now(flight: Flight) -> str:
    """What a flight waits for."""
    lane = flight.lane
    if lane is None or lane.group is None or lane.queue[0] is not flight:
        return flight.cause
    return _at(lane, lane.group, flight.cause)


def _at(lane: Lane, group: Group, otherwise: str) -> str:
    """What a member of the group waits for."""
    bucket = group.waits_at
    return lane.room.account.trouble or (otherwise if bucket is None else lane.cause_at(bucket))


def causes(
    flights: Iterable[Flight], groups: Iterable[Group], now: int
) -> Counter[tuple[str, str]]:
    """How many of a partition's flights wait, by instance and cause.

    It is asked with each reading of the metrics: half a microsecond for each flight.
    """
    counts: Counter[tuple[str, str]] = Counter(map(_named, flights))
    standing: defaultdict[Account, list[tuple[Lane, Group]]] = defaultdict(list)
    for group in groups:
        lane = group.members.peek(now)
        if lane is not None:
            standing[lane.room.account].append((lane, group))
    for account, theirs in standing.items():
        _spread(counts, account.instance.id, theirs)
    return Counter({key: n for key, n in counts.items() if n and key[1] != "attempt"})


def _spread(
    counts: Counter[tuple[str, str]], instance: str, standing: list[tuple[Lane, Group]]
) -> None:
    """Count those who wait as groups by where each group stands; nearly always there is one."""
    rest = sum(counts.pop((instance, cause), 0) for cause in SHARED)
    for lane, group in standing[1:]:
        count = min(rest, group.members.ahead(None))
        counts[instance, _at(lane, group, SHARED[0])] += count
        rest -= count
    counts[instance, _at(*standing[0], SHARED[0])] += rest
