"""Groups in a process that delivers nothing: checks what a caller gives, and asks the owner.

This module waits: for the owner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from gateway_core.contract.codec import from_json, to_json
from gateway_core.contract.envelopes import Envelope, Priority, Receipt
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.remembered import Scope
from gateway_core.files.keeper import KeptFiles
from gateway_core.files.many import digests_of
from gateway_core.groups.making import GroupDraft
from gateway_core.groups.registry import Groups
from gateway_core.outboxes.records import OWN_KEY, GroupState, OutboxForbidden
from gateway_core.submission.draft import Drafting
from gateway_core.submission.handed.asking import Asking


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
        store: Any = HandedStore(asking, self)
        nobody: Any = None  # no member has its turn here
        super().__init__(drafting, store, nobody, spawn, withdraw, files)
        self._asking = asking
        self._instances: dict[str, str] = {}

    def handed_for(self, _instance_id: str) -> HandedGroups:
        """The account's owner accepts its groups."""
        return self

    async def open(self) -> None:
        """Do nothing: this process has no groups to go on with."""

    async def broadcast(self, wanted: GroupDraft, rooms: Any) -> GroupState:
        """Have the owner accept the broadcast; raises the owner's exception."""
        asked = wanted.asked
        template = attrs.evolve(asked, key=asked.key or self._own_key())
        given = {"template": to_json(template), "rooms": list(rooms)}
        return await self._accepted("broadcast", wanted, [asked], given)

    async def submit_many(
        self,
        wanted: GroupDraft,
        *,
        group: str | None,
        not_before: float | None,
        priority: Priority,
    ) -> GroupState:
        """Have the owner accept envelopes that have no problems of their own."""
        given = {
            "envelopes": [to_json(each) for each in wanted.own],
            "group": group or self._own_key(),
            "not_before": not_before,
            "priority": priority,
        }
        return await self._accepted("submit_many", wanted, wanted.own, given)

    def _own_key(self) -> str:
        """A key, so that the group stays one even if an owner ends before it has answered."""
        return f"{OWN_KEY}{self.drafting.next_id()}"

    async def _accepted(
        self, do: str, wanted: GroupDraft, asked: Sequence[Envelope], given: dict[str, Any]
    ) -> GroupState:
        """Have the owner accept a group, with the bytes that it needs before policies change it."""
        self._check_open()
        digests = {digest for each in asked for digest in digests_of(each)}
        contents = await wanted.files.contents(digests)
        told = await self._asking.ask(wanted.asked.instance_id, do, files=contents, **given)
        return self.known(told["group"])

    def instance_of(self, group_id: str) -> str:
        """The account of a group, as far as it is known here; empty: it may be any account."""
        serving = tuple(self.drafting.registry.serving)
        alone = len(serving) == 1 and self.drafting.source is None
        only = serving[0] if alone else ""
        return self._instances.get(group_id, only)

    async def state(self, what: str | Scope) -> GroupState | None:
        """How far a group is; None: it is not known (any more).

        Raises `OutboxForbidden` if its account is not known here, and this process may not ask
        about all accounts.
        """
        instance = self.instance_of(what) if isinstance(what, str) else what[0]
        try:
            found = (await self._asking.ask(instance, "group", what=what))["group"]
        except OutboxForbidden as error:
            if instance:
                raise
            raise OutboxForbidden(
                f"group {what} cannot be looked up by its id alone: this process's role may not ask"
                " about all instances. Name the instance with `group(instance=…, key=…)`, or find"
                " the group in `groups(instance)`; from then on its id is enough here"
            ) from error
        return None if found is None else self.known(found)

    async def pause(self, group_id: str, *, paused: bool) -> GroupState | None:
        """Pause the group's members, or let them go on."""
        return await self._done("pause" if paused else "resume", group_id)

    async def cancel(self, group_id: str) -> GroupState | None:
        """Members without a turn get none; members that have not begun are withdrawn."""
        return await self._done("cancel", group_id)

    async def retry(self, group_id: str) -> int:
        """Try the group's failed members again; returns how many they are."""
        instance = self.instance_of(group_id)
        return int((await self._asking.ask(instance, "retry", group=group_id))["retried"])

    async def _done(self, do: str, group_id: str) -> GroupState | None:
        found = (await self._asking.ask(self.instance_of(group_id), do, group=group_id))["group"]
        return None if found is None else self.known(found)

    def learn(self, state: GroupState) -> None:
        """Note the account of a group."""
        self._instances[state.group.id] = state.group.instance_id

    def known(self, plain: Mapping[str, Any]) -> GroupState:
        """The state that the owner reported; the group's account is known from now on."""
        state = from_json(GroupState, dict(plain))
        self.learn(state)
        return state


class HandedStore:
    """Reads the groups that the owner has."""

    def __init__(self, asking: Asking, groups: HandedGroups) -> None:
        self._asking = asking
        self._groups = groups

    async def groups(
        self, instance_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[GroupState]:
        """The states of an account's groups, by id."""
        found = await self._asking.ask(
            instance_id, "groups", instance=instance_id, after=after, limit=limit
        )
        return [self._groups.known(each) for each in found["groups"]]

    async def failed(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Receipt]:
        """Receipts of failures, by the ids of their envelopes."""
        instance = self._groups.instance_of(group_id)
        told = await self._asking.ask(instance, "failed", group=group_id, after=after, limit=limit)
        return [from_json(Receipt, each) for each in told["receipts"]]
