"""Asks an instance source in the application's asyncio loop, and waits for that loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError, Future
from inspect import isawaitable
from typing import Any

import trio

from gateway_core.contract.instances import Instance


class InLoop:
    """An async source for trio, made from the application's function for its asyncio loop.

    loop  the loop in which the function is called; set when the gateway opens
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, source: Any) -> None:
        if not callable(source):
            raise TypeError(f"`instance_source` must be a function, not {type(source).__name__}")
        self._source = source

    async def __call__(self, instance_id: str) -> Instance | None:
        """The account. Raises what the function raises; a cancellation here cancels it there."""
        token, answered = trio.lowlevel.current_trio_token(), trio.Event()

        def wake(_: Future[Any]) -> None:
            try:
                token.run_sync_soon(answered.set)
            except trio.RunFinishedError:  # nobody waits any more
                return

        future = asyncio.run_coroutine_threadsafe(self._answer(instance_id), self.loop)
        future.add_done_callback(wake)
        try:
            await answered.wait()
        except trio.Cancelled:
            future.cancel()
            raise
        try:
            found: Instance | None = future.result()
        except CancelledError as error:
            raise RuntimeError("it was cancelled in its event loop") from error
        return found

    async def _answer(self, instance_id: str) -> Any:
        found = self._source(instance_id)
        return await found if isawaitable(found) else found
