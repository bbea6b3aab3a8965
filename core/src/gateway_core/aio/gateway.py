"""Provides the gateway for asyncio: every method of `gateway_core.Gateway`.

A method that is awaited there is awaited here. A plain method there is a plain method here, and
waits for the gateway's thread, usually a fraction of a millisecond. For a new method there, add one
line here, or in `answers` or `groups`; `handles` serves methods that return more than a value.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias, Unpack, overload

from gateway_core.accounts.reloading import Reloaded
from gateway_core.aio.answers import Answers
from gateway_core.aio.groups import GroupVerbs
from gateway_core.aio.handles import Items
from gateway_core.aio.home import Home
from gateway_core.aio.marking import Marks
from gateway_core.aio.tickets import Ticket, inner_of
from gateway_core.config import GatewayConfig
from gateway_core.contract.addresses import Address
from gateway_core.contract.envelopes import (
    Delivered,
    Envelope,
    Json,
    KeyRef,
    OnCancel,
    OnConflict,
    OnUnknown,
    Order,
    Priority,
    Receipt,
    Target,
    Undelivered,
)
from gateway_core.contract.hookspecs import Identity
from gateway_core.contract.instances import Instance
from gateway_core.gateway.copies import refuse_copy
from gateway_core.monitoring.statistics import Statistics
from gateway_core.outboxes.endings import Ended
from gateway_core.submission.preview import Preview
from gateway_core.submission.status import Status
from gateway_core.submission.verbs import EditFields, EnqueueFields, SendFields

Editable: TypeAlias = Target | Ticket


class Gateway(Answers, Marks, GroupVerbs):
    """Send, edit and delete messages on every installed channel. Made by `open_gateway`.

    A gateway belongs to the loop that opened it; in another loop its methods raise `RuntimeError`.
    If a task is cancelled, the envelope that it waits for is withdrawn unless it has started.
    """

    __reduce__ = refuse_copy

    def __init__(self, home: Home) -> None:
        self._home = home
        self._core = home.core
        self._call: Any = home.call  # for methods whose overloads are repeated here

    @property
    def config(self) -> GatewayConfig:
        """The configuration with which the gateway was opened."""
        return self._core.config

    # -- messages

    @overload
    async def send(
        self,
        instance: str,
        room: str,
        text: str,
        *,
        raises: Literal[True] = ...,
        **fields: Unpack[SendFields],
    ) -> Delivered: ...

    @overload
    async def send(
        self, instance: str, room: str, text: str, *, raises: bool, **fields: Unpack[SendFields]
    ) -> Delivered | Receipt: ...

    async def send(
        self,
        instance: str,
        room: str,
        text: str,
        *,
        raises: bool = True,
        **fields: Unpack[SendFields],
    ) -> Delivered | Receipt:
        """Send a message and wait for its end, as `gateway_core.Gateway.send` does."""
        receipt: Delivered | Receipt = await self._call(
            self._core.send,
            instance,
            room,
            text,
            raises=raises,
            **fields,
        )
        return receipt

    @overload
    async def edit(
        self,
        target: Editable,
        text: str = "",
        *,
        raises: Literal[True] = ...,
        **fields: Unpack[EditFields],
    ) -> Delivered: ...

    @overload
    async def edit(
        self, target: Editable, text: str = "", *, raises: bool, **fields: Unpack[EditFields]
    ) -> Delivered | Receipt: ...

    async def edit(
        self, target: Editable, text: str = "", *, raises: bool = True, **fields: Unpack[EditFields]
    ) -> Delivered | Receipt:
        """Give a message a new text or other buttons, as `gateway_core.Gateway.edit` does."""
        receipt: Delivered | Receipt = await self._call(
            self._core.edit,
            inner_of(target),
            text,
            raises=raises,
            **fields,
        )
        return receipt

    async def delete(
        self,
        target: Editable,
        *,
        ttl: float | None = None,
        deadline: float | None = None,
        priority: Priority = "normal",
        on_cancel: OnCancel = "withdraw",
        raises: bool = True,
    ) -> Receipt:
        """Delete a message with all of its parts. `on_cancel` and `raises` are as in `send`."""
        return await self._home.call(
            self._core.delete,
            inner_of(target),
            ttl=ttl,
            deadline=deadline,
            priority=priority,
            on_cancel=on_cancel,
            raises=raises,
        )

    async def call(
        self,
        instance: str,
        room: str,
        method: str,
        arguments: Mapping[str, Json] | None = None,
        *,
        thread: str | None = None,
        key: str | None = None,
        ttl: float | None = None,
        deadline: float | None = None,
        priority: Priority = "normal",
        order: Order = "room",
        on_unknown: OnUnknown = "retry",
        on_conflict: OnConflict = "raise",
        on_cancel: OnCancel = "withdraw",
        raises: bool = True,
    ) -> Receipt:
        """Call any other method of the platform, as `gateway_core.Gateway.call` does."""
        return await self._home.call(
            self._core.call,
            instance,
            room,
            method,
            arguments,
            thread=thread,
            key=key,
            ttl=ttl,
            deadline=deadline,
            priority=priority,
            order=order,
            on_unknown=on_unknown,
            on_conflict=on_conflict,
            on_cancel=on_cancel,
            raises=raises,
        )

    async def enqueue(
        self, instance: str, room: str, text: str, **fields: Unpack[EnqueueFields]
    ) -> Ticket:
        """Accept a message with the fields of `send`, and do not wait for its end."""
        ticket = await self._home.call(self._core.enqueue, instance, room, text, **fields)
        return Ticket(self._home, ticket)

    async def submit(self, envelope: Envelope, *, wait: bool = True) -> Ticket:
        """Accept an envelope, and do not wait for its end.

        wait  True: if a bound is reached, wait for a slot; False: raise `Overloaded`
        """
        return Ticket(self._home, await self._home.call(self._core.submit, envelope, wait=wait))

    # -- about envelopes

    def preview(self, envelope: Envelope) -> Preview:
        """Preview `envelope`: its problems, parts and limits. Accepts and sends nothing."""
        core = self._core
        return self._home.ask_apart(core.preview, core._preview_apart, envelope)  # noqa: SLF001 - of one kind

    def address(self, instance_id: str, event: Any) -> Address | None:
        """The address that an event came from, so that it can be answered there."""
        return self._home.ask(self._core.address, instance_id, event)

    async def cancel(self, what: Ticket | str) -> bool:
        """End an envelope `cancelled` if it has not started; returns whether it did."""
        return await self._home.call(self._core.cancel, inner_of(what))

    async def status(self, what: Ticket | KeyRef | str) -> Status | None:
        """The status of an envelope, by its id, ticket or key; None: it is not known (any more)."""
        return await self._home.call(self._core.status, inner_of(what))

    def endings(self, after: str | None = None) -> AsyncIterator[Ended]:
        """Every ending after the cursor `after`, in order, as it happens, until the gateway closes.

        after  the cursor of the last ending that you have processed; None: start with the oldest
               ending that is remembered
        """
        return Items(self._home, self._home.ask(self._core.endings, after))

    def statistics(self, *, waiting: bool = False) -> Statistics:
        """A frozen snapshot of the gateway's counts.

        waiting  also count what envelopes wait for; this looks at each envelope, which takes 50 ms
                 for 100,000
        """
        return self._home.ask(partial(self._core.statistics, waiting=waiting))

    # -- instances at run time

    def add_instance(self, instance: Instance) -> None:
        """Add an instance. Raises `ConfigError` for a known id or an unserved channel."""
        self._home.ask(self._core.add_instance, instance)

    def replace_instance(self, instance: Instance) -> None:
        """Give a known instance new settings (a new token); a suspended instance goes on."""
        self._home.ask(self._core.replace_instance, instance)

    async def remove_instance(self, instance_id: str, *, drain: float = 0.0) -> list[Undelivered]:
        """Remove an instance, after up to `drain` seconds for its unfinished envelopes."""
        return await self._home.call(self._core.remove_instance, instance_id, drain=drain)

    async def reload(self, config: GatewayConfig) -> Reloaded:
        """Serve this configuration's instances from now on, for example of a file read again."""
        return await self._home.call(self._core.reload, config)

    async def find_instance(self, instance_id: str, *, anew: bool = False) -> Instance | None:
        """The instance, from the `instance_source` if it must be asked; None: there is none.

        anew  ask the source again: its new settings are used, or the instance is removed
        """
        return await self._home.call(self._core.find_instance, instance_id, anew=anew)

    def suspend(self, instance_id: str, why: str = "by the application", *, by: str = "") -> None:
        """Let the instance's envelopes wait until `resume`. Raises `UnknownInstance`."""
        self._home.ask(partial(self._core.suspend, instance_id, why, by=by))

    def resume(self, instance_id: str) -> None:
        """End an instance's suspension and the closures of its limits, whatever caused them."""
        self._home.ask(self._core.resume, instance_id)

    async def probe(self, instance_id: str) -> Identity | None:
        """Ask the platform who the instance is. Raises `ProbeFailed` if that fails."""
        return await self._home.call(self._core.probe, instance_id)

    # -- the end

    def quiet(self) -> None:
        """Accept nothing more; calls that wait for a slot raise `GatewayClosed`."""
        self._home.ask(self._core.quiet)

    async def drain(self) -> list[Undelivered]:
        """Accept nothing more, wait up to `drain_timeout`, end the rest.

        Returns every envelope that was unfinished at the call and ended undelivered.
        """
        return await self._home.call(self._core.drain)
