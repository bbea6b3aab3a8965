"""The emulated Discord's gateway: its handshake, its events, and how it ends."""

import json
import zlib
from contextlib import asynccontextmanager

import pytest
import trio
from starlette.datastructures import URL

from gateway_contrib.emulators.discord import DiscordEmulator

ROOM = "1100000000000000001"
IDENTIFY = {"op": 2, "d": {"token": "a.b.c", "intents": 0, "properties": {}}}


class Socket:
    """The bot's end of a connection, without a network."""

    def __init__(self):
        self.sent, self.inbox = trio.open_memory_channel(100)
        self.outbox, self.received = trio.open_memory_channel(100)
        self.inflate = zlib.decompressobj()

    async def say(self, message):
        text = message if isinstance(message, str) else json.dumps(message)
        await self.sent.send({"type": "websocket.receive", "text": text, "bytes": None})

    async def event(self):
        with trio.fail_after(5):
            return await self.received.receive()

    async def hear(self):
        event = await self.event()
        assert "websocket.send" == event["type"], event
        packed = event.get("bytes")
        return json.loads(self.inflate.decompress(packed) if packed else event["text"])


@asynccontextmanager
async def connected(emulator, query=b""):
    """A connection that was accepted and greeted."""
    socket = Socket()
    scope = {
        "type": "websocket",
        "path": "/gateway",
        "query_string": query,
        "headers": [(b"host", b"discord.example")],
        "scheme": "ws",
        "subprotocols": [],
    }
    async with trio.open_nursery() as nursery:
        await socket.sent.send({"type": "websocket.connect"})
        nursery.start_soon(emulator.app, scope, socket.inbox.receive, socket.outbox.send)
        assert "websocket.accept" == (await socket.event())["type"]
        assert {"op": 10, "d": {"heartbeat_interval": 41_250}} == await socket.hear()
        yield socket
        await socket.sent.send({"type": "websocket.disconnect", "code": 1000})


async def ready(socket):
    await socket.say(IDENTIFY)
    message = await socket.hear()
    assert ("READY", 1) == (message["t"], message["s"])
    return message["d"]


@pytest.mark.parametrize("query", [b"", b"v=10&encoding=json&compress=zlib-stream"])
async def test_a_bot_identifies_and_hears_what_people_do(query, autojump_clock):
    emulator = DiscordEmulator()
    async with connected(emulator, query) as socket:
        told = await ready(socket)
        assert ("bot-1", "/gateway", "") == (
            told["user"]["username"],
            URL(told["resume_gateway_url"]).path,
            URL(told["resume_gateway_url"]).query,
        )
        event = emulator.people.say(ROOM, "hello")
        assert {**event, "s": 2} == await socket.hear()
        entry = emulator.people.command(ROOM, "ask")
        assert {**entry.event, "s": 3} == await socket.hear()
    assert [] == emulator.people.listeners


async def test_an_interaction_is_its_application_s(autojump_clock):
    emulator = DiscordEmulator()
    async with connected(emulator) as socket:
        await ready(socket)
        emulator.people.command(ROOM, "ask", application="7")
        emulator.people.say(ROOM, "hello")
        assert "MESSAGE_CREATE" == (await socket.hear())["t"]


async def test_a_heartbeat_is_acknowledged_and_nothing_is_resumed(autojump_clock):
    async with connected(DiscordEmulator()) as socket:
        await socket.say({"op": 1, "d": None})
        assert {"op": 11} == await socket.hear()
        await socket.say({"op": 6, "d": {"token": "a.b.c", "session_id": "x", "seq": 1}})
        assert {"op": 9, "d": False} == await socket.hear()
        await socket.say({"op": 3, "d": {}})
        await ready(socket)


async def test_a_token_that_is_not_good_closes_with_4004(autojump_clock):
    emulator = DiscordEmulator()
    emulator.revoke("a.b.c")
    async with connected(emulator) as socket:
        await socket.say(IDENTIFY)
        event = await socket.event()
        assert ("websocket.close", 4004) == (event["type"], event["code"])


@pytest.mark.parametrize("message", ["{", "[]", {"d": 1}])
async def test_what_is_no_message_closes_with_4002(message, autojump_clock):
    async with connected(DiscordEmulator()) as socket:
        await socket.say(message)
        event = await socket.event()
        assert ("websocket.close", 4002) == (event["type"], event["code"])


async def test_where_the_gateway_is_can_be_said(autojump_clock):
    emulator = DiscordEmulator()
    assert "wss://127.0.0.1/none" == emulator.gateway_url
    emulator.gateway_url = "ws://127.0.0.1:8083/gateway"
    assert "ws://127.0.0.1:8083/gateway" == emulator.gateway_url
