"""The frozen snapshots of what the gateway counts."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from gateway_core.contract.envelopes import Disposition
from gateway_core.contract.hookspecs import Level
from gateway_core.outboxes.tenure import Tenure


@attrs.frozen(kw_only=True)
class PartitionStatistics:
    """One partition's counts since the gateway opened.

    depth        unfinished envelopes with a slot in memory, and those being accepted
    unfinished   envelopes accepted and not ended; of previous process runs, those that were loaded
    spilled      of those, the envelopes in the outbox only, without a slot in memory
    waiting      callers that wait for a slot
    in_flight    attempts under way
    oldest_wait  seconds since the oldest unfinished envelope in memory was accepted, or was due
    share        this partition's share of all accepted envelopes
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
    spilled: int = 0
    oldest_wait: float = 0.0

    @property
    def occupancy(self) -> float:
        """Depth as a share of the bound; it can exceed 1, since each class has the whole bound."""
        return self.depth / self.bound


@attrs.frozen(kw_only=True)
class InstanceStatistics:
    """One instance's state, and its counts since it was added.

    attempts     ended attempts, by (class, reason); ("none", "") are successes
    attempts_by_partition  ended attempts, by (partition, pressure when the envelope was accepted,
                           class, reason)
    foreseen     attempts refused by a limit that were in flight when its first refusal came
    unforeseen   attempts refused by an unknown limit, or by one that was used up elsewhere
    recovered    envelopes that a previous process run had accepted
    signs        signs, by (`typing` or `acknowledge`, what became of it: `made`, `passed over`,
                 `failed`)
    members_fed  members of groups that had their turn; `members_ended`: members that ended, by
                 disposition, including those that never had a turn
    sourced      whether the `instance_source` gave it
    """

    id: str
    channel: str
    in_flight: int
    unfinished: int
    suspended: str | None
    circuit_open: bool
    accepted: int = 0
    recovered: int = 0
    refused: Mapping[str, int] = attrs.field(factory=dict)
    dispositions: Mapping[Disposition, int] = attrs.field(factory=dict)
    attempts: Mapping[tuple[str, str], int] = attrs.field(factory=dict)
    attempts_by_partition: Mapping[tuple[int, str, str, str], int] = attrs.field(factory=dict)
    foreseen: int = 0
    unforeseen: int = 0
    possible_duplicates: int = 0
    degradations: Mapping[str, int] = attrs.field(factory=dict)
    signs: Mapping[tuple[str, str], int] = attrs.field(factory=dict)
    members_fed: int = 0
    members_ended: Mapping[Disposition, int] = attrs.field(factory=dict)
    sourced: bool = False


@attrs.frozen(kw_only=True)
class Statistics:
    """The whole gateway. `accepted == sum(dispositions) + unfinished + handed` at every instant.

    handed    envelopes that were handed over to another process, and that have not ended as far as
              this process knows: it hears only of those that somebody waits for
    skew      the busiest partition's share of accepted envelopes, divided by an even share; 1 is
              perfect
    stored    unfinished envelopes in a durable outbox, including those of previous runs
    unserved  of those, by instance, the envelopes whose instance is not configured
    refused_elsewhere  refusals of envelopes for instances that are not configured, by exception
    hook_errors        errors of hookimpls that were stopped, by (channel, plugin, hook)
    hook_slow          times that a hookimpl held the event loop for 0.1 s or more, by the same
    groups             groups that have not ended
    members            of those, members whose turn has not come: accepted as part of a group, and
                       not yet as envelopes, so that they are in no other count
    open_groups        groups that have not ended by (instance, `fed`, `scheduled`, `paused` or
                       `cancelled`); `members_waiting`: their members without a turn, by instance
    forgotten          by channel, under the id `*`: the counts of accounts that the
                       `instance_source` gave, and that were forgotten
    tenure             this process's position in an outbox that several processes share; None: the
                       outbox belongs to one process, or this process only hands over
    waiting            envelopes in memory by (instance, what they wait for now), if asked for
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
    handed: int = 0
    stored: int = 0
    unserved: Mapping[str, int] = attrs.field(factory=dict)
    refused_elsewhere: Mapping[str, int] = attrs.field(factory=dict)
    hook_errors: Mapping[tuple[str, str, str], int] = attrs.field(factory=dict)
    hook_slow: Mapping[tuple[str, str, str], int] = attrs.field(factory=dict)
    waiting: Mapping[tuple[str, str], int] = attrs.field(factory=dict)
    groups: int = 0
    members: int = 0
    open_groups: Mapping[tuple[str, str], int] = attrs.field(factory=dict)
    members_waiting: Mapping[str, int] = attrs.field(factory=dict)
    forgotten: tuple[InstanceStatistics, ...] = ()
    tenure: Tenure | None = None

    @property
    def conserved(self) -> bool:
        """Whether `accepted == sum(dispositions) + unfinished + handed` holds; it always does."""
        ended = sum(self.dispositions.values())
        return self.accepted == ended + self.unfinished + self.handed
