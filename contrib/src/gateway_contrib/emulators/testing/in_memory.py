"""Serves an emulator in memory to any loop; a request that is cut ends in an error."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the loop of the test that asks
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

import trio

from gateway_contrib.emulators.wire import RESET, ASGIApp, Event, Receive, Scope, Send

CUT = "the emulator cut the connection"
HTTP_ALONE = (
    "in memory the emulator serves only HTTP: for a {type}, connect to the emulator's `url`"
)

Begin = Callable[[Callable[[], Awaitable[None]]], tuple["Future[None]", Callable[[], None]]]
"""Begins work in the emulator's loop; returns the work's future, and a function to cancel it."""


def cuttable(app: ASGIApp) -> ASGIApp:
    """Wrap the application: a cut raises ConnectionResetError, unless the server itself can cut."""

    async def cutting(scope: Scope, receive: Receive, send: Send) -> None:
        extensions = scope.setdefault("extensions", {})
        if RESET in extensions:
            await app(scope, receive, send)
            return
        with trio.CancelScope() as connection:
            extensions[RESET] = connection.cancel
            await app(scope, receive, send)
        if connection.cancelled_caught:
            raise ConnectionResetError(CUT)

    return cutting


def bridged(app: ASGIApp, begin: Begin) -> ASGIApp:
    """Wrap an application of another loop for the caller's loop; bodies are passed as a whole."""

    async def crossing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(HTTP_ALONE.format(type=scope["type"]))
        asked = [{"type": "http.request", "body": await _body(receive), "more_body": False}]
        said: list[Event] = []

        async def asking() -> Event:
            if not asked:
                await trio.sleep_forever()  # the client is there until it has its answer
            return asked.pop()

        async def saying(event: Event) -> None:
            said.append(event)

        done, cancel = begin(lambda: cuttable(app)(dict(scope), asking, saying))
        try:
            await _ended(done)
        except BaseException:
            cancel()
            raise
        for event in said:
            await send(event)

    return crossing


async def _body(receive: Receive) -> bytes:
    pieces, more = [], True
    while more:
        event = await receive()
        pieces.append(event.get("body", b""))
        more = event.get("more_body", False)
    return b"".join(pieces)


async def _ended(done: Future[None]) -> None:
    """Wait in the caller's loop until the work in another thread has ended."""
    if not trio.lowlevel.in_trio_run():
        await asyncio.wrap_future(done)
        return
    ended, token = trio.Event(), trio.lowlevel.current_trio_token()
    done.add_done_callback(lambda _: token.run_sync_soon(ended.set))
    await ended.wait()
    done.result()
