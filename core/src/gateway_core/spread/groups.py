"""Serves the groups of all accounts: feeds those of accounts owned here, hands over the others.

This module waits: for the outbox, and for the owner of a group's account.
"""

from __future__ import annotations

from gateway_core.backlog.pager import Pager
from gateway_core.deliveries.remembered import Scope
from gateway_core.groups.handed.groups import HandedGroups
from gateway_core.groups.registry import Groups, HandsOver
from gateway_core.outboxes.records import GroupState


class SpreadGroups(Groups):
    """Feeds the groups of accounts owned here; hands over other groups to their owners."""

    _pager: Pager
    _elsewhere: HandedGroups

    @classmethod
    def beside(cls, here: Groups, pager: Pager, elsewhere: HandedGroups) -> SpreadGroups:
        """Join the groups that are fed here and those handed over to other processes."""
        spread = cls(*here.parts)
        spread._pager, spread._elsewhere = pager, elsewhere
        return spread

    def handed_for(self, instance_id: str) -> HandsOver | None:
        """The way to hand groups over to the account's owner; None: this process owns it."""
        return None if self._pager.accounts.has(instance_id) else self._elsewhere

    async def serve(self, instance_id: str) -> None:
        """Serve the account's groups if the account is owned here."""
        if self._pager.accounts.has(instance_id):
            await super().serve(instance_id)

    async def pause(self, group_id: str, *, paused: bool) -> GroupState | None:
        """Let its members wait, or go on."""
        if await self._is_elsewhere(group_id):
            return await self._elsewhere.pause(group_id, paused=paused)
        return await super().pause(group_id, paused=paused)

    async def cancel(self, group_id: str) -> GroupState | None:
        """Give its members no more turns, and withdraw those that have not begun."""
        if await self._is_elsewhere(group_id):
            return await self._elsewhere.cancel(group_id)
        return await super().cancel(group_id)

    async def retry(self, group_id: str) -> int:
        """Try again its members that failed; return how many there are."""
        if await self._is_elsewhere(group_id):
            return await self._elsewhere.retry(group_id)
        return await super().retry(group_id)

    async def _is_elsewhere(self, what: str | Scope) -> bool:
        state = await self.state(what)
        if state is None or self._pager.accounts.has(state.group.instance_id):
            return False
        self._elsewhere.learn(state)
        return True
