"""`Gateway`: the public face; each of its verbs is a few lines that use the parts.

This module waits: for the outbox, and for unfinished work when the gateway closes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import cached_property, partial
from typing import Any

import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.answering.handed import ShownForOthers
from gateway_core.answering.typing import Typing
from gateway_core.clock import SECOND
from gateway_core.contract.addresses import Address
from gateway_core.contract.envelopes import Envelope, KeyRef, Undelivered
from gateway_core.contract.errors import ConfigError, Problem
from gateway_core.deliveries.delivery import Delivery
from gateway_core.gateway.copies import refuse_copy
from gateway_core.gateway.counting import snapshot
from gateway_core.gateway.instances import InstanceVerbs
from gateway_core.gateway.life import Life
from gateway_core.gateway.wiring import Parts
from gateway_core.groups.requests import GroupRequests
from gateway_core.groups.verbs import GroupVerbs
from gateway_core.monitoring.statistics import Statistics
from gateway_core.outboxes.endings import Ended
from gateway_core.outboxes.journal import report
from gateway_core.outboxes.records import Request, Suspension
from gateway_core.producers.accepting import Accepting
from gateway_core.producers.questions import Questions
from gateway_core.producers.written import WrittenElsewhere
from gateway_core.spread.signs import SpreadTyping
from gateway_core.streams.opening import Streaming
from gateway_core.submission.checks import check_envelope
from gateway_core.submission.preview import Preview, foresee, foresee_apart
from gateway_core.submission.status import Status
from gateway_core.submission.tickets import Ticket


class Gateway(Streaming, GroupVerbs, InstanceVerbs):
    """Send, edit and delete messages on every installed channel, and answer what comes in.

    Made by `open_gateway`.
    """

    __reduce__ = refuse_copy

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.door, parts.lookup.withdraw_held)
        self.config = parts.config
        self._parts = parts
        self._life = Life(parts, self._end_streams)
        self._reloading = trio.Lock()
        self._serves, self._suspensions = parts.serves, parts.suspensions
        self._clock, self._drafting, self._journal = parts.clock, parts.drafting, parts.journal
        self._registry, self._partitions = parts.registry, parts.partitions
        self._partition_of, self._pager = parts.partition_of, parts.pager
        self._producer, self._lookup, self._groups = parts.producer, parts.lookup, parts.groups
        if parts.sourced is not None:
            parts.sourced.sourcing.on_found = self._groups_arrived
        if parts.pager is not None:  # requests of other processes to this one
            requests = parts.pager.requests
            requests.accept, requests.cancel = self._accept_asked, parts.here.withdraw
            requests.ask, requests.group = self._answer_question, GroupRequests(self).answer
            requests.comes = self._comes
            for partition in parts.partitions:
                partition.written_elsewhere = self._came_in

    # -- about envelopes

    def preview(self, envelope: Envelope) -> Preview:
        """Preview `envelope`: its problems, parts and limits. Accepts and sends nothing.

        Raises `UnknownInstance`, `ConfigError` if its settings belong to another channel, and
        `HookContractError` if a hook fails.
        """
        account = self._account_of(envelope)
        return foresee(account.hooks, account.instance, envelope, self.config, account.addresses)

    async def _preview_apart(self, envelope: Envelope) -> Preview:
        """Preview `envelope` as `preview` does, but a long text holds up no other task."""
        account = self._account_of(envelope)
        hooks, addresses = account.hooks, account.addresses
        return await foresee_apart(hooks, account.instance, envelope, self.config, addresses)

    def _account_of(self, envelope: Envelope) -> InstanceState:
        check_envelope(envelope)
        account = self._registry.account(envelope.instance_id)
        if account.unfit:
            place = f"instances.{envelope.instance_id}.settings"
            raise ConfigError([Problem(place, account.unfit)])
        return account

    def address(self, instance_id: str, event: Any) -> Address | None:
        """The address that an event came from, so that it can be answered there.

        `event` is the platform's JSON, or an object of a library that the adapter knows. None: the
        event belongs to no conversation, or the instance can answer no event. Raises
        `UnknownInstance` and `HookContractError`.
        """
        account = self._registry.account(instance_id)
        return account.hooks.address(account.instance, event)

    async def cancel(self, what: Ticket | str) -> bool:
        """End an envelope `cancelled` if it has not started; returns whether that succeeded.

        An envelope in memory ends at once, before other tasks run. Raises `Invalid` for anything
        but a ticket or an id, and `OutboxError` if a durable outbox has to be asked but does not
        answer.
        """
        self._check_loop()
        return await self._lookup.withdraw(what)

    async def status(self, what: Ticket | KeyRef | str) -> Status | None:
        """The status of an envelope, by its id, ticket or key; None: it is not known (any more).

        If it is in memory, the answer is as of the call. Raises `OutboxError` as `cancel` does.
        """
        self._check_loop()
        return await self._lookup.status(what)

    def endings(self, after: str | None = None) -> AsyncIterator[Ended]:
        """Every ending after the cursor `after`, in order, as it happens, until the gateway closes.

        after  the cursor of the last ending that you have processed; None: start with the oldest
               that is remembered

        With a durable outbox this includes endings of previous runs, each at least once, even after
        a kill; without one, only those of this run. Raises `EndingsForgotten` if some endings after
        the cursor are no longer remembered, `Invalid` for anything that is no cursor, and
        `OutboxError` if this process may not read endings; other failures of the outbox are logged.
        """
        self._check_loop()
        return self._parts.following.after(after)

    def statistics(self, *, waiting: bool = False) -> Statistics:
        """A frozen snapshot of the counts; it holds nothing up.

        waiting  also count what envelopes wait for; this looks at each of them, 50 ms for 100,000
        """
        return snapshot(self._parts, waiting=waiting)

    # -- requests of its parts and of other processes

    def _groups_arrived(self, instance_id: str) -> None:
        self._life.groups_arrived(instance_id)

    @cached_property
    def _accepting(self) -> Accepting:
        return Accepting(self._door, self._written)

    @cached_property
    def _written(self) -> WrittenElsewhere:
        assert self._pager is not None, "there is an outbox"  # noqa: S101 - an invariant
        assert self._journal is not None, "there is an outbox"  # noqa: S101 - likewise
        return WrittenElsewhere(
            self._drafting,
            self._pager,
            self._journal,
            self._clock,
            self._spawn,
            self._streams.ends,
        )

    @cached_property
    def _typing(self) -> Typing:
        if self._producer is None:
            return self._typing_here
        if self._pager is None:
            return self._producer.typing
        return SpreadTyping(self._pager, self._typing_here, self._producer.typing)

    @cached_property
    def _shown_for_others(self) -> ShownForOthers:
        return ShownForOthers(self._typing_here, self._spawn)

    def _shows_typing(self, instance_id: str, told: Mapping[str, Any], ago: float) -> None:
        self._shown_for_others.hear(self._registry.account(instance_id), told, ago)

    def _comes(self, request: Request) -> None:
        self._written.comes(request)

    def _came_in(self, delivery: Delivery) -> None:
        self._written.came_in(delivery)

    async def _accept_asked(
        self, request: Request, comes_in: Callable[[], None]
    ) -> tuple[str, bool]:
        """Accept an envelope that another process handed over."""
        return await self._accepting.accept(request, comes_in)

    async def _suspended_elsewhere(
        self, instance_id: str, suspension: Suspension | None, request: Request
    ) -> None:
        """Suspend an account, or resume it (None), because another process asks for that."""
        assert self._pager is not None, "there is an outbox"  # noqa: S101 - an invariant
        is_current = partial(self._pager.requests.is_current, request)
        await self._drafting.bring(instance_id)
        await self._suspensions.carry_out(
            instance_id, suspension, asked_at=request.asked_at, is_current=is_current
        )

    async def _answer_question(self, request: Request) -> str:
        """Answer the question of a process that does not deliver for the account."""
        age = max(0, self._clock.now() - request.asked_at) / SECOND
        assert self._parts.outbox is not None, "it has the question"  # noqa: S101 - an invariant
        tell = partial(report, self._parts.outbox.answered, request)
        return await Questions(self, self._parts.here, request, age, tell).answer()

    def _spawn(self, task: Callable[[], Any]) -> None:
        self._parts.tasks.spawn(task)

    def _end_streams(self) -> None:
        if "_streams" in vars(self):  # made with the first stream
            self._streams.gateway_closes()

    # -- its end

    def quiet(self) -> None:
        """Accept nothing more; calls that wait for a slot raise `GatewayClosed`."""
        self._life.quiet()

    async def drain(self) -> list[Undelivered]:
        """Accept nothing more, wait up to `drain_timeout`, end the rest.

        Returns every envelope that was unfinished at the call and ended undelivered. A durable
        outbox stores the rest for the next run, so this waits only for attempts under way.
        """
        self._check_loop()
        return await self._life.drain()
