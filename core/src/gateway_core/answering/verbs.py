"""The verbs that answer an incoming event: `reply` and `typing`. This module waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, Literal, Unpack, overload

from gateway_core.answering.events import Resolved, resolve
from gateway_core.answering.interactions import Acknowledgements
from gateway_core.answering.marking import Marks
from gateway_core.answering.numbering import AnswerNumbers
from gateway_core.answering.signs import Signs
from gateway_core.answering.typing import Typing, TypingSigns
from gateway_core.clock import Clock
from gateway_core.contract.beside.buttons import Buttons
from gateway_core.contract.beside.polls import Poll
from gateway_core.contract.envelopes import (
    Delivered,
    Format,
    Json,
    Mentions,
    OnCancel,
    OnConflict,
    OnFileError,
    OnUnknown,
    Order,
    Priority,
    Receipt,
    Send,
)
from gateway_core.contract.errors import Invalid
from gateway_core.contract.files import File
from gateway_core.contract.problems import problems_in
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.submission.verbs import CommonFields, check_flag


class ReplyFields(CommonFields, total=False):
    """The arguments of `reply` besides event and text."""

    instance: str | None
    quote: bool
    not_before: float | None
    order: Order
    on_unknown: OnUnknown
    on_conflict: OnConflict
    silent: bool
    collapse: str | None
    on_file_error: OnFileError
    poll: Poll | None
    ephemeral: bool
    on_cancel: OnCancel


class Answers(Marks):
    """The methods by which a `Gateway` answers events; what they need is made when first used."""

    _registry: InstanceRegistry
    _clock: Clock
    _partition_of: Callable[[str, str], Partition]

    def _spawn(self, task: Callable[[], Any]) -> None:
        """Start one of the gateway's tasks."""
        raise NotImplementedError

    @cached_property
    def _numbers(self) -> AnswerNumbers:
        return AnswerNumbers()

    @cached_property
    def _signs(self) -> Signs:
        return Signs(self._clock)

    @cached_property
    def _typing_here(self) -> Typing:
        return TypingSigns(self._signs, self._partition_of, self._spawn)

    @property
    def _typing(self) -> Typing:
        return self._typing_here

    @cached_property
    def _acknowledgements(self) -> Acknowledgements:
        return Acknowledgements(self._signs, self._spawn)

    def _resolve(self, event: Any, instance: str | None) -> Resolved:
        """Which instance the event came to, and its address. Raises as `resolve` does."""
        return resolve(event, instance, registry=self._registry, clock=self._clock)

    @overload
    async def reply(
        self,
        event: Any,
        text: str,
        *,
        raises: Literal[True] = ...,
        **fields: Unpack[ReplyFields],
    ) -> Delivered: ...

    @overload
    async def reply(
        self, event: Any, text: str, *, raises: bool, **fields: Unpack[ReplyFields]
    ) -> Delivered | Receipt: ...

    async def reply(
        self,
        event: Any,
        text: str,
        *,
        instance: str | None = None,
        key: str | None = None,
        quote: bool = True,
        ephemeral: bool = False,
        ttl: float | None = None,
        deadline: float | None = None,
        not_before: float | None = None,
        priority: Priority = "normal",
        order: Order = "room",
        format: Format = "markdown",  # noqa: A002 - the field's standard term
        on_unknown: OnUnknown = "retry",
        on_conflict: OnConflict = "replay",
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
        """Answer an incoming event in the room that it came from, and wait for the end.

        event      the platform's JSON, or a library's object made from it
        instance   the account that received the event; None: the account in memory whose adapter
                   knows the event. If an `instance_source` gives accounts, name the account
        key        names this answer among several to the event; None: answers are numbered in the
                   order of calls with the same event object
        quote      quote the event's message; on Slack, answer in its thread
        ephemeral  show it only to the user of the interaction

        The event's own id is the idempotency key. An event that is delivered again is answered only
        once, and returns the receipt of the first answer, `replayed`; with `on_conflict="raise"`, a
        different text raises. The first answer to an interaction (a command, a pressed button, a
        form) acknowledges it within two seconds, and then replaces the acknowledgement. The other
        fields, the return value and the errors are those of `send`.

        Raises `UnknownEvent` if the event belongs to no conversation, and `AmbiguousEvent` if
        several instances know it.
        """
        check_flag("quote", quote)
        check_flag("ephemeral", ephemeral)
        self._check_loop()
        self._door.check_open()
        if instance is not None:
            await self._door.bring(instance)
        name, address = self._resolve(event, instance)
        key = self._numbers.next_key(event, address.key, key)
        interaction = None
        asked, account = address.interaction, self._registry.account(name)
        if asked is not None and asked.by_token:
            interaction = await self._acknowledgements.before_answer(
                account, address, ephemeral=ephemeral
            )
        elif asked is not None:
            self._acknowledgements.begin(account, address, ephemeral=ephemeral)
        try:
            envelope = Send(
                instance_id=name,
                external_room_id=address.external_room_id,
                text=text,
                thread_id=address.thread_id,
                reply_to=address.reply_to if quote else None,
                key=key,
                ttl=ttl,
                deadline=deadline,
                not_before=not_before,
                priority=priority,
                order=order,
                format=format,
                on_unknown=on_unknown,
                on_conflict=on_conflict,
                extra={} if extra is None else extra,
                mentions=mentions,
                link_previews=link_previews,
                silent=silent,
                collapse=collapse,
                files=() if files is None else files,  # type: ignore[arg-type]  # looked at at the door
                on_file_error=on_file_error,
                buttons=() if buttons is None else buttons,
                poll=poll,
                ephemeral=ephemeral,
                interaction=interaction,
            )
        except ValueError as error:
            raise Invalid(problems_in(error)) from None
        return await self._deliver(envelope, on_cancel, raises=raises)

    @asynccontextmanager
    async def typing(
        self, event: Any, *, instance: str | None = None, ephemeral: bool = False
    ) -> AsyncIterator[None]:
        """Show a typing indicator in the event's room while the block runs.

        The indicator ends with the block, also on an exception, and when a message arrives in the
        room. Without typing indicators in the channel or the room, nothing is shown. The indicator
        delays no message: if the account's limits have nothing to spare, nothing is shown. An
        interaction is acknowledged instead.

        ephemeral  only the interaction's user will see the answer

        Raises `UnknownEvent`, `AmbiguousEvent` and `UnknownInstance` as `reply` does.
        """
        check_flag("ephemeral", ephemeral)
        self._check_loop()
        self._door.check_open()
        if instance is not None:
            await self._door.bring(instance)
        name, address = self._resolve(event, instance)
        account = self._registry.account(name)
        if address.interaction is not None:
            self._acknowledgements.begin(account, address, ephemeral=ephemeral)
        shown = self._typing.begin(account, address)
        try:
            yield
        finally:
            if shown is not None:
                shown.end()
