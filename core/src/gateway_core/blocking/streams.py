"""Streams messages for code that blocks: an answer is sent while it is still being written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    closing,
    suppress,
)
from functools import partial
from types import TracebackType

from gateway_core.blocking.handles import Block, Handle
from gateway_core.blocking.home import Home
from gateway_core.blocking.tickets import Ticket
from gateway_core.contract.beside.buttons import Buttons
from gateway_core.contract.envelopes import Delivered, Json, Receipt
from gateway_core.contract.errors import GatewayClosed
from gateway_core.streams import stream
from gateway_core.streams.stream import check_text


class Stream(Handle[stream.Stream]):
    """A message that grows: write into it, and finish it. Made by `Gateway.stream`.

    Text goes to the gateway's thread, in order and without waiting for it. Any number of threads
    may write.
    """

    def __init__(self, home: Home, inner: stream.Stream) -> None:
        super().__init__(home, inner)
        self._length = 0
        self._writing = threading.Lock()

    def __repr__(self) -> str:
        return repr(self._inner)

    def write(self, text: str) -> None:
        """Append to the text. Never waits.

        Raises `Invalid` for a text that cannot be sent, and beyond `max_text` characters.
        """
        with self._writing:
            check_text(text, self._length, self.max_text)
            self._length += len(text)
            self._tell(partial(self._inner.write, text))

    def replace(self, text: str) -> None:
        """Replace the text. Never waits; raises as `write` does."""
        check_text(text, 0, self.max_text)
        with self._writing:
            self._length = len(text)
            self._tell(partial(self._inner.replace, text))

    def status(self, text: str) -> None:
        """Show a line below the text, such as "searching …"; empty: no line.

        The final message never has the line. Never waits; raises as `write` does.
        """
        check_text(text, 0, self.max_text)
        self._tell(partial(self._inner.status, text))

    def finish(
        self,
        text: str | None = None,
        *,
        extra: Mapping[str, Json] | None = None,
        buttons: Buttons | None = None,
        timeout: float | None = None,
    ) -> Delivered:
        """Say that the text is complete, and wait until all of it is delivered.

        text     replaces the whole written text; None: the text stays as written
        extra    the platform's own fields, on the last part; they replace earlier buttons
        buttons  the buttons of the last part; None keeps them, an empty tuple removes them

        Returns and raises as `Gateway.send` does; after `Invalid` the text is not complete yet. If
        the `timeout` ends, the message is not withdrawn. A second call waits for the same message,
        and raises `Invalid` if it gives something else.
        """
        self._raise_failure()
        # Told before the wait: even if the caller gives up at once, the text counts as complete.
        whole = partial(self._inner._becomes_whole, text, extra, buttons)  # noqa: SLF001 - for its faces
        self._home.tell(_raised_by_the_wait, whole)
        finish = partial(self._inner.finish, text, extra=extra, buttons=buttons)
        return self._home.call_after_end(timeout, finish)

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Leave the block: finish the stream, unless an exception or `finish` has ended it."""
        asked = self._face._inner._asked  # noqa: SLF001 - for its faces
        with suppress(GatewayClosed):  # says less than the stream does, or the block's exception
            return super().__exit__(kind, error, trace)
        if error is None and not asked:
            self._face.finish()
        return False


class Opening(AbstractContextManager[Stream]):
    """A stream that is about to open, by its `with` block."""

    def __init__(
        self,
        home: Home,
        make: Callable[[], AbstractAsyncContextManager[stream.Stream]],
        timeout: float | None,
    ) -> None:
        self._block = StreamBlock(home, make, partial(Stream, home))
        self._timeout = timeout
        self._stream: Stream

    def __enter__(self) -> Stream:
        """Open the stream."""
        self._stream = self._block.__enter__()
        return self._stream

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the stream; after an exception, do as `on_error` says, without waiting."""
        try:
            if error is None and self._timeout is not None:
                self._stream.finish(timeout=self._timeout)
        except BaseException as late:
            self._block.__exit__(type(late), late, None)
            raise
        self._block.__exit__(kind, error, trace)

    def write_all(self, chunks: Iterable[str]) -> Delivered:
        """Write all chunks into the stream, as the calling thread gets them, and finish it."""
        with ExitStack() as stack:
            out = stack.enter_context(self._block)
            if isinstance(chunks, Generator):
                stack.enter_context(closing(chunks))
            for chunk in chunks:
                out.write(chunk)
                if out.stopped:
                    break
            return out.finish(timeout=self._timeout)
