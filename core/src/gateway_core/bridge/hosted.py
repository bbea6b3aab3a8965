"""Opens a gateway on the gateway's thread, and passes calls to it and answers back."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

import trio

from gateway_core.bridge.calls import Answer, Call, Heard, closed
from gateway_core.bridge.exits import Closing, hold_until_exit
from gateway_core.bridge.held import Held
from gateway_core.bridge.thread import TrioThread, gateway_thread
from gateway_core.bridge.workers import Workers
from gateway_core.gateway.gateway import Gateway
from gateway_core.telemetry import LOOP_ENDED, log_event

T = TypeVar("T")
A = TypeVar("A")
LAST_ANSWERS = 1.0
"""Seconds in which calls that the gateway's end has ended get their answers."""
STALLED = 30.0
"""Seconds after which a waiting caller gets an error, since the gateway's thread seems blocked."""
FORKED = (
    "this gateway was open when the process forked, and its thread stayed in the parent: messages"
    " sent here would never arrive. Open it in the child: create it at import and use it first in"
    " the child (gunicorn with preload, Celery's prefork), or call `open` there"
)


class Hosted(Closing):
    """One gateway, for its face. Any thread may call its methods.

    opened   answered once the gateway is open, or with the error that prevented this
    ended    answered once the gateway has drained and every call has its answer
    gateway  the gateway itself; only the gateway's thread may use it
    """

    def __init__(
        self,
        make: Callable[[], AbstractAsyncContextManager[Gateway]],
        *,
        opened: Heard,
        ended: Heard,
    ) -> None:
        super().__init__()
        self._make = make
        self._context = contextvars.copy_context()
        self._workers: Workers | None = None
        self._held: Held | None = None
        self._wakes_face = ended
        self._over = False
        self._why: BaseException | None = None
        self.opened = Answer(opened)
        self.ended = Answer(self._is_over)
        self.thread: TrioThread = gateway_thread()
        self.gateway: Gateway

    # -- from any thread

    def open(self) -> None:
        """Begin to open the gateway."""
        hold_until_exit(self)
        self.thread.watch(self, self._broken)
        self.thread.post(self._begin)

    def call(
        self,
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        fields: Mapping[str, Any],
        heard: Heard,
        waiter: Any,
        *,
        outlives: bool = False,
    ) -> Call:
        """Begin a call. Raises `RuntimeError` after a fork.

        outlives  perform the call even after the gateway's end; False: then it gets `GatewayClosed`
        """
        if self.forked:
            raise RuntimeError(FORKED)
        call = Call(function, args, fields, heard, waiter)
        begin = self._begin_after_end if outlives else self._begin_call
        self.thread.post(partial(begin, call))
        return call

    def withdraw(self, call: Call) -> None:
        """Withdraw a call, since its caller gave up."""
        self.thread.post_if_running(call.withdraw)

    def hold(
        self,
        make: Callable[[], AbstractAsyncContextManager[Any]],
        entered: Answer,
        ended: Answer,
    ) -> Held:
        """Begin to enter a context manager in the caller's context, after all calls before it."""
        held = Held(make, entered, ended)
        self.call(held.run, (), {}, held.over, None)
        return held

    def leave(self, held: Held, error: BaseException | None) -> None:
        """The block of a held context manager ended, with `error` if it raised."""
        self.thread.post_if_running(partial(held.leave, error))

    def cancel(self, held: Held) -> None:
        """Cancel entering and leaving, since nobody waits for the context manager any more."""
        self.thread.post_if_running(held.cancel)

    def tell(self, function: Callable[[], object], failed: Callable[[Exception], None]) -> None:
        """Let the gateway's thread call `function`, before all later calls; does not wait."""
        if self.forked:
            raise RuntimeError(FORKED)

        def telling() -> None:
            try:
                function()
            except Exception as error:  # noqa: BLE001 - the caller's
                failed(error)

        self.thread.post(telling)

    def ask(self, function: Callable[[], T]) -> T:
        """Let the gateway's thread call a function that never waits, and wait for its result."""
        if self.thread.is_here:
            return function()
        if self.forked:
            raise RuntimeError(FORKED)
        lock = threading.Lock()
        lock.acquire()
        answer = Answer(lambda _: lock.release())

        def asking() -> None:
            if self._over:
                answer.fail(closed(self._why))
                return
            try:
                value = function()
            except BaseException as error:  # noqa: BLE001 - the caller's
                answer.fail(error)
            else:
                answer.give(value)

        self.thread.post(asking)
        if not lock.acquire(timeout=STALLED):
            text = f"the gateway's thread has not answered for {STALLED:g} s: a hook may block it"
            raise TimeoutError(text)
        result: T = answer.result()
        return result

    def ask_apart(
        self, here: Callable[[A], T], function: Callable[[A], Awaitable[T]], about: A
    ) -> T:
        """Like `ask`, for a function that waits, for example for a worker thread.

        here  called instead if the caller is the gateway's thread, which cannot wait for itself
        """
        if self.thread.is_here:
            return here(about)
        lock = threading.Lock()
        lock.acquire()
        call = self.call(function, (about,), {}, lambda _: lock.release(), None)
        if not lock.acquire(timeout=STALLED):
            self.withdraw(call)
            raise TimeoutError(f"there is no answer after {STALLED:g} s: by a hook?")
        result: T = call.result()
        return result

    def close(self) -> None:
        """Begin to close the gateway, which drains."""
        self.closing = True
        self.thread.post_if_running(self._leave)

    def report_left_open(self) -> None:
        """Log that nobody closed the gateway before its loop or its process ended."""
        if self._worked and not self._over:
            log_event(LOOP_ENDED, unfinished=self.ask(self.gateway.statistics).unfinished)

    def cut(self) -> None:
        """End the drain now; unfinished envelopes are logged."""
        self.thread.post_if_running(self._cut)

    @property
    def is_opening(self) -> bool:
        """Whether the gateway is opening, and the caller is not the gateway's thread."""
        return not (self.opened.given or self.thread.is_here)

    @property
    def longest_drain(self) -> float:
        """Seconds that closing may take for unfinished envelopes."""
        return self.gateway.config.drain_timeout if self._worked else 0.0

    @property
    def _worked(self) -> bool:
        """Whether opening succeeded."""
        return hasattr(self, "gateway")

    # -- on the gateway's thread

    def _begin(self) -> None:
        self._held = Held(self._make, Answer(self._entered), Answer(lambda _: None))
        self._context.run(self.thread.nursery.start_soon, self._run)

    async def _run(self) -> None:
        assert self._held is not None  # noqa: S101 - `_begin` made it
        async with trio.open_nursery() as tasks:
            self._workers = Workers(tasks)
            await self._held.run()
            self._over, self._why = True, self._held.ended.error
            with trio.move_on_after(LAST_ANSWERS):
                while self._workers.busy:  # noqa: ASYNC110 - once, as it closes
                    await trio.sleep(0.001)
            tasks.cancel_scope.cancel()
        if self._why is not None:
            self.ended.fail(self._why)
        else:
            self.ended.give(None)

    def _entered(self, entered: Answer) -> None:
        if entered.error is not None:
            self.opened.fail(entered.error)
        else:
            self.gateway = entered.value
            self.opened.give(entered.value)

    def _leave(self) -> None:
        if self._held is not None:
            self._held.leave() if self.opened.given else self._held.cancel()

    def _cut(self) -> None:
        if self._worked:
            self.gateway._life.cut_drain()  # noqa: SLF001 - the gateway's own, for its bridge

    def _begin_call(self, call: Call) -> None:
        if self._over or self._workers is None:
            call.fail(closed(self._why))
        else:
            self._workers.begin(call)

    def _begin_after_end(self, call: Call) -> None:
        if self._over:
            self.thread.workers.begin(call)
        else:
            self._begin_call(call)

    def _is_over(self, ended: Answer) -> None:
        self.thread.forget(self)
        self.done()
        self._wakes_face(ended)

    def _broken(self, error: BaseException) -> None:
        self._over, self._why = True, error
        if self._workers is not None:
            self._workers.fail(error)
        self.opened.fail(error)
        self.ended.fail(error)
