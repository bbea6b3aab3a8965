"""A middlebox between a client and a platform, on loopback, which forgets connections.

It behaves like an address translation whose entry has expired, or a firewall or load balancer that
failed over. Bytes that the client writes on a forgotten connection are lost.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

import attrs
import trio

_LINGER_NOT = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds: closing sends a reset.
_ENDED = (trio.BrokenResourceError, trio.ClosedResourceError)


@attrs.define(eq=False)
class _Relayed:
    client: trio.SocketStream
    server: trio.SocketStream
    number: int
    answered: bool = False


@attrs.define(eq=False)
class Middlebox:
    """A relay to one port.

    answer   the answer to bytes on a forgotten connection: a reset, or nothing at all
    once     a connection is forgotten as soon as it has carried one answer
    opened   how many connections there were so far
    lost     how many writes of the client came on a forgotten connection
    front    the relay's own port
    """

    port: int
    answer: Literal["reset", "silence"] = "reset"
    once: bool = False
    opened: int = 0
    lost: int = 0
    front: int = 0
    _forgotten: int = 0
    _accepts: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _reopened: trio.Event = attrs.field(factory=trio.Event)

    async def listen(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Take connections until cancelled, except while it is shut."""
        async with trio.open_nursery() as nursery:
            while True:
                listeners = await trio.open_tcp_listeners(self.front, host="127.0.0.1")
                if not self.front:
                    self.front = listeners[0].socket.getsockname()[1]
                    task_status.started()
                self._reopened, self._accepts = trio.Event(), trio.CancelScope()
                with self._accepts:
                    await trio.serve_listeners(self._relay, listeners, handler_nursery=nursery)
                await self._reopened.wait()

    def shut(self) -> None:
        """Refuse new connections from now on; existing ones stay."""
        self._accepts.cancel()

    def open(self) -> None:
        """Take new connections again."""
        self._reopened.set()

    def forget(self) -> None:
        """Forget every existing connection."""
        self._forgotten = self.opened

    async def _relay(self, client: trio.SocketStream) -> None:
        self.opened += 1
        number = self.opened
        async with client, await trio.open_tcp_stream("127.0.0.1", self.port) as server:
            relayed = _Relayed(client, server, number)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._answers, relayed, nursery.cancel_scope)
                with suppress(*_ENDED):
                    await self._requests(relayed)
                nursery.cancel_scope.cancel()

    async def _requests(self, relayed: _Relayed) -> None:
        async for data in relayed.client:
            if relayed.number > self._forgotten and not (self.once and relayed.answered):
                await relayed.server.send_all(data)
                continue
            self.lost += 1
            if self.answer == "reset":
                relayed.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                return

    async def _answers(self, relayed: _Relayed, both: trio.CancelScope) -> None:
        with suppress(*_ENDED):
            async for data in relayed.server:
                relayed.answered = True
                await relayed.client.send_all(data)
        both.cancel()


@asynccontextmanager
async def between(url: str, **fields: object) -> AsyncIterator[tuple[Middlebox, str]]:
    """A middlebox in front of the server at `url`, and the middlebox's own URL."""
    box = Middlebox(int(url.rpartition(":")[2]), **fields)  # type: ignore[arg-type]  # its own fields
    async with trio.open_nursery() as nursery:
        await nursery.start(box.listen)
        yield box, f"http://127.0.0.1:{box.front}"
        nursery.cancel_scope.cancel()
