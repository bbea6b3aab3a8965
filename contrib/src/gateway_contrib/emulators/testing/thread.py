"""Runs an emulator on trio in a thread of its own, for tests of any kind but pytest-trio's.

The emulator's time runs like real time, and `advance` moves it on further.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.testing.emulated import Emulated
from gateway_contrib.emulators.testing.held import Held
from gateway_contrib.emulators.testing.in_memory import bridged
from gateway_contrib.emulators.wire import ASGIApp

LONGEST = 30.0
"""Seconds after which a thread that does not answer is given up."""

LEAST_STEP = 1e-6
"""Seconds by which `advance` moves time if something is due at once."""

IDLE = 1e9
"""Seconds that a connection may idle: `advance` must not end connections that a client keeps."""

T = TypeVar("T")


class _Thread:
    """An emulator's loop in its thread, and the calls from the test's thread into it."""

    def __init__(self, channel: str) -> None:
        self.app: ASGIApp = bridged(self._answer, self._begin)
        self._clock = MockClock(rate=1.0)
        self._ahead = 0.0
        self.held = Held(channel, wall_clock=self._wall)
        self._opened: Future[None] = Future()
        # A daemon: an interpreter that is ended in the middle of a test does not wait for it.
        self._thread = threading.Thread(target=self._run, name=f"emulated-{channel}", daemon=True)
        self._thread.start()
        self._opened.result(LONGEST)

    def ask(self, function: Callable[[], T]) -> T:
        """Call a function in the emulator's loop, and wait for what it returns."""
        answer: Future[T] = Future()
        self._soon(partial(_answered, answer, function))
        return answer.result(LONGEST)

    def advance(self, seconds: float) -> None:
        """Move the emulator's time on by so many seconds, and let it do what becomes due."""
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds: {seconds!r} is not a number of seconds, 0 or more")
        done, _ = self._begin(partial(self._live, seconds))
        done.result(LONGEST)

    def close(self) -> None:
        """End the emulator, its server and its thread."""
        self._soon(self._nursery.cancel_scope.cancel)
        self._thread.join(LONGEST)
        if self._thread.is_alive():
            raise RuntimeError(f"the emulator has not ended after {LONGEST:g} s")

    def _run(self) -> None:
        try:
            trio.run(self._main, clock=self._clock)
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            url = await self._nursery.start(partial(serve, self.held.app, keep_alive=IDLE))
            self.held.locate(url)
            self._opened.set_result(None)

    async def _answer(self, *asked: object) -> None:
        await self.held.app(*asked)  # type: ignore[arg-type] # as any ASGI application is called

    def _begin(
        self, work: Callable[[], Awaitable[None]]
    ) -> tuple[Future[None], Callable[[], None]]:
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # a caller that stops waiting cannot cancel it
        scope = trio.CancelScope()
        self._soon(lambda: self._nursery.start_soon(_performed, done, scope, work))
        return done, lambda: self._soon(scope.cancel)

    def _soon(self, function: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            raise RuntimeError("the emulator ended with its test") from None

    def _wall(self) -> float:
        # Clients compare Discord's times with their own clock.
        return time.time() + self._ahead

    async def _live(self, seconds: float) -> None:
        end = trio.current_time() + seconds
        await wait_all_tasks_blocked()
        while (left := end - trio.current_time()) > 0:
            due = trio.lowlevel.current_statistics().seconds_to_next_deadline
            step = min(left, max(due, LEAST_STEP))
            self._clock.jump(step)
            self._ahead += step
            await wait_all_tasks_blocked()


def _answered(answer: Future[T], function: Callable[[], T]) -> None:
    try:
        answer.set_result(function())
    except BaseException as error:  # noqa: BLE001 - it is the asker's
        answer.set_exception(error)


async def _performed(
    done: Future[None], scope: trio.CancelScope, work: Callable[[], Awaitable[None]]
) -> None:
    try:
        with scope:
            await work()
    except Exception as error:  # noqa: BLE001 - likewise
        done.set_exception(error)
    except BaseException:
        done.set_exception(RuntimeError("the emulator has ended"))
        raise
    else:
        done.set_result(None)


@contextmanager
def open_thread(channel: str) -> Iterator[Emulated]:
    """Serve the platform from a thread, until the block ends."""
    thread = _Thread(channel)
    try:
        yield Emulated(thread, thread.held)
    finally:
        thread.close()
