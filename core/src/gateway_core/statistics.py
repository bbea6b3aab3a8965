"""Frozen snapshots of what the gateway counts."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from gateway_core.envelopes import Disposition
from gateway_core.hookspecs import Level


@attrs.frozen(kw_only=True)
class PartitionStatistics:
    """One partition's counts since the gateway opened.

    depth       unfinished envelopes with a place in memory, and those being accepted
    unfinished  accepted and not ended
    outside     of those, kept in the outbox without a place in memory
    waiting     callers that wait for room
    in_flight   attempts under way
    share       of all envelopes accepted, the part that came here
    """

    index: int
    accepted: int
    unfinished: int
    depth: int
    bound: int
    waiting: int
    in_flight: int
    level: Level
    attempts: int
    rate_limited: int
    restarts: int
    share: float
    dispositions: Mapping[Disposition, int]
    outside: int = 0


@attrs.frozen(kw_only=True)
class InstanceStatistics:
    """One instance's state."""

    id: str
    channel: str
    in_flight: int
    unfinished: int
    suspended: str | None
    circuit_open: bool


@attrs.frozen(kw_only=True)
class Statistics:
    """The whole gateway. `accepted == sum(dispositions) + unfinished` at every instant.

    skew      the busiest partition's share of the accepted, over the even share; 1 is perfect
    kept      unfinished envelopes in a durable outbox, those of earlier lives among them
    unserved  of those, by instance, what waits for an instance that is not there
    """

    accepted: int
    unfinished: int
    refused: int
    dispositions: Mapping[Disposition, int]
    attempts: int
    rate_limited: int
    skew: float
    partitions: tuple[PartitionStatistics, ...]
    instances: tuple[InstanceStatistics, ...]
    kept: int = 0
    unserved: Mapping[str, int] = attrs.field(factory=dict)

    @property
    def conserved(self) -> bool:
        """Whether the law of conservation holds; it always does."""
        return self.accepted == sum(self.dispositions.values()) + self.unfinished
