"""Makes the statistics of an instance: its state and its counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway_core.accounts.instance_state import SOURCED, Counts, InstanceState
from gateway_core.engine.partition import Partition
from gateway_core.monitoring.statistics import InstanceStatistics


def state_of(account: InstanceState, partitions: Sequence[Partition]) -> InstanceStatistics:
    """The state of an instance."""
    instance, health = account.instance, account.health
    return _counted(
        account.counts,
        id=instance.id,
        channel=instance.channel,
        in_flight=account.limits.attempts.in_flight,
        unfinished=sum(p.admission.depth_of(instance.id) for p in partitions),
        suspended=str(health.suspended) if health.suspended is not None else None,
        circuit_open=health.open,
        sourced=account.sourced,
    )


def state_of_forgotten(channel: str, counts: Counts) -> InstanceStatistics:
    """The counts of a channel's instances that were forgotten."""
    return _counted(counts, id=SOURCED, channel=channel, sourced=True)


def _counted(counts: Counts, **state: Any) -> InstanceStatistics:
    """Statistics of these counts, and of the state to which they belong."""
    fields = {"in_flight": 0, "unfinished": 0, "suspended": None, "circuit_open": False} | state
    return InstanceStatistics(
        accepted=counts.accepted,
        recovered=counts.recovered,
        refused=dict(counts.refused),
        dispositions=dict(counts.dispositions),
        attempts=counts.attempts,
        attempts_by_partition=dict(counts.ended),
        foreseen=counts.foreseen,
        unforeseen=counts.unforeseen,
        possible_duplicates=counts.possible_duplicates,
        degradations=dict(counts.degradations),
        signs=dict(counts.signs),
        members_fed=counts.fed,
        members_ended=dict(counts.members),
        **fields,
    )
