"""Sends with aiogram, in the retry loop that its users write around a send."""

import asyncio  # noqa: TID251 - the peer's loop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramNetworkError, TelegramRetryAfter, TelegramServerError

from bench.peers.asking import Sender, run

TRIES = 5
"""How often a request is tried, a second apart, if it fails for another reason than a limit."""


@asynccontextmanager
async def opened(job: dict[str, Any]) -> AsyncIterator[Sender]:
    session = AiohttpSession(api=TelegramAPIServer.from_base(job["url"]))
    async with Bot(job["token"], session=session) as bot:

        async def send(room: str, text: str) -> object:
            failures = 0
            while True:
                try:
                    return await bot.send_message(int(room), text)
                except TelegramRetryAfter as error:
                    await asyncio.sleep(error.retry_after)
                except (TelegramNetworkError, TelegramServerError):
                    failures += 1
                    if failures == TRIES:
                        raise
                    await asyncio.sleep(1.0)

        yield send


if __name__ == "__main__":
    run(opened)
