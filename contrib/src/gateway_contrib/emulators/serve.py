"""Serves an emulator on a socket, for people and other programs: hypercorn's protocol on trio.

The accept loop is ours and not hypercorn's. So each connection's application gets a function that
cuts this connection, and a cancelled `serve` ends at once.
"""

from __future__ import annotations

import logging
import socket
import struct
from contextlib import suppress
from typing import cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState
from starlette.requests import ClientDisconnect

from gateway_contrib.emulators.wire import RESET, ASGIApp, Receive, Scope, Send

_LINGER_NOT = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds: closing sends a reset.
KEEP_ALIVE = 75.0
"""Seconds that a connection may idle: longer than clients allow, so that clients close first."""

_log = logging.getLogger("gateway_contrib.emulators")


def _config(keep_alive: float) -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = _log
    config.keep_alive_timeout = keep_alive
    config.keep_alive_max_requests = 1_000_000
    return config


class _Server:
    """Every open connection of one served application."""

    def __init__(self, app: ASGIApp, keep_alive: float) -> None:
        self._app = app
        self._config = _config(keep_alive)
        self._context = WorkerContext(None)
        self._open: dict[int, trio.SocketStream] = {}

    async def connection(self, stream: trio.SocketStream) -> None:
        """Serve one connection until it ends, is cut, or the server is cancelled."""
        scope = trio.CancelScope()
        app = ASGIWrapper(cast(ASGIFramework, _with_reset(self._app, stream, scope)))
        state = ConnectionState(LifespanState({}))
        self._open[id(stream)] = stream
        try:
            with scope:
                # The server takes plain streams too; its annotation names the TLS one only.
                plain = cast("trio.SSLStream[trio.SocketStream]", stream)
                await TCPServer(app, self._config, self._context, state, plain)
        except Exception:  # noqa: BLE001 - a peer's nonsense must not end the others
            _log.exception("emulator.connection_failed")
        finally:
            del self._open[id(stream)]
            stream.socket.close()

    async def close_at_the_end(self) -> None:
        # hypercorn shields its writes: only a closed socket ends one whose peer does not read.
        try:
            await trio.sleep_forever()
        finally:
            for stream in self._open.values():
                stream.socket.close()


def _with_reset(app: ASGIApp, stream: trio.SocketStream, connection: trio.CancelScope) -> ASGIApp:
    def cut() -> None:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        stream.socket.close()
        connection.cancel()

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[RESET] = cut
        with suppress(ClientDisconnect):  # a client that leaves in the middle is no error of ours
            await app(scope, receive, send)

    return wrapped


async def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    keep_alive: float = KEEP_ALIVE,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until cancelled, without output; `nursery.start` returns its base URL.

    Port 0 takes a free port; a connection may idle for `keep_alive` seconds. An application's own
    errors go to the logger `gateway_contrib.emulators`. Raises OSError if the address is not
    available.
    """
    server = _Server(app, keep_alive)
    [listener, *_] = listeners = await trio.open_tcp_listeners(port, host=host)
    address, bound, *_ = listener.socket.getsockname()
    shown = f"[{address}]" if ":" in address else address
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.close_at_the_end)
        task_status.started(f"http://{shown}:{bound}")
        await trio.serve_listeners(server.connection, listeners, handler_nursery=nursery)
