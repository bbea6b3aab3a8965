"""The verb `stream` of the public face.

This module waits: for what a stream waits for.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Generator, Mapping
from types import TracebackType
from typing import Any, get_args

from gateway_core.contract.addresses import Address
from gateway_core.contract.envelopes import (
    Delivered,
    Format,
    Grows,
    Json,
    Priority,
    Receipt,
    Send,
)
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.problems import problems_in
from gateway_core.streams.open_streams import Streams
from gateway_core.streams.stream import PLACEHOLDER, OnError, Stream
from gateway_core.submission.checks import LONGEST_TEXT


class Opening:
    """A stream that is about to open: `async with` it; or `await` it, if it has its chunks."""

    def __init__(self, stream: Stream, chunks: AsyncIterable[str] | None) -> None:
        self._stream, self._chunks = stream, chunks

    async def __aenter__(self) -> Stream:
        """Open it."""
        if self._chunks is not None:
            raise TypeError("a stream with chunks is awaited: it writes them itself")
        return await self._stream.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish it."""
        await self._stream.__aexit__(kind, error, trace)

    def __await__(self) -> Generator[Any, Any, Delivered | Receipt]:
        """Write all chunks into it, and finish it."""
        return self._write_all().__await__()

    async def _write_all(self) -> Delivered | Receipt:
        if self._chunks is None:
            raise TypeError("a stream without chunks is opened by `async with`")
        async with self._stream as out:
            async for chunk in self._chunks:
                out.write(chunk)
                if out.stopped:
                    break
            return await out.finish()


class Streaming:
    """What a `Gateway` says as it is written."""

    _streams: Streams

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
        mentions: bool = False,
        link_previews: bool = False,
        silent: bool = False,
        on_error: OnError = "mark",
        broken_off: str = " […]",
        max_text: int = 100_000,
    ) -> Opening:
        """A message that grows, such as a language model's answer.

        where       an event of the platform, which it answers in its room and thread, with its
                    key; or (instance, room)
        chunks      its text, piece by piece: then it is awaited, and gives the receipt
        instance    whose event it is; None: of the one instance whose adapter knows it
        key         another stream of that key which is open is joined
        ttl         seconds from its end after which it expires
        extra       the platform's own fields (buttons) while it grows; `finish` may replace them
        on_error    what becomes of it if its block ends by an exception: `mark` puts `broken_off`
                    at its end, `delete` takes it back, `keep` leaves it as it is
        broken_off  what stands at its end as well if its program is killed
        max_text    characters that it may have

        The others are those of `send`. Raises `Invalid` for what is no such value, `UnknownEvent`
        and `AmbiguousEvent` for an event that no instance or several know; the rest when the block
        is entered.
        """
        _check(on_error, max_text)
        name, address = _place(where, instance, self._streams)
        try:
            envelope = Send(
                instance_id=name,
                external_room_id=address.external_room_id,
                text=PLACEHOLDER,
                thread_id=address.thread_id if thread is None else thread,
                reply_to=address.reply_to if reply_to is None else reply_to,
                key=address.key if key is None else key,
                ttl=ttl,
                priority=priority,
                format=format,
                extra=extra or {},
                mentions=mentions,
                link_previews=link_previews,
                silent=silent,
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
        return Opening(Stream(self._streams, envelope, on_error, max_text), chunks)


def _place(where: Any, instance: str | None, streams: Streams) -> tuple[str, Address]:
    """The instance and the address of a stream."""
    if isinstance(where, tuple):
        if len(where) != 2 or instance is not None:  # noqa: PLR2004 - a pair
            text = f"must be (instance, room) alone, or an event, not {where!r}"
            raise Invalid([Problem("where", text)])
        return where[0], Address(external_room_id=where[1])
    return streams.resolve(where, instance)


def _check(on_error: object, most: object) -> None:
    """Raises `Invalid` for arguments that no envelope checks."""
    problems = []
    if on_error not in get_args(OnError):
        words = ", ".join(map(repr, get_args(OnError)))
        problems.append(Problem("on_error", f"must be one of {words}, not {on_error!r}"))
    if type(most) is not int or not 0 < most <= LONGEST_TEXT:
        problems.append(Problem("max_text", f"must be 1 to {LONGEST_TEXT}, not {most!r}"))
    if problems:
        raise Invalid(problems)
