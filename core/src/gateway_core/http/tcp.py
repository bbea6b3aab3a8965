"""A connected socket as a stream that yields to other tasks only where it has to wait.

trio's own yields after each write, though it waited for nothing, and tries to read before it waits:
for a request whose answer is tens of milliseconds away, that is a turn of the loop and a system
call for nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import trio

MOST = 1 << 16
"""Bytes taken in one read."""

UNACKNOWLEDGED = 5
"""Seconds that what was written may stay without the other system's acknowledgement."""
NOTICE = 1
"""Seconds after which the system asks for that on an idle connection, and between such questions.

A connection that was forgotten on the way is then known to have ended before a request is written
on it. The system asks below what the platform's program sees."""

_TCP_OPTIONS = {
    "TCP_KEEPIDLE": NOTICE,
    "TCP_KEEPINTVL": NOTICE,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED * 1000,
}
_LONGEST = 86_400.0
_CLOSED = "this connection was closed"


class TcpStream(trio.abc.Stream):
    """Takes the socket over from a stream of trio's, which connected it.

    sent   bytes that the system took
    moves  called whenever it takes some of what had to wait
    """

    def __init__(self, connected: trio.SocketStream) -> None:
        self.sent = 0
        self.moves: Callable[[], None] | None = None
        self._socket = socket.socket(fileno=connected.socket.detach())
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _TCP_OPTIONS.items():
            option = getattr(socket, name, None)  # not every system has them
            if option is not None:
                self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def bear(self, seconds: float) -> None:
        """How long what was written may stay unacknowledged, or the other side read nothing.

        To the system these are one: a side whose buffer is full acknowledges no more.
        """
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None and self._socket.fileno() != -1:
            milliseconds = round(min(seconds, _LONGEST) * 1000)
            self._socket.setsockopt(socket.IPPROTO_TCP, option, milliseconds)

    def send_nowait(self, data: bytes | memoryview) -> int:
        """Write what goes without waiting; how many bytes that was."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._failure(error) from error
        self.sent += sent
        return sent

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it; yields only where the other side is slow to read."""
        with memoryview(data) as whole:
            sent = self.send_nowait(whole)
            while sent < len(whole):
                await trio.lowlevel.wait_writable(self._open())
                sent += self.send_nowait(whole[sent:])
                if self.moves is not None:
                    self.moves()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until a write would go."""
        await trio.lowlevel.wait_writable(self._open())

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for what comes; nothing: the connection ended."""
        while True:
            await trio.lowlevel.wait_readable(self._open())
            try:
                return self._socket.recv(max_bytes or MOST)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._failure(error) from error

    def has_news(self) -> bool:
        """Whether it ended, or holds something that was not read."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    async def aclose(self) -> None:
        """Close it; who waits for it is told."""
        if self._socket.fileno() != -1:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
        await trio.lowlevel.checkpoint()

    def _open(self) -> socket.socket:
        if self._socket.fileno() == -1:
            raise trio.ClosedResourceError(_CLOSED)
        return self._socket

    def _failure(self, error: OSError) -> Exception:
        if self._socket.fileno() == -1:
            return trio.ClosedResourceError(_CLOSED)
        return trio.BrokenResourceError(f"the connection broke: {error}")
