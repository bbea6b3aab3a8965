"""Streams messages for asyncio: an answer is sent while it is still being written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, suppress
from functools import partial
from types import TracebackType
from typing import Any

from gateway_core.aio.handles import Block, Handle
from gateway_core.aio.home import Home
from gateway_core.aio.tickets import Ticket
from gateway_core.contract.beside.buttons import Buttons
from gateway_core.contract.envelopes import Delivered, Json, Receipt
from gateway_core.contract.errors import GatewayClosed
from gateway_core.streams import stream
from gateway_core.streams.stream import check_text, warn_of_chunks_left


class Stream(Handle[stream.Stream]):
    """A message that grows: write into it, and finish it. Made by `Gateway.stream`.

    Text goes to the gateway's thread, in order and without waiting for it.
    """

    def __init__(self, home: Home, inner: stream.Stream) -> None:
        super().__init__(home, inner)
        self._length = 0

    def __repr__(self) -> str:
        return repr(self._inner)

    def write(self, text: str) -> None:
        """Append to the text. Never waits.

        Raises `Invalid` for a text that cannot be sent, and beyond `max_text` characters.
        """
        check_text(text, self._length, self.max_text)
        self._length += len(text)
        self._tell(partial(self._inner.write, text))

    def replace(self, text: str) -> None:
        """Replace the text. Never waits; raises as `write` does."""
        check_text(text, 0, self.max_text)
        self._length = len(text)
        self._tell(partial(self._inner.replace, text))

    def status(self, text: str) -> None:
        """Show a line below the text, such as "searching …"; empty: no line.

        The final message never has the line. Never waits; raises as `write` does.
        """
        check_text(text, 0, self.max_text)
        self._tell(partial(self._inner.status, text))

    async def finish(
        self,
        text: str | None = None,
        *,
        extra: Mapping[str, Json] | None = None,
        buttons: Buttons | None = None,
    ) -> Delivered:
        """Say that the text is complete, and wait until all of it is delivered.

        text     replaces the whole written text; None: the text stays as written
        extra    the platform's own fields, on the last part; they replace earlier buttons
        buttons  the buttons of the last part; None keeps them, an empty tuple removes them

        Returns and raises as `Gateway.send` does; after `Invalid` the text is not complete yet.
        Cancelling the call does not withdraw the message. A second call waits for the same message,
        and raises `Invalid` if it gives something else.
        """
        self._raise_failure()
        # Told before the wait: even if the caller gives up at once, the text counts as complete.
        whole = partial(self._inner._becomes_whole, text, extra, buttons)  # noqa: SLF001 - for its faces
        self._home.tell(_raised_by_the_wait, whole)
        finish = partial(self._inner.finish, text, extra=extra, buttons=buttons)
        return await self._home.call_after_end(finish)

    @property
    def receipt(self) -> Receipt | None:
        """How the message ended; None: it has not ended."""
        return self._inner.receipt

    @property
    def ticket(self) -> Ticket | None:
        """The message's ticket once the message is accepted; its ref can be stored at once."""
        ticket = self._inner.ticket
        return None if ticket is None else Ticket(self._home, ticket)

    @property
    def max_text(self) -> int:
        """Most characters that the text may have."""
        return self._inner.max_text

    @property
    def stopped(self) -> bool:
        """Whether writing more is pointless, because the user stopped it or it has ended."""
        return self._inner.stopped


def _raised_by_the_wait(_: Exception) -> None:
    """Do nothing: the wait for the stream's end raises the error."""


class StreamBlock(Block[Stream]):
    """The block of a stream, which ends as the stream did even if the gateway ended before it."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Leave the block: finish the stream, unless an exception or `finish` has ended it."""
        asked = self._face._inner._asked  # noqa: SLF001 - for its faces
        with suppress(GatewayClosed):  # says less than the stream does, or the block's exception
            return await super().__aexit__(kind, error, trace)
        if error is None and not asked:
            await self._face.finish()
        return False


class Opening(AbstractAsyncContextManager[Stream]):
    """A stream that is about to open: use `async with`, or `await` if it has chunks."""

    def __init__(
        self,
        home: Home,
        make: Callable[[], AbstractAsyncContextManager[stream.Stream]],
        chunks: AsyncIterable[str] | None,
    ) -> None:
        self._block = StreamBlock(home, make, partial(Stream, home))
        self._chunks = chunks
        self._left = chunks is not None

    def __del__(self) -> None:
        if self._left:
            warn_of_chunks_left(self)

    async def __aenter__(self) -> Stream:
        """Open the stream."""
        self._left = False
        if self._chunks is not None:
            raise TypeError("a stream with chunks writes them itself: `await` it")
        return await self._block.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the stream; after an exception, do as `on_error` says, and wait for a moment.

        As under trio, it waits until the text is accepted, and at most for a second.
        """
        await self._block.__aexit__(kind, error, trace)

    def __await__(self) -> Generator[Any, Any, Delivered]:
        """Write all chunks into the stream, as the running loop gives them, and finish it."""
        self._left = False
        return self._write_all().__await__()

    async def _write_all(self) -> Delivered:
        if self._chunks is None:
            raise TypeError("a stream without chunks cannot be awaited: use `async with`")
        async with AsyncExitStack() as stack:
            out = await stack.enter_async_context(self._block)
            if isinstance(self._chunks, AsyncGenerator):
                await stack.enter_async_context(aclosing(self._chunks))
            async for chunk in self._chunks:
                out.write(chunk)
                if out.stopped:
                    break
            return await out.finish()
