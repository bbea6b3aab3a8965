"""Makes an emulator misbehave on the wire: cut connections, silence, latency."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from random import Random
from typing import Any, NoReturn, TypeAlias

import trio
from starlette.requests import Request

RESET = "gateway.reset"
"""The ASGI extension: `scope["extensions"][RESET]()` cuts the connection and ends the task."""

SILENCE = 3600.0
"""Seconds that `silence` lasts."""

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


async def reset(request: Request) -> NoReturn:
    """Cut the request's connection without an answer. Never returns: the request's task ends.

    Works if the server offers the extension `gateway.reset`: under `serve` and in the
    in-memory network. Raises RuntimeError under any other server.
    """
    cut = request.scope.get("extensions", {}).get(RESET)
    if cut is None:
        raise RuntimeError("this server cannot cut a connection: it lacks 'gateway.reset'")
    cut()
    await trio.sleep_forever()
    raise AssertionError  # pragma: no cover - the cut cancels the sleep


async def reset_midway(request: Request, share: float) -> NoReturn:
    """Cut the request's connection when this share of its body (0 to 1) has arrived."""
    awaited = share * int(request.headers.get("content-length") or 0)
    size = 0
    async with aclosing(request.stream()) as stream:
        async for piece in stream:
            size += len(piece)
            if size >= awaited:
                break
    await reset(request)


async def silence(request: Request | None = None) -> NoReturn:
    """Give no answer for an hour; then cut the request's connection, if it is given."""
    await trio.sleep(SILENCE)
    if request is not None:
        await reset(request)
    await trio.sleep_forever()
    raise AssertionError  # pragma: no cover - nothing but a cancellation ends the sleep


class Latency:
    """Draws round trips between `low` and `high` seconds; calling it with an app wraps the app.

    Half of a round trip passes before the application sees the request, half before the client
    sees the answer. `Network.mount(latency=…)` takes the bound method `halves`, too.
    """

    def __init__(self, low: float, high: float, seed: str) -> None:
        self.low = low
        self.high = high
        self._random = Random(f"latency:{seed}")  # noqa: S311 - a plan to repeat, not a secret

    def halves(self) -> tuple[float, float]:
        """The seconds that the next request needs on the way there, and on the way back."""
        half = self._random.uniform(self.low, self.high) / 2
        return half, half

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """The application with this latency; all applications share one sequence of draws."""

        async def distant(scope: Scope, receive: Receive, send: Send) -> None:
            there, back = self.halves()

            async def delayed(event: Event) -> None:
                if event["type"] == "http.response.start":
                    await trio.sleep(back)
                await send(event)

            await trio.sleep(there)
            await app(scope, receive, delayed)

        return distant
