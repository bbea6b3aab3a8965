"""Whole programs of aiogram, python-telegram-bot and discord.py that send through the gateway.

Each is a process of its own with the framework's own loop, hooks and signals, beside the emulated
platform; it is ended as people and service managers do, and nothing that was accepted is lost.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import trio
from amounts import amount
from signalled import has_heard
from starlette.responses import JSONResponse

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.telegram import TelegramEmulator

TOKENS = {
    "telegram": "123456789:AAbbCCddEEffGGhh-iiJJkkLLmm_nnOOpp",
    "discord": "MTEwMDAwMDAwMDAwMDAwMDAwMQ.GAbCdE.abcdefghijklmnopqrstuvwxyz0123456789AB",
}
MESSAGES = 8
BOUND = 60
TOML = """
drain_timeout = 20
[instances.bot]
channel = "{channel}"
token = "{token}"
base_url = "{base_url}"
"""
STARTS = """
import asyncio, sys
from contextlib import AsyncExitStack
from pathlib import Path
from gateway_core.aio import open_gateway

BASE, TOKEN = sys.argv[1:]
opened = AsyncExitStack()

async def starts(*_):
    gateway = await opened.enter_async_context(open_gateway("gateway.toml"))
    with Path("accepted").open("w") as accepted:
        for n in range(8):
            await gateway.enqueue("bot", str(1100000000000000001 + n), f"message {n}")
            print(f"message {n}", file=accepted, flush=True)
    print("ready", flush=True)

async def ends(*_):
    await opened.aclose()
"""
AIOGRAM = """
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

async def main():
    bot = Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(BASE)))
    dispatcher = Dispatcher()
    dispatcher.startup.register(starts)
    dispatcher.shutdown.register(ends)
    await dispatcher.start_polling(bot)

asyncio.run(main())
"""
PYTHON_TELEGRAM_BOT = """
from telegram.ext import ApplicationBuilder

builder = ApplicationBuilder().token(TOKEN).base_url(f"{BASE}/bot")
builder.post_init(starts).post_shutdown(ends).build().run_polling()
"""
DISCORD_PY = """
import signal
import discord

discord.http.Route.BASE = f"{BASE}/api/v10"

class Bot(discord.Client):
    async def setup_hook(self):
        await starts()

    async def close(self):
        await ends()
        await super().close()

async def main():
    async with Bot(intents=discord.Intents.none()) as bot:
        task = asyncio.current_task()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await bot.login(TOKEN)
        await asyncio.sleep(1e6)  # its connection for events

asyncio.run(main())
"""
PROGRAMS = {
    "aiogram": ("telegram", AIOGRAM),
    "python-telegram-bot": ("telegram", PYTHON_TELEGRAM_BOT),
    "discord.py": ("discord", DISCORD_PY),
}


def with_updates(app):
    """What asks for updates is answered that there are none."""

    async def serving(scope, receive, send):
        method = scope.get("path", "").rpartition("/")[2].lower()
        if method == "getupdates":
            await trio.sleep(0.2)
            await JSONResponse({"ok": True, "result": []})(scope, receive, send)
        elif method == "deletewebhook":
            await JSONResponse({"ok": True, "result": True})(scope, receive, send)
        else:
            await app(scope, receive, send)

    return serving


def environment():
    here = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{here}:{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"}


async def until_ready(process):
    said = b""
    while b"ready\n" not in said:
        more = await process.stdout.receive_some()
        assert more, said
        said += more


async def read(process, said):
    async for more in process.stdout:
        said.append(more)


SOME = [
    ("aiogram", signal.SIGTERM, 1),
    ("python-telegram-bot", signal.SIGINT, 1),
    ("discord.py", signal.SIGINT, 2),
]
"""By a short run: each library and each end; then all else that there is."""
ENDS = [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGINT, 2)]
ALL = [(name, *end) for name in PROGRAMS for end in ENDS]
WAYS = [*SOME, *(way for way in ALL if way not in SOME)][: amount("ends of a whole program")]


@pytest.mark.parametrize(("name", "ending", "times"), WAYS)
async def test_a_program_that_is_ended_has_sent_what_was_accepted(
    nursery, tmp_path, name, ending, times
):
    channel, code = PROGRAMS[name]
    token = TOKENS[channel]
    emulator = {"telegram": TelegramEmulator, "discord": DiscordEmulator}[channel](tokens={token})
    base = await nursery.start(serve, with_updates(emulator.app))
    url = base if channel == "telegram" else f"{base}/api/v10"
    (tmp_path / "gateway.toml").write_text(TOML.format(channel=channel, token=token, base_url=url))
    (tmp_path / "program.py").write_text(STARTS + code)
    said: list[bytes] = []
    with trio.fail_after(BOUND):
        process = await trio.lowlevel.open_process(
            [sys.executable, "program.py", base, token],
            cwd=tmp_path,
            env=environment(),
            stdout=-1,
            stderr=-2,
        )
        try:
            await until_ready(process)
            nursery.start_soon(read, process, said)
            for _ in range(times):
                process.send_signal(ending)
                await trio.sleep(0.1)
                while not has_heard(process.pid):  # noqa: ASYNC110 - another process
                    await trio.sleep(0.01)
            await process.wait()
        finally:
            process.kill()
    await trio.sleep(0.05)
    nursery.cancel_scope.cancel()
    words = b"".join(said).decode()
    assert "Event loop is closed" not in words, words
    accepted = (tmp_path / "accepted").read_text().splitlines()
    assert MESSAGES == len(accepted)
    rooms = [str(1100000000000000001 + n) for n in range(MESSAGES)]
    sent = [message.text for room in rooms for message in emulator.rooms.conversation(room)]
    assert sorted(accepted) == sorted(sent), words
