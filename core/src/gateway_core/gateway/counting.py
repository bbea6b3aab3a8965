"""Counts the statistics of a gateway over its parts."""

from __future__ import annotations

from collections import Counter

from gateway_core.contract.envelopes import Disposition
from gateway_core.gateway.wiring import Parts
from gateway_core.monitoring.statistics import Statistics


def snapshot(parts: Parts, *, waiting: bool) -> Statistics:
    """The statistics as of now; `waiting`: also what envelopes wait for, looking at each."""
    partitions, door, groups, pager = parts.partitions, parts.door, parts.groups, parts.pager
    total = sum(partition.accepted for partition in partitions)
    counted = tuple(partition.statistics(total) for partition in partitions)
    dispositions: Counter[Disposition] = Counter()
    causes: Counter[tuple[str, str]] = Counter()
    for partition in partitions:
        dispositions.update(partition.completion.dispositions)
        if waiting:
            causes.update(partition.causes())
    busiest = max(part.share for part in counted)
    return Statistics(
        accepted=total,
        unfinished=sum(part.unfinished for part in counted),
        handed=sum(partition.handed for partition in partitions),
        refused=sum(door.refused.values()),
        refused_elsewhere=dict(door.refused_elsewhere),
        hook_errors={
            (channel, *where): count
            for channel, hooks in parts.hooks.items()
            for where, count in hooks.failures.items()
        },
        hook_slow={
            (channel, *where): count
            for channel, hooks in parts.hooks.items()
            for where, count in hooks.slow.items()
        },
        dispositions=dict(dispositions),
        attempts=sum(part.attempts for part in counted),
        rate_limited=sum(part.rate_limited for part in counted),
        skew=busiest * len(counted) if total else 1.0,
        partitions=counted,
        instances=parts.registry.statistics(),
        forgotten=parts.registry.forgotten(),
        stored=pager.capacity.unfinished if pager is not None else 0,
        unserved=pager.accounts.unserved if pager is not None else {},
        waiting=dict(causes),
        groups=len(groups.feeds),
        members=groups.waiting,
        open_groups=groups.open_groups(),
        members_waiting=groups.waiting_by_instance(),
        tenure=None if parts.tenure is None else parts.tenure(),
    )
