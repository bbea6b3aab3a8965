"""Serves Discord's gateway: the WebSocket by which Discord sends a bot what people do.

Source: discord.com/developers/docs/events/gateway. After the gateway's HELLO, a bot identifies, and
then receives MESSAGE_CREATE and INTERACTION_CREATE. Every message reaches every bot; an interaction
reaches only the bot of its application. Not modelled: intents, shards, guilds' members, resuming (a
new session begins instead), and compression other than `zlib-stream`.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from typing import Any

import attrs
import trio
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway_contrib.emulators.discord.incoming.people import People
from gateway_contrib.emulators.discord.world import Bot, World
from gateway_contrib.emulators.reading import json_in

HEARTBEAT_MS = 41_250
AUTHENTICATION_FAILED = 4004
DECODE_ERROR = 4002

_GONE = (WebSocketDisconnect, RuntimeError)
"""The errors if the bot closed the connection, before or after something is sent to it."""

_DISPATCH, _HEARTBEAT, _IDENTIFY, _RESUME = 0, 1, 2, 6
_INVALID_SESSION, _HELLO, _HEARTBEAT_ACK = 9, 10, 11


@attrs.define(eq=False)
class Gateway:
    """Serves the connections of all bots; `known` says whether a token is valid."""

    _world: World
    _people: People
    _known: Callable[[str], bool]
    _begun: int = 0

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection until it ends."""
        await socket.accept()
        session = _Session(socket, compressed=socket.query_params.get("compress") == "zlib-stream")
        async with trio.open_nursery() as nursery:
            try:
                await session.send({"op": _HELLO, "d": {"heartbeat_interval": HEARTBEAT_MS}})
                await self._listen(session, nursery)
            except _GONE:
                pass
            except (ValueError, KeyError):
                await socket.close(DECODE_ERROR)
            nursery.cancel_scope.cancel()

    async def _listen(self, session: _Session, nursery: trio.Nursery) -> None:
        """Answer the bot's messages until the bot is refused or gone."""
        while True:
            message = await session.receive()
            if message["op"] == _IDENTIFY:
                if not await self._identify(session, message["d"], nursery):
                    break
            elif message["op"] == _RESUME:
                await session.send({"op": _INVALID_SESSION, "d": False})
            elif message["op"] == _HEARTBEAT:
                await session.send({"op": _HEARTBEAT_ACK})

    async def _identify(
        self, session: _Session, data: dict[str, Any], nursery: trio.Nursery
    ) -> bool:
        token = str(data["token"]).removeprefix("Bot ")
        if not self._known(token):
            await session.socket.close(AUTHENTICATION_FAILED)
            return False
        bot = self._world.bot(token)
        self._begun += 1
        await nursery.start(self._tell, session, bot)
        return True

    async def _tell(
        self, session: _Session, bot: Bot, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Send READY, then every event that is for the bot, in order."""
        heard, events = trio.open_memory_channel[dict[str, Any]](math.inf)
        self._people.listeners.append(heard.send_nowait)
        try:
            await session.dispatch("READY", self._ready(session, bot))
            task_status.started()
            async for event in events:
                if event["d"].get("application_id", bot.id) == bot.id:
                    await session.dispatch(event["t"], event["d"])
        except _GONE:
            pass
        finally:
            self._people.listeners.remove(heard.send_nowait)

    def _ready(self, session: _Session, bot: Bot) -> dict[str, Any]:
        return {
            "v": 10,
            "user": {**bot.wire(), "verified": True, "mfa_enabled": False, "flags": 0},
            "guilds": [],
            "session_id": f"session-{self._begun}",
            "resume_gateway_url": str(session.socket.url.replace(query="")),
            "shard": [0, 1],
            "application": {"id": bot.id, "flags": 0},
        }


class _Session:
    """One connection's messages, with events numbered, and compressed if the bot asked for it."""

    def __init__(self, socket: WebSocket, *, compressed: bool) -> None:
        self.socket = socket
        self._zlib = zlib.compressobj() if compressed else None
        self._number = 0
        self._sending = trio.Lock()

    async def dispatch(self, name: str, data: dict[str, Any]) -> None:
        """Send an event under this session's next number."""
        self._number += 1
        await self.send({"op": _DISPATCH, "t": name, "s": self._number, "d": data})

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message at a time, since the compressed stream must keep its order."""
        text = json.dumps(message)
        async with self._sending:
            if self._zlib is None:
                await self.socket.send_text(text)
                return
            packed = self._zlib.compress(text.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
            await self.socket.send_bytes(packed)

    async def receive(self) -> dict[str, Any]:
        """The next message. Raises ValueError or KeyError if something else came."""
        message = json_in(await self.socket.receive_text())
        if not isinstance(message, dict):
            raise ValueError("no object")  # noqa: TRY004 - for the caller as much none as no JSON
        return message
