"""Sends with hikari's REST client, which learns buckets and retries by itself.

The client sends a message before the measurement. Until a first answer names the bucket of a route,
hikari queues the requests of all rooms in one queue, and later serves them at one room's pace.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import hikari

from bench.peers.asking import Sender, run

ELSEWHERE = 2_000_000_000_000_000_000
"""A room that is not in the workload."""


@asynccontextmanager
async def opened(job: dict[str, Any]) -> AsyncIterator[Sender]:
    app = hikari.RESTApp(url=f"{job['url']}/api/v10")
    await app.start()
    async with app.acquire(job["token"], hikari.TokenType.BOT) as client:
        await client.create_message(ELSEWHERE, "Hello")

        async def send(room: str, text: str) -> object:
            return await client.create_message(int(room), text)

        yield send
    await app.close()


if __name__ == "__main__":
    run(opened)
