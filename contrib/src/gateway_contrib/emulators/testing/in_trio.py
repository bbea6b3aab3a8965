"""Serves an emulator in the test's own loop, for tests under pytest-trio; both share a clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.testing.emulated import Emulated
from gateway_contrib.emulators.testing.held import Held
from gateway_contrib.emulators.testing.in_memory import cuttable
from gateway_contrib.emulators.wire import ASGIApp

T = TypeVar("T")


class _Here:
    """The loop that the test runs in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def ask(self, function: Callable[[], T]) -> T:
        return function()

    def advance(self, seconds: float) -> None:
        raise RuntimeError(
            f"under pytest-trio the emulator follows the test's clock: sleep {seconds:g} s with"
            " `autojump_clock` instead"
        )


@asynccontextmanager
async def open_in_trio(channel: str) -> AsyncIterator[Emulated]:
    """Serve the platform in this loop, until the block ends."""
    held = Held(channel)
    async with trio.open_nursery() as nursery:
        held.locate(await nursery.start(serve, held.app))
        yield Emulated(_Here(cuttable(held.app)), held)
        nursery.cancel_scope.cancel()
