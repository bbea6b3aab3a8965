"""Sends with python-telegram-bot and its AIORateLimiter, as its documentation shows it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from telegram.ext import AIORateLimiter, ExtBot
from telegram.request import HTTPXRequest

from bench.peers.asking import Sender, run


@asynccontextmanager
async def opened(job: dict[str, Any]) -> AsyncIterator[Sender]:
    # With the default pool a burst of 600 raises PoolTimeout; this pool is larger and waits longer.
    request = HTTPXRequest(connection_pool_size=256, pool_timeout=60.0)
    limiter = AIORateLimiter(max_retries=5)
    bot = ExtBot(job["token"], f"{job['url']}/bot", request=request, rate_limiter=limiter)
    async with bot:

        async def send(room: str, text: str) -> object:
            return await bot.send_message(int(room), text)

        yield send


if __name__ == "__main__":
    run(opened)
