"""Questions to the owner, and its answers. This module waits: for the owner."""

from __future__ import annotations

import json
from typing import Any

import attrs

from gateway_core.contract.errors import OutboxError
from gateway_core.outboxes.handover import Handover
from gateway_core.outboxes.refusals import refusal_of


@attrs.define(eq=False)
class Asking:
    """Asks whoever owns the outbox, now or later."""

    _handover: Handover

    async def ask(self, instance_id: str, do: str, **fields: Any) -> dict[str, Any]:
        """What the owner has done, or says; raises what it raised.

        instance_id  whom that is about; empty: all
        """
        answer = await self._handover.ask(instance_id, json.dumps({"do": do} | fields))
        plain: dict[str, Any] = json.loads(answer)
        if "error" in plain:
            raise refusal_of(plain["error"])
        if "refused" in plain:
            raise OutboxError(str(plain["refused"]))
        return plain
