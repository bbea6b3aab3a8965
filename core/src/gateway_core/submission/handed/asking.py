"""Questions to the owner, and its answers. This module waits: for the owner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from gateway_core.contract.errors import OutboxError
from gateway_core.outboxes.handover import Handover
from gateway_core.outboxes.refusals import refusal_of

NO_FILES: Mapping[str, bytes] = MappingProxyType({})
"""It needs none."""


@attrs.define(eq=False)
class Asking:
    """Asks whoever owns the outbox, now or later."""

    _handover: Handover

    async def ask(
        self, instance_id: str, do: str, *, files: Mapping[str, bytes] = NO_FILES, **fields: Any
    ) -> dict[str, Any]:
        """What the owner has done, or says; raises what it raised.

        instance_id  whom that is about; empty: all
        files        the bytes that it needs, by their digests
        """
        question = json.dumps({"do": do} | fields)
        answer = await self._handover.ask(instance_id, question, files=files)
        plain: dict[str, Any] = json.loads(answer)
        if "error" in plain:
            raise refusal_of(plain["error"])
        if "refused" in plain:
            raise OutboxError(str(plain["refused"]))
        return plain
