"""Asks the owner of an outbox, and reads its answers. Waits only for the owner."""

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
"""For a question that needs no files."""


@attrs.define(eq=False)
class Asking:
    """Asks the process that owns the outbox, now or later."""

    _handover: Handover

    async def ask(
        self, instance_id: str, do: str, *, files: Mapping[str, bytes] = NO_FILES, **fields: Any
    ) -> dict[str, Any]:
        """Ask the owner, and return its answer; raises what the owner raised.

        instance_id  the account that the question is about; empty: all accounts
        files        the bytes that the owner needs, by their digests
        """
        question = json.dumps({"do": do} | fields)
        answer = await self._handover.ask(instance_id, question, files=files)
        plain: dict[str, Any] = json.loads(answer)
        if "error" in plain:
            raise refusal_of(plain["error"])
        if "refused" in plain:
            raise OutboxError(str(plain["refused"]))
        return plain
