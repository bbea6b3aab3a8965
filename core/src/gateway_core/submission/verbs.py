"""The gateway's verbs: each builds an envelope and submits it; most also wait for its end.

This module waits for a slot, and for the end of an accepted envelope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, get_args, overload

import attrs
import trio

from gateway_core.contract.beside.buttons import Buttons
from gateway_core.contract.beside.polls import Poll
from gateway_core.contract.envelopes import (
    MESSAGES,
    Call,
    Delete,
    Delivered,
    Disposition,
    Edit,
    Envelope,
    Format,
    Json,
    KeyRef,
    Mentions,
    MessageRef,
    OnCancel,
    OnConflict,
    OnFileError,
    OnUnknown,
    Order,
    Priority,
    Receipt,
    Send,
    Target,
)
from gateway_core.contract.errors import DeliveryError, Invalid, Problem
from gateway_core.contract.fast_init import fast_init
from gateway_core.contract.files import File
from gateway_core.contract.problems import problems_in
from gateway_core.contract.validators import shown
from gateway_core.deliveries.delivery import Delivery
from gateway_core.submission.checks import check_envelope
from gateway_core.submission.door import Door
from gateway_core.submission.tickets import Ticket, wait_for_end, with_ref

Editable: TypeAlias = Target | Ticket
_send = fast_init(Send)
_NOTHING: Any = attrs.NOTHING
DELIVERED = (Disposition.DELIVERED, Disposition.SUPERSEDED)
ON_CANCEL = get_args(OnCancel)
ELSEWHERE = (
    "the gateway runs in another event loop: call it from a worker thread, by"
    " trio.from_thread.run(…, trio_token=…) with trio.lowlevel.current_trio_token() of its loop"
)


class CommonFields(TypedDict, total=False):
    """The arguments that `send`, `edit`, `enqueue` and `reply` share, in all their overloads."""

    key: str | None
    ttl: float | None
    deadline: float | None
    priority: Priority
    format: Format
    extra: Mapping[str, Json] | None
    mentions: Mentions
    link_previews: bool
    files: Sequence[File] | None
    buttons: Buttons | None


class EnqueueFields(CommonFields, total=False):
    """The arguments of `enqueue` besides instance, room and text."""

    thread: str | None
    reply_to: str | None
    not_before: float | None
    order: Order
    on_unknown: OnUnknown
    on_conflict: OnConflict
    silent: bool
    collapse: str | None
    on_file_error: OnFileError
    poll: Poll | None


class SendFields(EnqueueFields, total=False):
    """The arguments of `send` besides instance, room and text."""

    on_cancel: OnCancel


class EditFields(CommonFields, total=False):
    """The arguments of `edit` besides target and text."""

    interim: bool
    on_cancel: OnCancel


class Verbs:
    """The methods by which a `Gateway` is asked to deliver something.

    door      accepts envelopes
    withdraw  ends a delivery if it has not started
    """

    def __init__(self, door: Door, withdraw: Callable[[Delivery], bool]) -> None:
        self._loop = trio.lowlevel.current_root_task()
        self._door = door
        self._withdraw = withdraw

    def _check_loop(self) -> None:
        """Raises RuntimeError in any other event loop: its tasks could not be woken from here."""
        try:
            here = trio.lowlevel.current_root_task()
        except RuntimeError:
            here = None
        if here is not self._loop:
            raise RuntimeError(ELSEWHERE)

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
        self,
        instance: str,
        room: str,
        text: str,
        *,
        raises: bool,
        **fields: Unpack[SendFields],
    ) -> Delivered | Receipt: ...

    async def send(
        self,
        instance: str,
        room: str,
        text: str,
        *,
        thread: str | None = None,
        reply_to: str | None = None,
        key: str | None = None,
        ttl: float | None = None,
        deadline: float | None = None,
        not_before: float | None = None,
        priority: Priority = "normal",
        order: Order = "room",
        format: Format = "markdown",  # noqa: A002 - the field's standard term
        on_unknown: OnUnknown = "retry",
        on_conflict: OnConflict = "raise",
        extra: Mapping[str, Json] | None = None,
        mentions: Mentions = False,
        link_previews: bool = False,
        silent: bool = False,
        collapse: str | None = None,
        files: Sequence[File] | None = None,
        on_file_error: OnFileError = "fail",
        buttons: Buttons | None = None,
        poll: Poll | None = None,
        on_cancel: OnCancel = "withdraw",
        raises: bool = True,
    ) -> Delivered | Receipt:
        """Send a message and wait for its end; the fields are those of `Send`.

        on_cancel  what happens to an accepted message if the caller is cancelled: `withdraw` ends
                   it if it has not started and nobody else waits for it, `detach` lets it go on
        raises     False: return the receipt however the message ended

        Returns a `Delivered` receipt, whose `ref` is never None, when the message was delivered.
        Any other ending raises `DeliveryError` with its receipt. Raises `Refused` (`Invalid`,
        `DeadlinePassed`, …) if the message was not accepted, and `InstanceSuspended`, with the
        platform's words, if the platform refuses the credentials of an account that has never
        worked. A call that is cancelled before acceptance has no effect.
        """
        try:  # as `build` does, without a dict of all fields
            envelope = _send(
                instance_id=instance,
                external_room_id=room,
                text=text,
                thread_id=thread,
                reply_to=reply_to,
                key=key,
                ttl=ttl,
                deadline=deadline,
                not_before=not_before,
                priority=priority,
                order=order,
                format=format,
                on_unknown=on_unknown,
                on_conflict=on_conflict,
                extra=_NOTHING if extra is None else extra,
                mentions=mentions,
                link_previews=link_previews,
                silent=silent,
                collapse=collapse,
                files=() if files is None else _given(files),
                on_file_error=on_file_error,
                buttons=_NOTHING if buttons is None else buttons,
                poll=poll,
            )
        except ValueError as error:
            raise Invalid(problems_in(error)) from None
        return await self._deliver(envelope, on_cancel, raises=raises)

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
        self,
        target: Editable,
        text: str = "",
        *,
        key: str | None = None,
        ttl: float | None = None,
        deadline: float | None = None,
        priority: Priority = "normal",
        format: Format = "markdown",  # noqa: A002 - the field's standard term
        extra: Mapping[str, Json] | None = None,
        mentions: Mentions = False,
        link_previews: bool = False,
        interim: bool = False,
        files: Sequence[File] | None = None,
        buttons: Buttons | None = None,
        on_cancel: OnCancel = "withdraw",
        raises: bool = True,
    ) -> Delivered | Receipt:
        """Give a message a new text, other buttons, or both, and wait for the end.

        `target` is a receipt's ref, a ticket, or a `KeyRef`. `buttons` are the new buttons; an
        empty tuple removes them, None keeps them. Without a text only the buttons change, if the
        channel can do that. `extra` replaces the platform's own fields and the message's buttons;
        None keeps them, an empty mapping removes them. `files` works in the same way. If a newer
        edit overtakes this edit before it starts, this edit ends `superseded`; its receipt is
        returned and has a ref of the message. `on_cancel`, `raises` and the errors are as in
        `send`.
        """
        envelope = build(
            Edit,
            **changing(target),
            text=text,
            key=key,
            ttl=ttl,
            deadline=deadline,
            priority=priority,
            format=format,
            extra=extra,
            mentions=mentions,
            link_previews=link_previews,
            interim=interim,
            files=files,
            buttons=buttons,
        )
        return await self._deliver(envelope, on_cancel, raises=raises)

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
        times = {"ttl": ttl, "deadline": deadline}
        envelope = build(Delete, **changing(target), **times, priority=priority)
        return await self._deliver(envelope, on_cancel, raises=raises)

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
        """Call any other method of the platform; `receipt.result` has its answer.

        If the answer is a message, the receipt has its ref. `on_cancel` and `raises` are as in
        `send`.
        """
        envelope = build(
            Call,
            instance_id=instance,
            external_room_id=room,
            method=method,
            arguments=attrs.NOTHING if arguments is None else arguments,
            thread_id=thread,
            key=key,
            ttl=ttl,
            deadline=deadline,
            priority=priority,
            order=order,
            on_unknown=on_unknown,
            on_conflict=on_conflict,
        )
        return await self._deliver(envelope, on_cancel, raises=raises)

    async def _deliver(
        self, envelope: Envelope, on_cancel: OnCancel, *, raises: bool
    ) -> Delivered | Receipt:
        """Submit the envelope and wait for its receipt, which has a ref if a message arrived."""
        if on_cancel not in ON_CANCEL:
            words = " or ".join(map(repr, ON_CANCEL))
            raise Invalid([Problem("on_cancel", f"must be {words}, not {on_cancel!r}")])
        if raises is not True:
            check_flag("raises", raises)
        self._check_loop()
        ticket = await self._door.submit(envelope, wait=True, awaited=True)
        delivery = ticket._delivery  # noqa: SLF001 - a ticket is this package's own
        if on_cancel == "detach":  # the caller counts as waiting for ever
            delivery.hold()
        try:
            receipt = await wait_for_end(delivery, joining=True)
        except trio.Cancelled:
            newest = delivery.newest
            if not newest.joined:
                self._withdraw(newest)
            raise
        if receipt.disposition in DELIVERED:
            return with_ref(delivery, receipt) if isinstance(envelope, MESSAGES) else receipt
        if raises:
            raise self._door.hopeless(envelope, receipt) or DeliveryError(receipt)
        return receipt

    async def enqueue(
        self,
        instance: str,
        room: str,
        text: str,
        *,
        thread: str | None = None,
        reply_to: str | None = None,
        key: str | None = None,
        ttl: float | None = None,
        deadline: float | None = None,
        not_before: float | None = None,
        priority: Priority = "normal",
        order: Order = "room",
        format: Format = "markdown",  # noqa: A002 - the field's standard term
        on_unknown: OnUnknown = "retry",
        on_conflict: OnConflict = "raise",
        extra: Mapping[str, Json] | None = None,
        mentions: Mentions = False,
        link_previews: bool = False,
        silent: bool = False,
        collapse: str | None = None,
        files: Sequence[File] | None = None,
        on_file_error: OnFileError = "fail",
        buttons: Buttons | None = None,
        poll: Poll | None = None,
    ) -> Ticket:
        """Accept a message with the fields of `send`, and do not wait for its end.

        Waits and raises as `submit` does.
        """
        envelope = build(
            _send,
            instance_id=instance,
            external_room_id=room,
            text=text,
            thread_id=thread,
            reply_to=reply_to,
            key=key,
            ttl=ttl,
            deadline=deadline,
            not_before=not_before,
            priority=priority,
            order=order,
            format=format,
            on_unknown=on_unknown,
            on_conflict=on_conflict,
            extra=attrs.NOTHING if extra is None else extra,
            mentions=mentions,
            link_previews=link_previews,
            silent=silent,
            collapse=collapse,
            files=() if files is None else _given(files),
            on_file_error=on_file_error,
            buttons=_NOTHING if buttons is None else buttons,
            poll=poll,
        )
        return await self.submit(envelope)

    async def submit(self, envelope: Envelope, *, wait: bool = True) -> Ticket:
        """Accept an envelope, and do not wait for its end.

        wait   True: if a bound is reached, wait for a slot; False: raise `Overloaded`

        Never waits for an adapter. Raises `Invalid` (with every mistake), `UnknownInstance`,
        `IdempotencyConflict`, `InstanceSuspended` (if so configured), `OutboxError`,
        `DeadlinePassed` (if the envelope's time ran out while it waited for a slot), and
        `GatewayClosed`. A call that is cancelled meanwhile has no effect.
        """
        check_envelope(envelope)
        check_flag("wait", wait)
        self._check_loop()
        await trio.lowlevel.checkpoint_if_cancelled()
        ticket = await self._door.submit(envelope, wait=wait)
        ticket._delivery.hold()  # noqa: SLF001 - a ticket is this package's own
        if not ticket._waited:  # noqa: SLF001 - else other tasks had their turn already
            await trio.lowlevel.cancel_shielded_checkpoint()
        return ticket


def check_flag(name: str, value: object) -> None:
    """Raises `Invalid` for a value that only counts as true or false: the text "no" is true."""
    if value is not True and value is not False:
        raise Invalid([Problem(name, f"must be true or false, not {shown(value)}")])


def build(kind: Any, **fields: Any) -> Any:
    """Make the envelope; a value that its class does not take raises `Invalid`."""
    try:
        return kind(**fields)
    except ValueError as error:
        raise Invalid(problems_in(error)) from None


def _given(files: Any) -> Any:
    """Files as an envelope holds them; the door reports a value that is not a sequence of files."""
    return tuple(files) if type(files) is list else files


def _instead_of(target: object) -> str:
    """A hint what to write instead of a wrong target; empty: there is none."""
    if target is None:
        return ": nothing arrived, or the platform's answer had no id"
    if isinstance(target, Receipt):
        return ": give the receipt's `ref`"
    if isinstance(target, str):
        return ": KeyRef(instance_id=…, external_room_id=…, key=…) names a message by its key"
    return ""


def changing(target: object) -> dict[str, Any]:
    """The fields of a change that follow from its target."""
    if isinstance(target, Ticket):
        target = target.ref
    if not isinstance(target, MessageRef | KeyRef):
        text = f"must be a MessageRef, a KeyRef or a Ticket, not {type(target).__name__}"
        raise Invalid([Problem("target", text + _instead_of(target))])
    room = target.external_room_id
    return {"instance_id": target.instance_id, "external_room_id": room, "target": target}
