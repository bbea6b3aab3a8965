"""Puts together the parts of a gateway that only hands over. Waits only for the owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway_core.answering.handed import HandedTyping
from gateway_core.contract.codec import from_json
from gateway_core.contract.envelopes import Envelope, Receipt, Undelivered
from gateway_core.files.keeper import KeptFiles
from gateway_core.groups.handed.groups import HandedGroups
from gateway_core.outboxes.endings import Follower
from gateway_core.outboxes.handover import Handover
from gateway_core.submission.draft import Drafting
from gateway_core.submission.handed.asking import Asking
from gateway_core.submission.handed.growing import Telling
from gateway_core.submission.handed.lookup import HandedLookup
from gateway_core.submission.handed.way import HandoverWay


class Producer:
    """Hands envelopes over, looks them up, and asks the owner, which says how each ended."""

    def __init__(
        self,
        handover: Handover,
        drafting: Drafting,
        spawn: Callable[[Callable[[], Any]], None],
        files: KeptFiles,
    ) -> None:
        handover.keys_for = drafting.config.idempotency_window
        self.handover, self._drafting = handover, drafting
        self._asking = Asking(handover)
        self._telling = Telling(handover, self._asking, spawn)
        self.typing = HandedTyping(handover, self._asking, spawn)
        self.way = HandoverWay(drafting, handover, self._telling, files)
        self.bound = self.way.bound
        self.lookup = HandedLookup(handover, self._asking)
        withdraw = self.lookup.withdraw_held
        self.groups = HandedGroups(drafting, self._asking, spawn, withdraw, files)
        self.follower = Follower(handover)

    async def drained(self) -> None:
        """Wait until the owner has every stream's whole text, or needs it no longer."""
        await self._telling.drained()

    async def find_anew(self, instance_id: str) -> None:
        """Let the owner ask its instance source anew. Raises what the owner raises."""
        await self._asking.ask(instance_id, "find_instance", instance=instance_id)

    async def remove_instance(self, instance_id: str, drain: float) -> list[Undelivered]:
        """Remove an instance, here and at the owner; returns what the owner ended undelivered.

        Raises what the owner raises.
        """
        registry = self._drafting.registry
        registry.account(instance_id)  # raises the reason
        told = await self._asking.ask(
            instance_id, "remove_instance", instance=instance_id, drain=drain
        )
        if instance_id in registry.serving:
            await registry.remove(instance_id)
        return [
            Undelivered(from_json(Envelope, envelope), from_json(Receipt, receipt))
            for envelope, receipt in told["undelivered"]
        ]
