"""Answers incoming events, for asyncio: `reply`, `typing`, `stream`."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Literal, Unpack, overload

from gateway_core.aio.handles import Block
from gateway_core.aio.home import Home
from gateway_core.aio.streams import Opening
from gateway_core.answering.verbs import ReplyFields
from gateway_core.contract.envelopes import Delivered, Receipt
from gateway_core.streams.opening import StreamFields
from gateway_core.streams.stream import check_chunks


class Answers:
    """The methods of a `Gateway` that answer incoming events."""

    _home: Home
    _call: Any

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
        self, event: Any, text: str, *, raises: bool = True, **fields: Unpack[ReplyFields]
    ) -> Delivered | Receipt:
        """Answer an incoming event where it came from, as `gateway_core.Gateway.reply` does."""
        receipt: Delivered | Receipt = await self._call(
            self._home.core.reply,
            event,
            text,
            raises=raises,
            **fields,
        )
        return receipt

    def typing(
        self, event: Any, *, instance: str | None = None, ephemeral: bool = False
    ) -> AbstractAsyncContextManager[None]:
        """Show a typing indicator in the event's room while the block runs.

        It works like `gateway_core.Gateway.typing`; entering the block raises that method's errors.
        """
        core = self._home.core
        make = partial(core.typing, event, instance=instance, ephemeral=ephemeral)
        return Block(self._home, make, _nothing)

    def stream(
        self,
        where: Any,
        chunks: AsyncIterable[str] | None = None,
        **fields: Unpack[StreamFields],
    ) -> Opening:
        """A message that grows, such as a language model's answer: for an `async with` block.

        where   an event of the platform, which the message answers; or (instance, room)
        chunks  the text, piece by piece, read in the running loop; then `await` the result, which
                gives the receipt

        The fields are those of `gateway_core.Gateway.stream`; entering the block raises that
        method's errors. A block that is cancelled ends as `on_error` says.
        """
        if chunks is not None:
            check_chunks(chunks, AsyncIterable, "an async iterable")
        return Opening(self._home, partial(self._home.core.stream, where, **fields), chunks)


def _nothing(_: None) -> None:
    """The value that a block of `typing` gets: None."""
