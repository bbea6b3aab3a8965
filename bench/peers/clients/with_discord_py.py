"""Sends with discord.py's REST client, which learns buckets and retries by itself."""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bench.peers.asking import Sender, run

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord


@asynccontextmanager
async def opened(job: dict[str, Any]) -> AsyncIterator[Sender]:
    discord.http.Route.BASE = f"{job['url']}/api/v10"
    async with discord.Client(intents=discord.Intents.none()) as client:
        await client.login(job["token"])

        async def send(room: str, text: str) -> object:
            return await client.get_partial_messageable(int(room)).send(text)

        yield send


if __name__ == "__main__":
    run(opened)
