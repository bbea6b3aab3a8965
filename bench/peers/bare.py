"""Measures an HTTP library alone on a client's requests: `python -m bench.peers.bare LIBRARY`.

The job on standard input names each text, and the moment at which the client's last request for it
came in. The same requests are sent at the same moments, to a platform without limits. Their answers
are read as JSON, and nothing else is done. The pace must be the same, since a process that sleeps
for 20 ms between two requests needs more CPU per request than a busy process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from bench.peers.asking import Sender, run_timed
from bench.peers.measuring import Meter

METHODS = {
    "telegram": ("/bot{token}/sendMessage", "chat_id"),
    "slack": ("/api/chat.postMessage", "channel"),
    "discord": ("/api/v10/channels/{room}/messages", ""),
}


def _body(job: dict[str, Any], room: str, text: str) -> dict[str, str]:
    field = METHODS[job["channel"]][1]
    return {field: room, "text": text} if field else {"content": text}


def _path(job: dict[str, Any], room: str) -> str:
    return METHODS[job["channel"]][0].format(token=job["token"], room=room)


def _headers(job: dict[str, Any]) -> dict[str, str]:
    kind = {"slack": "Bearer", "discord": "Bot"}.get(job["channel"])
    agent = {"User-Agent": "DiscordBot (https://example.com, 1)"}
    return {"Authorization": f"{kind} {job['token']}", **agent} if kind else agent


@asynccontextmanager
async def through_aiohttp(job: dict[str, Any]) -> AsyncIterator[Sender]:
    import aiohttp  # noqa: PLC0415 - only this library's measure needs it

    async with aiohttp.ClientSession(headers=_headers(job)) as session:

        async def send(room: str, text: str) -> object:
            url = job["url"] + _path(job, room)
            async with session.post(url, json=_body(job, room, text)) as response:
                return await response.json()

        yield send


@asynccontextmanager
async def through_httpx(job: dict[str, Any]) -> AsyncIterator[Sender]:
    import httpx  # noqa: PLC0415 - only this library's measure needs it

    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    async with httpx.AsyncClient(headers=_headers(job), limits=limits, trust_env=False) as client:

        async def send(room: str, text: str) -> object:
            url = job["url"] + _path(job, room)
            return (await client.post(url, json=_body(job, room, text))).json()

        yield send


LIBRARIES: dict[str, Callable[[dict[str, Any]], AbstractAsyncContextManager[Sender]]] = {
    "aiohttp": through_aiohttp,
    "httpx": through_httpx,
}


def through_gateway_core(job: dict[str, Any]) -> None:
    """Measure `gateway_core.http`, which needs trio's own loop."""
    import trio  # noqa: PLC0415 - only this library's measure needs it

    from gateway_core.http import open_client  # noqa: PLC0415 - likewise

    async def all_of() -> dict[str, float]:
        async with open_client(base_url=job["url"], headers=_headers(job)) as client:
            meter, begun = Meter(), trio.current_time()

            async def send(at: float, room: str, text: str) -> None:
                await trio.sleep_until(begun + at)
                body = _body(job, room, text)
                (await client.request("POST", _path(job, room), json=body)).json()

            async with trio.open_nursery() as requests:
                for at, room, text in job["timed"]:
                    requests.start_soon(send, at, room, text)
            return meter.report()

    print(json.dumps(trio.run(all_of)), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "gateway_core.http":
        through_gateway_core(json.load(sys.stdin))
    else:
        run_timed(LIBRARIES[sys.argv[1]])
