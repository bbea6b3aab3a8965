"""The gateway's verb `stream`.

This module waits for what a stream waits for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack, aclosing
from functools import cached_property, partial
from types import TracebackType
from typing import Any, TypedDict, get_args

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.answering.interactions import Acknowledgements
from gateway_core.answering.verbs import Answers
from gateway_core.contract.addresses import Address, Interaction
from gateway_core.contract.beside.buttons import Buttons, rows_of
from gateway_core.contract.envelopes import (
    Delivered,
    Format,
    Grows,
    Json,
    Mentions,
    Priority,
    Send,
)
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.problems import problems_in
from gateway_core.contract.validators import is_whole
from gateway_core.outboxes.journal import Journal
from gateway_core.plugins.plain import plain
from gateway_core.streams.open_streams import Streams
from gateway_core.streams.stream import (
    PLACEHOLDER,
    OnError,
    Stream,
    check_chunks,
    warn_of_chunks_left,
)
from gateway_core.submission.checks import LONGEST_TEXT, problems_of
from gateway_core.submission.draft import Drafting
from gateway_core.submission.verbs import check_flag


class StreamFields(TypedDict, total=False):
    """The arguments of `stream` besides where and chunks, in every kind of program."""

    instance: str | None
    thread: str | None
    reply_to: str | None
    key: str | None
    ttl: float | None
    priority: Priority
    format: Format
    extra: Mapping[str, Json] | None
    mentions: Mentions
    link_previews: bool
    silent: bool
    ephemeral: bool
    on_error: OnError
    broken_off: str
    max_text: int
    buttons: Buttons | None


class Opening:
    """A stream that is about to open: enter it with `async with`, or `await` it with chunks."""

    def __init__(
        self,
        stream: Stream | None,
        chunks: AsyncIterable[str] | None,
        make: Callable[[], Awaitable[Stream]] | None = None,
    ) -> None:
        self._made, self._chunks, self._make = stream, chunks, make
        self._left = chunks is not None

    def __del__(self) -> None:
        if self._left:
            warn_of_chunks_left(self)

    @property
    def _stream(self) -> Stream:
        assert self._made is not None, "it is entered"  # noqa: S101 - an invariant
        return self._made

    async def _ready(self) -> None:
        """Make the stream, if that had to wait for its account."""
        if self._make is not None:
            self._made, self._make = await self._make(), None

    async def __aenter__(self) -> Stream:
        """Open the stream."""
        self._left = False
        if self._chunks is not None:
            raise TypeError("a stream with chunks writes them itself: `await` it")
        await self._ready()
        return await self._stream.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the stream."""
        await self._stream.__aexit__(kind, error, trace)

    def __await__(self) -> Generator[Any, Any, Delivered]:
        """Write all chunks into the stream, and finish the stream."""
        self._left = False
        return self._write_all().__await__()

    async def _write_all(self) -> Delivered:
        if self._chunks is None:
            raise TypeError("a stream without chunks cannot be awaited: use `async with`")
        await self._ready()
        async with self._stream as out, AsyncExitStack() as stack:
            if isinstance(self._chunks, AsyncGenerator):
                await stack.enter_async_context(aclosing(self._chunks))
            async for chunk in self._chunks:
                out.write(chunk)
                if out.stopped:
                    break
            return await out.finish()


class Streaming(Answers):
    """The method by which a `Gateway` sends a message while it is being written."""

    _journal: Journal | None
    _drafting: Drafting

    @cached_property
    def _streams(self) -> Streams:
        return Streams(self._door, self._clock, self._journal, self._spawn, self._drafting)

    def stream(
        self,
        where: Any,
        chunks: AsyncIterable[str] | None = None,
        *,
        instance: str | None = None,
        thread: str | None = None,
        reply_to: str | None = None,
        key: str | None = None,
        ttl: float | None = None,
        priority: Priority = "normal",
        format: Format = "markdown",  # noqa: A002 - the field's standard term
        extra: Mapping[str, Json] | None = None,
        mentions: Mentions = False,
        link_previews: bool = False,
        silent: bool = False,
        ephemeral: bool = False,
        on_error: OnError = "mark",
        broken_off: str = " […]",
        max_text: int = 100_000,
        buttons: Buttons | None = None,
    ) -> Opening:
        """A message that grows, such as a language model's answer.

        where       an event of the platform, to be answered in its room and thread and under its
                    key; or (instance, room)
        chunks      the text in pieces; then await the stream, which returns the receipt
        instance    the account that received the event; None: the one whose adapter knows it
        key         joins an open stream with the same key. With an event, it names this answer
                    among several to the event; without it, answers are numbered as in `reply`
        ttl         seconds after the end of the stream at which it expires
        extra       the platform's own fields while the message grows; `finish` may replace them
        buttons     the message's buttons while it grows; `finish` may replace them
        ephemeral   show it only to the user of the interaction
        on_error    what happens if the block ends with an exception: `mark` adds `broken_off` at
                    the end, `delete` deletes the message, `keep` leaves it as it is. If the
                    platform shows that an interaction's answer is coming, and nothing was written
                    yet, `broken_off` is the answer
        broken_off  text that is added at the end, also if the program is killed
        max_text    most characters of the text

        Until the first message is sent, a typing indicator is shown if the channel has one. An
        interaction (a command, a pressed button, a form) is acknowledged when the block is entered.
        If an answer by its token cannot be edited, it is sent when the text is complete. The other
        fields are those of `send`. Raises `Invalid` for wrong values, and `UnknownEvent` and
        `AmbiguousEvent` for an event that no instance knows or several know; other errors are
        raised when the block is entered.
        """
        _check(on_error, max_text)
        if chunks is not None:
            check_chunks(chunks, AsyncIterable, "an async iterable")
        check_flag("ephemeral", ephemeral)
        if (missing := self._missing(where, instance)) is not None:
            fields: Any = {
                "instance": instance, "thread": thread, "reply_to": reply_to, "key": key,
                "ttl": ttl, "priority": priority, "format": format, "extra": extra,
                "mentions": mentions, "link_previews": link_previews, "silent": silent,
                "ephemeral": ephemeral, "on_error": on_error, "broken_off": broken_off,
                "max_text": max_text, "buttons": buttons,
            }  # fmt: skip

            async def make() -> Stream:
                await self._door.bring(missing)
                return self.stream(where, **fields)._stream  # noqa: SLF001 - of one kind

            return Opening(None, chunks, make)
        name, address = _place(where, instance, self)
        asked = None
        if not isinstance(where, tuple):
            key = self._numbers.next_key(where, address.key, key)
        if address.interaction is not None:
            account = self._registry.account(name)
            asked = Answered(self._acknowledgements, account, address, ephemeral)
        try:
            envelope = Send(
                instance_id=name,
                external_room_id=address.external_room_id,
                text=PLACEHOLDER,
                thread_id=address.thread_id if thread is None else thread,
                reply_to=address.reply_to if reply_to is None else reply_to,
                key=key,
                ttl=ttl,
                priority=priority,
                format=format,
                extra=extra or {},
                mentions=mentions,
                link_previews=link_previews,
                silent=silent,
                ephemeral=ephemeral,
                interaction=_token_of(address),
                on_conflict="replay" if address.key is not None else "raise",
                grows=Grows(
                    broken_off=broken_off,
                    message_id=address.message_id,
                    user_id=address.user_id,
                    team_id=address.team_id,
                    direct=address.direct,
                ),
            )
        except ValueError as error:
            raise Invalid(problems_in(error)) from None
        if not problems_of(envelope):  # otherwise entering the block raises
            envelope = plain(envelope)
        serving = self._registry.serving.get(name)
        rows = rows_of(() if buttons is None else buttons)
        if serving is not None and rows != ():  # without an account, entering the block raises
            fields = self._streams.fields_beside(envelope, rows, envelope.extra, None)
            envelope = attrs.evolve(envelope, extra=fields)
        shows = None if serving is None else partial(self._begin_typing, serving, address)
        stream = Stream(self._streams, envelope, on_error, plain(max_text), asked, shows)
        return Opening(stream, chunks)

    def _missing(self, where: Any, instance: str | None) -> str | None:
        """The id of the account to ask a source for; None: no source need be asked."""
        named = where[0] if isinstance(where, tuple) and where else instance
        here = self._drafting.source is None or named in self._registry.serving
        return None if here or not isinstance(named, str) else named

    def _begin_typing(self, account: InstanceState, address: Address) -> Callable[[], None] | None:
        """Show that an answer is being written; the function that ends that. None: not shown."""
        shown = self._typing.begin(account, address)
        return None if shown is None else shown.end


@attrs.frozen
class Answered:
    """The interaction that a stream answers."""

    _acknowledgements: Acknowledgements
    _account: InstanceState
    _address: Address
    _ephemeral: bool

    @property
    def shows_it(self) -> bool:
        """Whether users see that an answer is being made, until there is an answer."""
        asked = self._address.interaction
        shown = asked is not None and asked.by_token and asked.asked != "press"
        return shown and "acknowledge" in self._account.hooks.served

    def acknowledge(self) -> None:
        """Tell the platform at once that an answer will come."""
        self._acknowledgements.begin(self._account, self._address, ephemeral=self._ephemeral)

    async def before_answer(self) -> Interaction | None:
        """Wait until the interaction is acknowledged; returns it as the answer needs it.

        None: the answer is a message in the room.
        """
        if _token_of(self._address) is None:
            return None
        return await self._acknowledgements.before_answer(
            self._account, self._address, ephemeral=self._ephemeral
        )


def _token_of(address: Address) -> Interaction | None:
    """The interaction, if its token gives the answer; None: the answer only goes to the room."""
    asked = address.interaction
    return asked if asked is not None and asked.by_token else None


def _place(where: Any, instance: str | None, verbs: Streaming) -> tuple[str, Address]:
    """The instance and the address of a stream."""
    if isinstance(where, tuple):
        if len(where) != 2 or instance is not None:  # noqa: PLR2004 - a pair
            text = f"must be (instance, room) without `instance=`, or an event, not {where!r}"
            raise Invalid([Problem("where", text)])
        return where[0], Address(external_room_id=where[1])
    return verbs._resolve(where, instance)  # noqa: SLF001 - of one kind


def _check(on_error: object, most: object) -> None:
    """Raises `Invalid` for arguments that no envelope checks."""
    problems = []
    if on_error not in get_args(OnError):
        words = ", ".join(map(repr, get_args(OnError)))
        problems.append(Problem("on_error", f"must be one of {words}, not {on_error!r}"))
    if not is_whole(most) or not 0 < most <= LONGEST_TEXT:
        problems.append(Problem("max_text", f"must be 1 to {LONGEST_TEXT}, not {most!r}"))
    if problems:
        raise Invalid(problems)
