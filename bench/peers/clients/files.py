# ruff: noqa: PLC0415 - each process imports the one library that it measures.
"""Sends files with a client that people use today: `python -m bench.peers.clients.files LIBRARY`.

The job on standard input has the platform's address, and for each room the paths of the files to
send there, one after the other. The program prints seconds of CPU and the process's peak memory. It
uses only the standard library and one client.
"""

import asyncio  # noqa: TID251 - the peers' loop
import json
import logging
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from bench.peers.measuring import Meter

Sends = Callable[[str, str], Awaitable[object]]


@asynccontextmanager
async def python_telegram_bot(job: dict[str, Any]) -> AsyncIterator[Sends]:
    from telegram import Bot
    from telegram.request import HTTPXRequest

    request = HTTPXRequest(connection_pool_size=64, pool_timeout=60.0)
    async with Bot(job["token"], f"{job['url']}/bot", request=request) as bot:

        async def send(room: str, path: str) -> object:
            with open(path, "rb") as file:  # noqa: PTH123, ASYNC230 - as its documentation does it
                return await bot.send_document(int(room), file, caption="A report")

        yield send


@asynccontextmanager
async def aiogram(job: dict[str, Any]) -> AsyncIterator[Sends]:
    from aiogram import Bot
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer
    from aiogram.types import FSInputFile

    session = AiohttpSession(api=TelegramAPIServer.from_base(job["url"]))
    async with Bot(job["token"], session=session) as bot:

        async def send(room: str, path: str) -> object:
            return await bot.send_document(int(room), FSInputFile(path), caption="A report")

        yield send


@asynccontextmanager
async def slack_sdk(job: dict[str, Any]) -> AsyncIterator[Sends]:
    import aiohttp
    from slack_sdk.web.async_client import AsyncWebClient

    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(job["token"], base_url=f"{job['url']}/api/", session=session)

        async def send(room: str, path: str) -> object:
            return await client.files_upload_v2(
                channel=room, file=path, filename="report.bin", initial_comment="A report"
            )

        yield send


@asynccontextmanager
async def discord_py(job: dict[str, Any]) -> AsyncIterator[Sends]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import discord

    discord.http.Route.BASE = f"{job['url']}/api/v10"
    async with discord.Client(intents=discord.Intents.none()) as client:
        await client.login(job["token"])

        async def send(room: str, path: str) -> object:
            file = discord.File(path)
            return await client.get_partial_messageable(int(room)).send("A report", file=file)

        yield send


LIBRARIES = {
    "python-telegram-bot": python_telegram_bot,
    "aiogram": aiogram,
    "slack_sdk": slack_sdk,
    "discord.py": discord_py,
}


async def measured(job: dict[str, Any]) -> dict[str, float]:
    """Send the files; the first file of each room is sent before the measurement begins."""
    async with LIBRARIES[job["library"]](job) as send:

        async def one_by_one(room: str, paths: list[str]) -> None:
            for path in paths:
                await send(room, path)

        rooms = job["rooms"].items()
        await asyncio.gather(*(one_by_one(room, paths[:1]) for room, paths in rooms))
        meter = Meter()
        await asyncio.gather(*(one_by_one(room, paths[1:]) for room, paths in rooms))
        return meter.report()


if __name__ == "__main__":
    logging.disable(logging.INFO)
    print(json.dumps(asyncio.run(measured(json.load(sys.stdin)))), flush=True)
