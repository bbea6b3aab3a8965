"""Makes the components that serve an `instance_source`. Never waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gateway_core.backlog.pager import Pager
from gateway_core.engine.partition import Partition
from gateway_core.groups.registry import Groups
from gateway_core.outboxes.spreading import Spreading
from gateway_core.sourcing.asking import InstanceSource
from gateway_core.sourcing.forgetting import Forgetting
from gateway_core.sourcing.sourcing import Sourcing
from gateway_core.sourcing.stored import Stored
from gateway_core.submission.draft import Drafting


class SourcedAccounts:
    """Brings in the accounts that a source gives, and forgets them.

    sourcing    brings accounts in when they are needed
    stored      brings in accounts for which an outbox has stored something
    forgetting  forgets idle accounts
    """

    def __init__(
        self,
        sourcing: Sourcing,
        spawn: Callable[[Callable[[], Any]], None],
        partitions: Sequence[Partition],
        groups: Groups,
    ) -> None:
        self.sourcing = sourcing
        self.stored = Stored(sourcing, spawn)
        self.forgetting = Forgetting(sourcing, partitions, groups.fed, groups.forget)


def sourced_by(
    source: InstanceSource | None,
    drafting: Drafting,
    pager: Pager | None,
    spawn: Callable[[Callable[[], Any]], None],
    partitions: Sequence[Partition],
    groups: Groups,
    spread: Spreading | None,
) -> SourcedAccounts | None:
    """Make the components that bring in a source's accounts; None: there is no source."""
    if source is None:
        return None
    registry, settings = drafting.registry, drafting.config.instance_source
    registry.sourced = True
    backlog = None if pager is None else pager.accounts
    drafting.source = Sourcing(source, settings, registry, backlog, drafting.clock, spawn)
    sourced = SourcedAccounts(drafting.source, spawn, partitions, groups)
    if backlog is not None:
        backlog.on_unserved = sourced.stored.want
    if spread is not None:
        spread.wanted = partial(sourced.stored.want, stored=0)
        sourced.stored.on_unknown = spread.lacks
    return sourced
