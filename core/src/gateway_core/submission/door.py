"""The door: from an envelope to a ticket, by the way in that the outbox asks for.

This module waits: for a slot where a bound is reached, and for the outbox. Never for an adapter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from gateway_core.backlog.pager import Pager
from gateway_core.clock import Clock
from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.errors import Refused
from gateway_core.contract.ids import Ids
from gateway_core.engine.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.monitoring.observer import Observer
from gateway_core.outboxes.interface import Outbox
from gateway_core.submission.draft import Drafting
from gateway_core.submission.durable import DurableWay
from gateway_core.submission.in_memory import InMemoryWay
from gateway_core.submission.tickets import Ticket


class Door:
    """Accepts envelopes, or says why not.

    refused            how many were not accepted, by exception
    refused_elsewhere  of those, for instances that are not there
    """

    def __init__(
        self,
        config: GatewayConfig,
        *,
        clock: Clock,
        ids: Ids,
        outbox: Outbox | None,
        registry: InstanceRegistry,
        partitions: Sequence[Partition],
        partition_of: Callable[[str, str], Partition],
        pager: Pager | None,
        observer: Observer,
    ) -> None:
        self._registry = registry
        self._partitions = partitions
        self._observer = observer
        self.partition_of = partition_of
        drafting = self._drafting = Drafting(
            config,
            clock=clock,
            ids=ids,
            registry=registry,
            partition_of=partition_of,
            observer=observer,
        )
        self._way: InMemoryWay | DurableWay
        if outbox is None or pager is None:
            self._way = InMemoryWay(drafting)
        else:
            self._way = DurableWay(drafting, outbox, pager)
        self.refused: Counter[str] = Counter()
        self.refused_elsewhere: Counter[str] = Counter()

    def close(self) -> None:
        """Accept nothing more; wake those who wait for a slot with `GatewayClosed`."""
        self._drafting.closed = True
        for partition in self._partitions:
            partition.admission.close()

    async def submit(self, envelope: Envelope, *, wait: bool) -> Ticket:
        """Accept the envelope, or raise why not. Waits only for a slot and for the outbox."""
        try:
            draft = self._drafting.draft(envelope)
            return await self._way.accept(draft, wait=wait)
        except BaseException as error:
            self._refuse(envelope, error)
            raise

    def _refuse(self, envelope: Envelope, error: BaseException) -> None:
        """Count a refusal; of an instance that is not there under none."""
        if not isinstance(error, Exception):
            return
        name = type(error).__name__
        self.refused[name] += 1
        try:
            account = self._registry.account(envelope.instance_id)
        except Refused:
            self.refused_elsewhere[name] += 1
        else:
            account.counts.refuse(error)
        self._observer.refused(str(envelope.instance_id), name)
