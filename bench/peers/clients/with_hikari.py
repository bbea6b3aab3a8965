"""hikari's REST side: it learns buckets and retries by itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import hikari

from bench.peers.asking import Sender, run


@asynccontextmanager
async def opened(job: dict[str, Any]) -> AsyncIterator[Sender]:
    app = hikari.RESTApp(url=f"{job['url']}/api/v10")
    await app.start()
    async with app.acquire(job["token"], hikari.TokenType.BOT) as client:

        async def send(room: str, text: str) -> object:
            return await client.create_message(int(room), text)

        yield send
    await app.close()


if __name__ == "__main__":
    run(opened)
