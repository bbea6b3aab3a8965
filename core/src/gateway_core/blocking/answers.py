"""Answers incoming events, for code that blocks: `reply`, `typing`, `stream`."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal, Unpack, overload

from gateway_core.answering.verbs import ReplyFields
from gateway_core.blocking.handles import Block
from gateway_core.blocking.home import Home
from gateway_core.blocking.streams import Opening
from gateway_core.contract.envelopes import Delivered, Receipt
from gateway_core.streams.opening import StreamFields
from gateway_core.streams.stream import check_chunks


class Answers:
    """The methods of a `Gateway` that answer incoming events."""

    _home: Home
    _call: Any

    @overload
    def reply(
        self,
        event: Any,
        text: str,
        *,
        raises: Literal[True] = ...,
        timeout: float | None = ...,
        **fields: Unpack[ReplyFields],
    ) -> Delivered: ...

    @overload
    def reply(
        self,
        event: Any,
        text: str,
        *,
        raises: bool,
        timeout: float | None = ...,
        **fields: Unpack[ReplyFields],
    ) -> Delivered | Receipt: ...

    def reply(
        self,
        event: Any,
        text: str,
        *,
        raises: bool = True,
        timeout: float | None = None,
        **fields: Unpack[ReplyFields],
    ) -> Delivered | Receipt:
        """Answer an incoming event where it came from, as `gateway_core.Gateway.reply` does."""
        receipt: Delivered | Receipt = self._call(
            timeout, self._home.core.reply, event, text, raises=raises, **fields
        )
        return receipt

    def typing(
        self, event: Any, *, instance: str | None = None, ephemeral: bool = False
    ) -> AbstractContextManager[None]:
        """Show a typing indicator in the event's room while the block runs.

        It works like `gateway_core.Gateway.typing`; entering the block raises that method's errors.
        """
        core = self._home.core
        make = partial(core.typing, event, instance=instance, ephemeral=ephemeral)
        return Block(self._home, make, _nothing)

    @overload
    def stream(
        self,
        where: Any,
        chunks: None = ...,
        *,
        timeout: float | None = ...,
        **fields: Unpack[StreamFields],
    ) -> Opening: ...

    @overload
    def stream(
        self,
        where: Any,
        chunks: Iterable[str],
        *,
        timeout: float | None = ...,
        **fields: Unpack[StreamFields],
    ) -> Delivered: ...

    def stream(
        self,
        where: Any,
        chunks: Iterable[str] | None = None,
        *,
        timeout: float | None = None,
        **fields: Unpack[StreamFields],
    ) -> Opening | Delivered:
        """A message that grows, such as a language model's answer: for a `with` block.

        where    an event of the platform, which the message answers; or (instance, room)
        chunks   the text, piece by piece, read by the calling thread; this call then writes and
                 finishes the message, and returns the receipt
        timeout  seconds to wait for the message's end, from the end of the block or the chunks on.
                 Afterwards `TimeoutError` is raised, and the message goes on

        The fields are those of `gateway_core.Gateway.stream`; entering the block raises that
        method's errors.
        """
        if chunks is not None:
            check_chunks(chunks, Iterable, "an iterable")
        opening = Opening(self._home, partial(self._home.core.stream, where, **fields), timeout)
        return opening if chunks is None else opening.write_all(chunks)


def _nothing(_: None) -> None:
    """The value that a block of `typing` gets: None."""
