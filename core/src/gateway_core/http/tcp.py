"""Makes a connected socket a stream that yields to other tasks only when it has to wait.

trio's own stream yields after each write, even if it did not wait, and tries to read before it
waits. For a request whose answer is tens of milliseconds away, this costs one turn of the loop and
one system call for nothing.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress

import trio

MOST = 1 << 16
"""Most bytes taken in one read."""

UNACKNOWLEDGED = 5
"""Seconds for which written bytes may stay without the other system's acknowledgement."""
NOTICE = 1
"""Seconds after which the system probes an idle connection, and between such probes.

So it is known that a connection was forgotten on the way, before a request is written on it. The
platform's program does not see these probes."""

_TCP_OPTIONS = {
    "TCP_KEEPIDLE": NOTICE,
    "TCP_KEEPINTVL": NOTICE,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED * 1000,
}
_LONGEST = 86_400.0
_AT_ONCE = struct.pack("ii", 1, 0)
_CLOSED = "this connection was closed"


class TcpStream(trio.abc.Stream):
    """A stream over the socket that it takes over from trio's stream.

    sent   bytes that the system has taken
    moves  called whenever the system takes bytes that had to wait
    """

    def __init__(self, connected: trio.SocketStream) -> None:
        self.sent = 0
        self.moves: Callable[[], None] | None = None
        self._socket = socket.socket(fileno=connected.socket.detach())
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _TCP_OPTIONS.items():
            option = getattr(socket, name, None)  # not every system has these options
            if option is not None:
                self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def bear(self, seconds: float) -> None:
        """Set how long written bytes may stay unacknowledged, or the other side may read nothing.

        The system treats both alike: a side whose buffer is full acknowledges nothing more.
        """
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None and self._socket.fileno() != -1:
            milliseconds = round(min(seconds, _LONGEST) * 1000)
            self._socket.setsockopt(socket.IPPROTO_TCP, option, milliseconds)

    def send_nowait(self, data: bytes | memoryview) -> int:
        """Write as much as is possible without waiting, and return how many bytes that was."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._failure(error) from error
        self.sent += sent
        return sent

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of the data; yields only if the other side is slow to read."""
        with memoryview(data) as whole:
            sent = self.send_nowait(whole)
            while sent < len(whole):
                await trio.lowlevel.wait_writable(self._open())
                sent += self.send_nowait(whole[sent:])
                if self.moves is not None:
                    self.moves()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until a write would not have to wait."""
        await trio.lowlevel.wait_writable(self._open())

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for bytes, and return them; no bytes: the connection ended."""
        while True:
            await trio.lowlevel.wait_readable(self._open())
            try:
                return self._socket.recv(max_bytes or MOST)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._failure(error) from error

    def has_news(self) -> bool:
        """Whether the connection ended, or holds bytes that were not read."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def discard(self) -> None:
        """Let the system send nothing more once the stream is closed, not even what it has taken.

        Else it would go on for `UNACKNOWLEDGED` seconds.
        """
        with suppress(OSError):  # it is closed already
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)

    async def aclose(self) -> None:
        """Close the socket, and wake the tasks that wait for it."""
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
