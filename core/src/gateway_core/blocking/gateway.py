"""Provides the gateway for code that blocks: every method of `gateway_core.Gateway`.

Any thread may call the methods. A method that is awaited there takes a `timeout` here. For a new
method there, add one line here, or in `answers` or `groups`; `handles` serves methods that return
more than a value. The module is longer than most, so that the whole face is in one place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from random import Random
from time import time as system_time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeAlias, Unpack, overload

from gateway_core.accounts.reloading import Reloaded
from gateway_core.blocking.answers import Answers
from gateway_core.blocking.groups import GroupVerbs
from gateway_core.blocking.handles import Items
from gateway_core.blocking.home import Home
from gateway_core.blocking.marking import Marks
from gateway_core.blocking.tickets import Ticket, inner_of
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
from gateway_core.contract.hookspecs import Identity, Providers
from gateway_core.contract.instances import Instance
from gateway_core.gateway import gateway as core
from gateway_core.gateway import opening as core_opening
from gateway_core.gateway.copies import refuse_copy
from gateway_core.monitoring.statistics import Statistics
from gateway_core.outboxes.endings import Ended
from gateway_core.outboxes.interface import Outbox
from gateway_core.plugins.loader import Given
from gateway_core.sourcing.asking import InstanceSource
from gateway_core.sourcing.threads import InThread
from gateway_core.submission.preview import Preview
from gateway_core.submission.status import Status
from gateway_core.submission.verbs import EditFields, EnqueueFields, SendFields

Editable: TypeAlias = Target | Ticket


class Gateway(Answers, Marks, GroupVerbs):
    """Send, edit and delete messages on every installed channel. Named by `open_gateway`.

    Any thread may use it. It opens at the first use, or when a `with` block begins. It drains when
    the block ends, at `close`, and when the process exits. If the process is forked before the
    first use, the gateway opens in the child; if it was open before the fork, it raises
    `RuntimeError` in the child.

    timeout  of each method that waits: seconds after which it raises `TimeoutError`, which says
             whether an envelope that has not started is withdrawn; None: it waits as long as needed
    """

    __reduce__ = refuse_copy

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[core.Gateway]]) -> None:
        self._home = Home(make)
        self._call: Any = self._home.call  # for methods whose overloads are repeated here

    @property
    def _core(self) -> core.Gateway:
        return self._home.core

    def open(self) -> None:
        """Open the gateway now, not at its first use. Raises like `gateway_core.open_gateway`.

        A gateway that was open before this process was forked opens anew.
        """
        self._home.open()

    def close(self) -> None:
        """Drain and close the gateway. Raises `PartitionFailed` if it has given up.

        `drain_timeout` cuts the drain. A Ctrl-C does not, but the third one does.
        """
        self._home.close()

    if not TYPE_CHECKING:  # a type checker says that there is no such block

        def __aenter__(self) -> NoReturn:
            """Say which block this gateway has."""
            others = "use gateway_core.aio with asyncio, gateway_core with trio"
            block = "write `with open_gateway(…) as gateway:`"
            raise TypeError(f"this gateway blocks: {block}, or {others}")

        def __aexit__(self, *_: object) -> None:
            """Never called."""

    def __enter__(self) -> Self:
        self._home.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        self._home.close(interrupts=int(interrupted))

    @property
    def config(self) -> GatewayConfig:
        """The configuration with which the gateway was opened."""
        return self._core.config

    # -- messages

    @overload
    def send(
        self,
        instance: str,
        room: str,
        text: str,
        *,
        raises: Literal[True] = ...,
        timeout: float | None = ...,
        **fields: Unpack[SendFields],
    ) -> Delivered: ...

    @overload
    def send(
        self,
        instance: str,
        room: str,
        text: str,
        *,
        raises: bool,
        timeout: float | None = ...,
        **fields: Unpack[SendFields],
    ) -> Delivered | Receipt: ...

    def send(
        self,
        instance: str,
        room: str,
        text: str,
        *,
        raises: bool = True,
        timeout: float | None = None,
        **fields: Unpack[SendFields],
    ) -> Delivered | Receipt:
        """Send a message and wait for its end, as `gateway_core.Gateway.send` does."""
        receipt: Delivered | Receipt = self._call(
            timeout, self._core.send, instance, room, text, raises=raises, **fields
        )
        return receipt

    @overload
    def edit(
        self,
        target: Editable,
        text: str = "",
        *,
        raises: Literal[True] = ...,
        timeout: float | None = ...,
        **fields: Unpack[EditFields],
    ) -> Delivered: ...

    @overload
    def edit(
        self,
        target: Editable,
        text: str = "",
        *,
        raises: bool,
        timeout: float | None = ...,
        **fields: Unpack[EditFields],
    ) -> Delivered | Receipt: ...

    def edit(
        self,
        target: Editable,
        text: str = "",
        *,
        raises: bool = True,
        timeout: float | None = None,
        **fields: Unpack[EditFields],
    ) -> Delivered | Receipt:
        """Give a message a new text or other buttons, as `gateway_core.Gateway.edit` does."""
        receipt: Delivered | Receipt = self._call(
            timeout, self._core.edit, inner_of(target), text, raises=raises, **fields
        )
        return receipt

    def delete(
        self,
        target: Editable,
        *,
        ttl: float | None = None,
        deadline: float | None = None,
        priority: Priority = "normal",
        on_cancel: OnCancel = "withdraw",
        raises: bool = True,
        timeout: float | None = None,
    ) -> Receipt:
        """Delete a message with all of its parts. `on_cancel` and `raises` are as in `send`."""
        return self._home.call(
            timeout,
            self._core.delete,
            inner_of(target),
            ttl=ttl,
            deadline=deadline,
            priority=priority,
            on_cancel=on_cancel,
            raises=raises,
        )

    def call(
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
        timeout: float | None = None,
    ) -> Receipt:
        """Call any other method of the platform, as `gateway_core.Gateway.call` does."""
        return self._home.call(
            timeout,
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

    def enqueue(
        self,
        instance: str,
        room: str,
        text: str,
        *,
        timeout: float | None = None,
        **fields: Unpack[EnqueueFields],
    ) -> Ticket:
        """Accept a message with the fields of `send`, and do not wait for its end."""
        ticket = self._home.call(timeout, self._core.enqueue, instance, room, text, **fields)
        return Ticket(self._home, ticket)

    def submit(
        self, envelope: Envelope, *, wait: bool = True, timeout: float | None = None
    ) -> Ticket:
        """Accept an envelope, and do not wait for its end.

        wait  True: if a bound is reached, wait for a slot; False: raise `Overloaded`
        """
        return Ticket(self._home, self._home.call(timeout, self._core.submit, envelope, wait=wait))

    # -- about envelopes

    def preview(self, envelope: Envelope) -> Preview:
        """Preview `envelope`: its problems, parts and limits. Accepts and sends nothing."""
        core = self._core
        return self._home.ask_apart(core.preview, core._preview_apart, envelope)  # noqa: SLF001 - of one kind

    def address(self, instance_id: str, event: Any) -> Address | None:
        """The address that an event came from, so that it can be answered there."""
        return self._home.ask(self._core.address, instance_id, event)

    def cancel(self, what: Ticket | str, *, timeout: float | None = None) -> bool:
        """End an envelope `cancelled` if it has not started; returns whether it did."""
        return self._home.call(timeout, self._core.cancel, inner_of(what))

    def status(self, what: Ticket | KeyRef | str, *, timeout: float | None = None) -> Status | None:
        """The status of an envelope, by its id, ticket or key; None: it is not known (any more)."""
        return self._home.call(timeout, self._core.status, inner_of(what))

    def endings(self, after: str | None = None) -> Items[Ended]:
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

    def remove_instance(
        self, instance_id: str, *, drain: float = 0.0, timeout: float | None = None
    ) -> list[Undelivered]:
        """Remove an instance, after up to `drain` seconds for its unfinished envelopes."""
        return self._home.call(timeout, self._core.remove_instance, instance_id, drain=drain)

    def reload(self, config: GatewayConfig, *, timeout: float | None = None) -> Reloaded:
        """Serve this configuration's instances from now on, for example of a file read again."""
        return self._home.call(timeout, self._core.reload, config)

    def find_instance(
        self, instance_id: str, *, anew: bool = False, timeout: float | None = None
    ) -> Instance | None:
        """The instance, from the `instance_source` if it must be asked; None: there is none.

        anew  ask the source again: its new settings are used, or the instance is removed
        """
        return self._home.call(timeout, self._core.find_instance, instance_id, anew=anew)

    def suspend(self, instance_id: str, why: str = "by the application", *, by: str = "") -> None:
        """Let the instance's envelopes wait until `resume`. Raises `UnknownInstance`."""
        self._home.ask(partial(self._core.suspend, instance_id, why, by=by))

    def resume(self, instance_id: str) -> None:
        """End an instance's suspension and the closures of its limits, whatever caused them."""
        self._home.ask(self._core.resume, instance_id)

    def probe(self, instance_id: str, *, timeout: float | None = None) -> Identity | None:
        """Ask the platform who the instance is. Raises `ProbeFailed` if that fails."""
        return self._home.call(timeout, self._core.probe, instance_id)

    # -- the end

    def quiet(self) -> None:
        """Accept nothing more; calls that wait for a slot raise `GatewayClosed`."""
        self._home.ask(self._core.quiet)

    def drain(self, *, timeout: float | None = None) -> list[Undelivered]:
        """Accept nothing more, wait up to `drain_timeout`, end the rest.

        Returns every envelope that was unfinished at the call and ended undelivered.
        """
        return self._home.call(timeout, self._core.drain)


def open_gateway(
    config: GatewayConfig | str | os.PathLike[str],
    *,
    plugins: Sequence[Given] = (),
    outbox: Outbox | None = None,
    rng: Random | None = None,
    wall_clock: Callable[[], float] = system_time,
    providers: Providers | None = None,
    serve: bool = True,
    instance_source: InstanceSource | None = None,
) -> Gateway:
    """Name a gateway, which opens at its first use, or for a `with` block.

    The arguments are those of `gateway_core.open_gateway`, whose errors are raised when the gateway
    opens. Plugins, outboxes and `wall_clock` are called on the gateway's thread. `instance_source`
    is a function that may block; each call of it runs in a thread.
    """
    source = None if instance_source is None else InThread(instance_source)
    return Gateway(
        partial(
            core_opening.open_gateway,
            config,
            plugins=plugins,
            outbox=outbox,
            rng=rng,
            wall_clock=wall_clock,
            providers=providers,
            serve=serve,
            instance_source=source,
        )
    )
