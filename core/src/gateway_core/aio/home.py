"""An opened gateway as the programs of one asyncio loop reach it, and how it opens and closes.

Everything that the faces of this package do goes through one of three methods:

call  await an async method of something on the gateway's thread
ask   a method that is sync there, and answers
tell  a method that is sync there, and that nobody waits for
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


class Home:
    """One gateway and the loop that it belongs to.

    core    the gateway itself; its methods are for `call`, `ask` and `tell` alone
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
        """Await it on the gateway's thread. Cancelled here, it is cancelled there, and ends there.

        Raises what it raises, `GatewayClosed`, and `RuntimeError` in another loop or after a fork.
        """
        self._check_loop()
        future = self._loop.create_future()
        call = self._hosted.call(method, args, fields, self._returns.bring, future)
        result: T = await self._answer_of(call, future)
        return result

    async def call_after_end(self, method: Callable[[], Awaitable[T]]) -> T:
        """Await it as `call` does, also after the end of the gateway: some of it may be left."""
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
        """What it answers on the gateway's thread, as a rule within a fraction of a millisecond."""
        self._check_loop()
        return self._hosted.ask(partial(method, *args, **fields))

    def ask_apart(
        self, here: Callable[[A], T], method: Callable[[A], Awaitable[T]], about: A, /
    ) -> T:
        """What an async method answers there; on the gateway's thread itself, what `here` does."""
        self._check_loop()
        return self._hosted.ask_apart(here, method, about)

    def tell(self, failed: Callable[[Exception], None], work: Callable[[], object]) -> None:
        """Let the gateway's thread do it, before all calls that come after; waits for nothing.

        failed  called there with what it raised
        """
        self._check_loop()
        self._hosted.tell(work, failed)

    # -- opening and closing

    async def open(self) -> Gateway:
        """Open it. Raises what `open_gateway` raises."""
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
        """Close it, and wait until it has drained, whoever cancels this task; a third cuts it.

        interrupts  Ctrl-Cs that there were before, such as the one for which it closes

        Raises what the gateway gave up with, and else a cancellation that came meanwhile.
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
        """The loop ends with the gateway open."""
        if not self._hosted.closing:
            self._hosted.report_left_open()
        await self.close()

    @property
    def is_over(self) -> bool:
        """Whether it has closed."""
        return self._hosted.ended.given

    # -- inside

    def _check_loop(self) -> None:
        if asyncio._get_running_loop() is not self._loop:  # noqa: SLF001 - None and no error
            raise RuntimeError(FORKED if self._hosted.forked else ELSEWHERE)

    def answer(self) -> Answer:
        """One for a context manager to be entered, or left: `waited_for` it."""
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
        """Its block ended."""
        self._hosted.leave(held, error)

    async def waited_for(self, answer: Answer, held: Held) -> Any:
        """The answer of a context manager, which this task's cancellation cancels there as well."""
        try:
            await answer.waiter
        except asyncio.CancelledError:
            self._hosted.cancel(held)
            await self._certainly(answer)
            raise
        return answer.result()

    async def _certainly(self, answer: Answer) -> None:
        """Wait for the answer, whoever cancels this task meanwhile; it comes at once."""
        while True:
            answer.waiter = waiter = self._loop.create_future()
            if answer.given:
                return
            try:
                await waiter
            except asyncio.CancelledError:
                continue

    def _over(self, _: Answer) -> None:
        """On the gateway's thread: it has ended, of itself or since somebody closed it."""
        broke = not self._hosted.closing
        self._returns.run(partial(self._wake, broke=broke))

    def _wake(self, *, broke: bool) -> None:
        for waiter in self._closed:
            if not waiter.done():
                waiter.set_result(None)
        if broke:
            self._broken()

    def _loop_closed(self) -> None:
        """On the gateway's thread: the loop was closed with the gateway open."""
        if not self._hosted.closing:
            self._hosted.report_left_open()
            self._hosted.close()

    def _process_exits(self) -> None:
        """With the gateway open, or torn away from the wait for its end by one more Ctrl-C."""
        if not self._hosted.closing:
            self._hosted.report_left_open()
        else:
            self._hosted.interrupts += self._loop.is_closed()
