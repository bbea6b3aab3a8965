"""Writes a streamed body while the answer is already being read."""

from __future__ import annotations

import trio

from gateway_core.http.bodies.outgoing import Blocks
from gateway_core.http.progress import Progress
from gateway_core.http.reuse import Usage
from gateway_core.http.tcp import TcpStream
from gateway_core.http.tunnel import Stream

IN_A_ROW = 4
"""Blocks after which other tasks get their turn."""
_REFUSED = 300


class Upload:
    """Writes a request's head and its body, block by block.

    over     no more of the body is written
    whole    the whole body was written
    failure  the error that stopped the writing. None: there was none, or the connection broke after
             bytes were written; reading the answer then shows what this means
    """

    def __init__(
        self,
        stream: Stream,
        tcp: TcpStream,
        blocks: Blocks,
        progress: Progress,
        usage: Usage,
    ) -> None:
        self.over = False
        self.whole = False
        self.failure: Exception | None = None
        self._stream = stream
        self._tcp = tcp
        self._blocks = blocks
        self._progress = progress
        self._usage = usage
        self._in_a_row = 0

    async def run(self, head: memoryview, reading: trio.CancelScope) -> None:
        """Write head and body; a failure cancels `reading`."""
        sent = self._tcp.sent
        self._progress.streams()
        timeouts = self._progress.timeouts
        try:
            # These timeouts, and not the system's, limit the wait for a slow reader.
            self._tcp.bear(timeouts.write + timeouts.read)
            self._tcp.moves = self._moves
            await self._write_all(head)
        except trio.BrokenResourceError as error:
            # If a request is refused for its size, the answer may come before the request's end.
            if self._tcp.sent == sent:
                self._progress.written = False
                self._fail(error, reading)
        except Exception as error:  # noqa: BLE001 - raised where the answer is read
            self._fail(error, reading)
        finally:
            self._tcp.moves = None
        self._end()

    def _moves(self) -> None:
        """The system took some of a block, so the block's timeout starts again."""
        if not self.over:
            self._progress.enter("write")

    def _fail(self, error: Exception, reading: trio.CancelScope) -> None:
        if not self.over:
            self.failure = error
            reading.cancel()

    async def _write_all(self, head: memoryview) -> None:
        first = await self._blocks.next()
        # A view, since its `repr` does not show the bytes, which may hold secrets.
        block: bytes | memoryview | None = memoryview(b"".join((head, first or b"")))
        await trio.lowlevel.checkpoint_if_cancelled()
        self._progress.begins_to_write()
        while block is not None and not self.over:
            self._progress.enter("write")
            await self._stream.send_all(block)
            self._usage.moved = trio.current_time()
            block = await self._next()
            if block:
                self._progress.goes_on_writing()
        self.whole = block is None

    async def _next(self) -> bytes | memoryview | None:
        """The next block, if it is still wanted; after the last block it does not wait."""
        if self.over:
            return b""
        self._progress.enter("source")
        block = await self._blocks.next()
        self._in_a_row += 1
        if block is not None and self._in_a_row == IN_A_ROW:
            # Socket and source may never wait, so other tasks get their turn here.
            self._in_a_row = 0
            await trio.lowlevel.checkpoint()
        return block

    def answered(self, status: int) -> None:
        """The answer has begun; after a refusal the rest of the body is not written."""
        if status >= _REFUSED:
            self._end()

    def is_over_for_both(self, status: int | None) -> bool:
        """Whether the connection may carry another request.

        A server that refused may not have read the whole body, even if all of it was written.
        """
        return self.whole and status is not None and status < _REFUSED

    def _end(self) -> None:
        if not self.over:
            self.over = True
            self._progress.streamed()
