"""Whoever calls from another event loop is told so, and nothing has happened."""

from __future__ import annotations

import asyncio  # noqa: TID251 - another event loop

import pytest
import trio

from gateway_core import Send
from gateway_core.testing import open_test_gateway

MESSAGE = Send(instance_id="bot", external_room_id="room", text="x")


async def first_of(endings):
    async for ended in endings:
        return ended
    return None


CALLS = {
    "send": lambda gateway: gateway.send("bot", "room", "x"),
    "enqueue": lambda gateway: gateway.enqueue("bot", "room", "x"),
    "submit": lambda gateway: gateway.submit(MESSAGE),
    "status": lambda gateway: gateway.status("0" * 30),
    "cancel": lambda gateway: gateway.cancel("0" * 30),
    "drain": lambda gateway: gateway.drain(),
    "remove_instance": lambda gateway: gateway.remove_instance("bot"),
    "reload": lambda gateway: gateway.reload(gateway.config),
    "probe": lambda gateway: gateway.probe("bot"),
    "endings": lambda gateway: first_of(gateway.endings()),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("loop", ["trio", "asyncio"])
async def test_from_another_loop_nothing_is_asked(name, loop):
    async def call(gateway):
        await CALLS[name](gateway)

    def elsewhere():
        if loop == "trio":
            trio.run(call, gateway)
        else:
            asyncio.run(call(gateway))

    async with open_test_gateway() as gateway:
        with trio.fail_after(30), pytest.raises(RuntimeError, match="in another event loop"):
            await trio.to_thread.run_sync(elsewhere)
        assert (await gateway.send("bot", "room", "still")).delivered


@pytest.mark.parametrize("name", ["suspend", "resume"])
async def test_nor_from_a_thread_without_one(name):
    async with open_test_gateway() as gateway:
        with pytest.raises(RuntimeError, match="in another event loop"):
            await trio.to_thread.run_sync(getattr(gateway, name), "bot")
        token = trio.lowlevel.current_trio_token()
        await trio.to_thread.run_sync(
            lambda: trio.from_thread.run_sync(getattr(gateway, name), "bot", trio_token=token)
        )
