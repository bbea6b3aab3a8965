"""Makes a gateway's components for accounts that are spread over several processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway_core.backlog.pager import Pager
from gateway_core.groups.registry import Groups
from gateway_core.outboxes.records import Request
from gateway_core.producers.producer import Producer
from gateway_core.spread.groups import SpreadGroups
from gateway_core.spread.lookup import SpreadLookup
from gateway_core.spread.way import SpreadWay
from gateway_core.submission.draft import Drafting
from gateway_core.submission.durable import DurableWay
from gateway_core.submission.lookup import Lookup


class Spread:
    """Joins the components for owned accounts and for others; the pager says which are owned."""

    def __init__(
        self,
        pager: Pager,
        way: DurableWay,
        producer: Producer,
        here: Lookup,
        groups: Groups,
        spawn: Callable[[Callable[[], Any]], None],
        drafting: Drafting,
        pass_on: Callable[[Request], None],
    ) -> None:
        self.way = SpreadWay(pager, way, producer.way)
        self.lookup = SpreadLookup(
            here, producer.lookup, producer.handover, spawn, lambda: drafting.closed
        )
        self.groups = SpreadGroups.beside(groups, pager, producer.groups)
        producer.way.keeps_order = True
        producer.bound.capacity = pager.capacity
        pager.follow(self.way.follow)
        pager.accounts.on_left = self.groups.leave
        pager.requests.pass_on = pass_on
        pager.requests.is_ours = lambda instance_id: (
            not instance_id
            or pager.accounts.has(instance_id)
            or pager.accounts.is_coming(instance_id)
        )
