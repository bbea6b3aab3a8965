"""The groups of a process that delivers nothing: it looks at what it is given, and asks the owner.

This module waits: for the owner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from gateway_core.contract.codec import from_json, to_json
from gateway_core.contract.envelopes import Envelope, Priority, Receipt, Send
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.remembered import Scope
from gateway_core.files.keeper import KeptFiles
from gateway_core.groups.registry import Groups
from gateway_core.outboxes.records import GroupState
from gateway_core.submission.draft import Drafting
from gateway_core.submission.handed.asking import Asking
from gateway_core.submission.handed.files import check_files


class HandedGroups(Groups):
    """Groups that the owner accepts, feeds and holds."""

    def __init__(
        self,
        drafting: Drafting,
        asking: Asking,
        spawn: Callable[[Callable[[], Any]], None],
        withdraw: Callable[[Delivery], bool],
        files: KeptFiles,
    ) -> None:
        store: Any = HandedStore(asking)
        nobody: Any = None  # has a turn here
        super().__init__(drafting, store, nobody, spawn, withdraw, files)
        self._asking = asking
        self.handed = self

    async def open(self) -> None:
        """There is nothing to go on with."""

    async def broadcast(self, template: Send, rooms: Sequence[Any]) -> GroupState:
        """Have the owner accept it; raises what that raises."""
        check_files([template])
        template = attrs.evolve(template, key=template.key or self._own_key())
        given = {"template": to_json(template), "rooms": list(rooms)}
        return await self._accepted("broadcast", template.instance_id, given)

    async def submit_many(
        self,
        instance_id: str,
        envelopes: Sequence[Envelope],
        *,
        group: str | None,
        not_before: float | None,
        priority: Priority,
    ) -> GroupState:
        """Likewise, of envelopes that have no problems of their own."""
        check_files(envelopes)
        given = {
            "envelopes": [to_json(each) for each in envelopes],
            "group": group or self._own_key(),
            "not_before": not_before,
            "priority": priority,
        }
        return await self._accepted("submit_many", instance_id, given)

    def _own_key(self) -> str:
        """So that it is one group if an owner ends before it has answered."""
        return f"handed:{self.drafting.next_id()}"

    async def _accepted(self, do: str, instance_id: str, given: dict[str, Any]) -> GroupState:
        self._check_open()
        return _state((await self._asking.ask(instance_id, do, **given))["group"])

    async def state(self, what: str | Scope) -> GroupState | None:
        """How far it is."""
        instance = "" if isinstance(what, str) else what[0]
        found = (await self._asking.ask(instance, "group", what=what))["group"]
        return None if found is None else _state(found)

    async def pause(self, group_id: str, *, paused: bool) -> GroupState | None:
        """Let its members wait, or go on."""
        return await self._done("pause" if paused else "resume", group_id)

    async def cancel(self, group_id: str) -> GroupState | None:
        """Its members without a turn get none; those that have not begun are withdrawn."""
        return await self._done("cancel", group_id)

    async def retry(self, group_id: str) -> int:
        """Try again what has failed of it; how many members that are."""
        return int((await self._asking.ask("", "retry", group=group_id))["retried"])

    async def _done(self, do: str, group_id: str) -> GroupState | None:
        found = (await self._asking.ask("", do, group=group_id))["group"]
        return None if found is None else _state(found)


class HandedStore:
    """Where the owner has the groups."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def groups(
        self, instance_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[GroupState]:
        """By their ids."""
        asked = {"after": after, "limit": limit}
        found = await self._asking.ask(instance_id, "groups", instance=instance_id, **asked)
        return [_state(each) for each in found["groups"]]

    async def failed(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Receipt]:
        """By the ids of their envelopes."""
        asked = {"group": group_id, "after": after, "limit": limit}
        found = (await self._asking.ask("", "failed", **asked))["receipts"]
        return [from_json(Receipt, each) for each in found]


def _state(plain: Mapping[str, Any]) -> GroupState:
    return from_json(GroupState, dict(plain))
