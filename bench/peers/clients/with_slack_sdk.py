"""Sends with slack_sdk's async client and its own retry handlers, ten tries at a limit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
    AsyncServerErrorRetryHandler,
)
from slack_sdk.web.async_client import AsyncWebClient

from bench.peers.asking import Sender, run


@asynccontextmanager
async def opened(job: dict[str, Any]) -> AsyncIterator[Sender]:
    handlers = [
        AsyncRateLimitErrorRetryHandler(max_retry_count=10),
        AsyncConnectionErrorRetryHandler(),
        AsyncServerErrorRetryHandler(),
    ]
    # One session for all messages; otherwise the client opens a connection for each message.
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(
            job["token"], base_url=f"{job['url']}/api/", session=session, retry_handlers=handlers
        )

        async def send(room: str, text: str) -> object:
            return await client.chat_postMessage(channel=room, text=text)

        yield send


if __name__ == "__main__":
    run(opened)
