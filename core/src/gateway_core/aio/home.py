"""Connects one asyncio loop to a gateway on its own thread, and opens and closes the gateway.

The faces of this package do everything through one of three methods:

call  await an async method of an object on the gateway's thread
ask   call a sync method there, and wait for its result
tell  call a sync method there, and do not wait
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from gateway_core.aio.presses import Presses
from gateway_core.aio.returns import Returns
from gateway_core.bridge.calls import Answer, Call
from gateway_core.bridge.exits import CUT_AT
from gateway_core.bridge.held import Held
from gateway_core.bridge.hosted import FORKED, Hosted
from gateway_core.gateway.gateway import Gateway

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
ELSEWHERE = (
    "this gateway belongs to the event loop that opened it, and another one is running here. Open"
    " one in this loop (`async with open_gateway(…)`), or bring the call to the other:"
    " asyncio.run_coroutine_threadsafe(gateway.send(…), loop)"
)
NO_LOOP = (
    "this gateway belongs to the event loop that opened it, and no event loop is running here."
    " Bring the call to that loop: asyncio.run_coroutine_threadsafe(gateway.send(…), loop), or"
    " loop.call_soon_threadsafe(stream.write, …)"
)


class Home:
    """One gateway and the loop that it belongs to.

    core    the gateway itself; only `call`, `ask` and `tell` may call its methods
    broken  called in the loop if the gateway ends before it was closed
    """

    def __init__(
        self, make: Callable[[], AbstractAsyncContextManager[Gateway]], broken: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._returns = Returns(self._loop, self._loop_closed)
        self._broken = broken
        self._closed: list[asyncio.Future[None]] = []
        self._hosted = Hosted(make, opened=self._returns.bring, ended=self._over)
        self._returns.later = self._hosted.thread.wake_later
        self._hosted.at_exit = self._process_exits
        self.core: Gateway

    # -- what faces use

    async def call(
        self, method: Callable[P, Awaitable[T]], /, *args: P.args, **fields: P.kwargs
    ) -> T:
        """Await `method` on the gateway's thread.

        If the task here is cancelled, the method is cancelled there, and its end is waited for.
        Raises the method's errors, `GatewayClosed`, and `RuntimeError` in another loop or after a
        fork.
        """
        self._check_loop()
        future = self._loop.create_future()
        call = self._hosted.call(method, args, fields, self._returns.bring, future)
        result: T = await self._answer_of(call, future)
        return result

    async def call_after_end(self, method: Callable[[], Awaitable[T]]) -> T:
        """Await `method` like `call`, also after the gateway's end: results may be left."""
        self._check_loop()
        future, bring = self._loop.create_future(), self._returns.bring
        call = self._hosted.call(method, (), {}, bring, future, outlives=True)
        result: T = await self._answer_of(call, future)
        return result

    async def _answer_of(self, call: Call, future: asyncio.Future[None]) -> Any:
        try:
            await future
        except asyncio.CancelledError:
            self._hosted.withdraw(call)
            await self._certainly(call)
            raise
        return call.result()

    def ask(self, method: Callable[P, T], /, *args: P.args, **fields: P.kwargs) -> T:
        """Call `method` on the gateway's thread and wait, usually a fraction of a millisecond."""
        self._check_loop()
        return self._hosted.ask(partial(method, *args, **fields))

    def ask_apart(
        self, here: Callable[[A], T], method: Callable[[A], Awaitable[T]], about: A, /
    ) -> T:
        """Wait for an async `method` there; on the gateway's own thread, call `here` instead."""
        self._check_loop()
        return self._hosted.ask_apart(here, method, about)

    def tell(self, failed: Callable[[Exception], None], work: Callable[[], object]) -> None:
        """Let the gateway's thread do `work`, before all later calls; does not wait.

        failed  called on that thread with the error if `work` raises
        """
        self._check_loop()
        self._hosted.tell(work, failed)

    # -- opening and closing

    async def open(self) -> Gateway:
        """Open the gateway. Raises what `open_gateway` raises."""
        opened = self._hosted.opened
        opened.waiter = self._loop.create_future()
        self._hosted.open()
        try:
            await opened.waiter
        except asyncio.CancelledError:
            await self.close()
            raise
        self.core = opened.result()
        return self.core

    async def close(self, *, interrupts: int = 0) -> None:
        """Close the gateway and wait for its drain, even if cancelled; a third Ctrl-C cuts it.

        interrupts  number of earlier Ctrl-Cs, such as the one that causes the closing

        Raises the error with which the gateway gave up; if none, a cancellation from meanwhile.
        """
        hosted, presses = self._hosted, Presses(self._loop, begun=interrupts > 0)
        hosted.interrupts = max(hosted.interrupts, interrupts)
        hosted.close()
        cancelled: asyncio.CancelledError | None = None
        while True:
            ended = self._loop.create_future()
            self._closed.append(ended)
            if hosted.ended.given:
                break
            try:
                await ended
            except asyncio.CancelledError as error:
                cancelled = error
                hosted.interrupts += presses.is_another()
                if hosted.interrupts >= CUT_AT:
                    hosted.cut()
        presses.end()
        hosted.ended.result()
        if cancelled is not None:
            raise cancelled

    async def loop_ends(self) -> None:
        """The loop ends while the gateway is open: report this, and close the gateway."""
        if not self._hosted.closing:
            self._hosted.report_left_open()
        await self.close()

    @property
    def is_over(self) -> bool:
        """Whether the gateway has ended."""
        return self._hosted.ended.given

    # -- inside

    def _check_loop(self) -> None:
        running = asyncio._get_running_loop()  # noqa: SLF001 - None and no error
        if running is not self._loop:
            elsewhere = NO_LOOP if running is None else ELSEWHERE
            raise RuntimeError(FORKED if self._hosted.forked else elsewhere)

    def answer(self) -> Answer:
        """An answer for entering or leaving a context manager; `waited_for` waits for it."""
        return Answer(self._returns.bring, self._loop.create_future())

    def hold(
        self,
        make: Callable[[], AbstractAsyncContextManager[Any]],
        entered: Answer,
        ended: Answer,
    ) -> Held:
        """Begin to enter a context manager on the gateway's thread."""
        self._check_loop()
        return self._hosted.hold(make, entered, ended)

    def leave(self, held: Held, error: BaseException | None) -> None:
        """The block of a held context manager ended, with `error` if it raised."""
        self._hosted.leave(held, error)

    async def waited_for(self, answer: Answer, held: Held) -> Any:
        """Wait for a context manager's answer; cancelling this task cancels it there as well."""
        try:
            await answer.waiter
        except asyncio.CancelledError:
            self._hosted.cancel(held)
            await self._certainly(answer)
            raise
        return answer.result()

    async def _certainly(self, answer: Answer) -> None:
        """Wait for the answer even if this task is cancelled again; the answer comes at once."""
        while True:
            answer.waiter = waiter = self._loop.create_future()
            if answer.given:
                return
            try:
                await waiter
            except asyncio.CancelledError:
                continue

    def _over(self, _: Answer) -> None:
        """On the gateway's thread: the gateway has ended, by itself or because it was closed."""
        broke = not self._hosted.closing
        self._returns.run(partial(self._wake, broke=broke))

    def _wake(self, *, broke: bool) -> None:
        for waiter in self._closed:
            if not waiter.done():
                waiter.set_result(None)
        if broke:
            self._broken()

    def _loop_closed(self) -> None:
        """On the gateway's thread: the loop was closed while the gateway was open."""
        if not self._hosted.closing:
            self._hosted.report_left_open()
            self._hosted.close()

    def _process_exits(self) -> None:
        """The process exits while the gateway is open, or closing after a Ctrl-C."""
        if not self._hosted.closing:
            self._hosted.report_left_open()
        else:
            self._hosted.interrupts += self._loop.is_closed()
