"""The door: from an envelope to a ticket, in memory or through an outbox.

This module waits: for a slot where a bound is reached, and for the outbox. Never for an adapter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.errors import InstanceSuspended, Refused
from gateway_core.deliveries.growing.growth import Growth
from gateway_core.engine.partition import Partition
from gateway_core.submission.draft import Drafting
from gateway_core.submission.durable import DurableWay
from gateway_core.submission.in_memory import InMemoryWay
from gateway_core.submission.tickets import Ticket


@attrs.define(eq=False)
class Door:
    """Accepts envelopes, or says why not.

    refused            how many were not accepted, by exception
    refused_elsewhere  of those, how many were for instances that are not there
    """

    _drafting: Drafting
    _way: InMemoryWay | DurableWay
    _partitions: Sequence[Partition]
    refused: Counter[str] = attrs.field(factory=Counter, init=False)
    refused_elsewhere: Counter[str] = attrs.field(factory=Counter, init=False)

    def close(self) -> None:
        """Accept nothing more; wake those who wait for a slot with `GatewayClosed`."""
        self._drafting.closed = True
        for partition in self._partitions:
            partition.admission.close()

    def account(self, instance_id: str) -> InstanceState:
        """The account, if it is open to envelopes. Raises `GatewayClosed`, or why it is not."""
        self._drafting.check_open()
        return self._drafting.account_for(instance_id)

    def check_open(self) -> None:
        """Raises `GatewayClosed` if the gateway accepts nothing more."""
        self._drafting.check_open()

    async def submit(
        self,
        envelope: Envelope,
        *,
        wait: bool,
        awaited: bool = False,
        growth: Growth | None = None,
    ) -> Ticket:
        """Accept the envelope, or raise why not. Waits only for a slot and for the outbox.

        awaited  its caller waits for the end
        growth   of a stream: its text, which grows
        """
        try:
            draft = self._drafting.draft(envelope, awaited=awaited)
            draft.growth = growth
            return await self._way.accept(draft, wait=wait)
        except Exception as error:
            self.refuse(envelope, error)
            raise

    def hopeless(self, envelope: Envelope) -> InstanceSuspended | None:
        """Why nobody should wait for an envelope of an account that has never worked."""
        account = self._drafting.registry.serving.get(envelope.instance_id)
        if account is None or not self._drafting.is_hopeless(account):
            return None
        why = str(account.health.suspended)
        return InstanceSuspended(instance_id=account.instance.id, why=why)

    def refuse(self, envelope: Envelope, error: Exception) -> None:
        """Count a refusal, by its instance if that is there."""
        name = type(error).__name__
        self.refused[name] += 1
        told: set[int] = set()
        registry = self._drafting.registry
        try:
            account = registry.account(envelope.instance_id)
        except Refused:
            self.refused_elsewhere[name] += 1
            hear = registry.channels()
        else:
            account.counts.refuse(error)
            hear = (account.hooks,)
        self._drafting.observer.refused(str(envelope.instance_id), name)
        for hooks in hear:
            hooks.after_refusal(envelope, error, told)
