"""A gateway as the threads of a process reach it, opened at its first use.

Everything that the faces of this package do goes through one of three methods:

call  wait for an async method of something on the gateway's thread, for so long at the most
ask   a method that is sync there, and answers
tell  a method that is sync there, and that nobody waits for
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

from gateway_core.bridge.calls import Answer, Call, Withdrawn
from gateway_core.bridge.exits import CUT_AT
from gateway_core.bridge.held import Held
from gateway_core.bridge.hosted import FORKED, Hosted
from gateway_core.contract.errors import GatewayClosed
from gateway_core.gateway.gateway import Gateway

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
ON_THE_THREAD = (
    "this call comes from a hook, on the gateway's own thread, which would wait for itself: make it"
    " from a thread of the application"
)


class Home:
    """One gateway, and whether it is open in this process.

    make  makes the gateway's context manager, on the gateway's thread
    """

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Gateway]]) -> None:
        self._make = make
        self._hosted: Hosted | None = None
        self._closed = False
        self._lock = threading.Lock()
        _homes.add(self)

    # -- what faces use

    @property
    def core(self) -> Gateway:
        """The gateway itself, opened if it is not; its methods are for `call`, `ask` and `tell`."""
        return self._open().gateway

    def call(
        self,
        timeout: float | None,
        method: Callable[P, Awaitable[T]],
        /,
        *args: P.args,
        **fields: P.kwargs,
    ) -> T:
        """Wait for it. After `timeout` seconds it is cancelled there, and raises `TimeoutError`.

        Raises what it raises, `GatewayClosed`, and `RuntimeError` after a fork or in a hook. An
        exception of a signal's handler cancels it as well.
        """
        hosted, seconds = self._open(), _seconds(timeout)
        _check_thread(hosted)
        call = hosted.call(method, args, fields, _release, _held_lock())
        result: T = _answer_of(hosted, call, seconds)
        return result

    def call_after_end(self, timeout: float | None, method: Callable[[], Awaitable[T]]) -> T:
        """Wait as `call` does, also after the end of the gateway: some of it may be left."""
        hosted, seconds = self._open(), _seconds(timeout)
        _check_thread(hosted)
        call = hosted.call(method, (), {}, _release, _held_lock(), outlives=True)
        result: T = _answer_of(hosted, call, seconds)
        return result

    def ask(self, method: Callable[P, T], /, *args: P.args, **fields: P.kwargs) -> T:
        """What it answers on the gateway's thread, as a rule within a fraction of a millisecond."""
        return self._open().ask(partial(method, *args, **fields))

    def ask_apart(
        self, here: Callable[[A], T], method: Callable[[A], Awaitable[T]], about: A, /
    ) -> T:
        """What an async method answers there; on the gateway's thread itself, what `here` does."""
        return self._open().ask_apart(here, method, about)

    def tell(self, failed: Callable[[Exception], None], work: Callable[[], object]) -> None:
        """Let the gateway's thread do it, before all calls that come after; waits for nothing.

        failed  called there with what it raised
        """
        self._open().tell(work, failed)

    def enter(
        self, make: Callable[[], AbstractAsyncContextManager[Any]]
    ) -> tuple[Held, Answer, Any]:
        """Enter a context manager on the gateway's thread: it, its end, and what it gives."""
        hosted = self._open()
        _check_thread(hosted)
        entered, ended = Answer(_release, _held_lock()), Answer(_release, _held_lock())
        held = hosted.hold(make, entered, ended)
        _wait(hosted, held, entered)
        return held, ended, entered.result()

    def leave(self, held: Held, ended: Answer, error: BaseException | None) -> bool:
        """Leave it, with the block's exception; whether it swallowed that."""
        hosted = self._open()
        hosted.leave(held, error)
        _wait(hosted, held, ended)
        return bool(ended.result())

    # -- opening and closing

    def open(self) -> None:
        """Open it in this process. Raises what `open_gateway` raises, and may be tried again then.

        One that was open before this process was forked opens anew.
        """
        with self._lock:
            if self._closed:
                raise GatewayClosed("the gateway has closed")
            if self._hosted is not None and not self._hosted.forked:
                return
            lock = _held_lock()
            hosted = Hosted(self._make, opened=_release, ended=lambda _: None)
            hosted.opened.waiter = lock
            hosted.open()
            try:
                lock.acquire()
            except BaseException:
                hosted.close()
                raise
            hosted.opened.result()
            self._hosted = hosted

    def close(self, *, interrupts: int = 0) -> None:
        """Close it, and wait until it has drained; Ctrl-C does not cut that, and a third one does.

        interrupts  Ctrl-Cs that there were before, such as the one for which it closes

        Raises what the gateway gave up with. One that was never open only stays so.
        """
        with self._lock:
            hosted, self._closed = self._hosted, True
        if hosted is None or hosted.forked:
            return
        _check_thread(hosted)
        hosted.interrupts = max(hosted.interrupts, interrupts)
        hosted.close()
        interrupt: BaseException | None = None
        while not hosted.ended.given:
            try:
                hosted.wait(None)
            except (KeyboardInterrupt, SystemExit) as error:
                interrupt = error
                hosted.interrupts += 1
                if hosted.interrupts >= CUT_AT:
                    hosted.cut()
        hosted.ended.result()
        if interrupt is not None:
            raise interrupt

    def _open(self) -> Hosted:
        hosted = self._hosted
        if hosted is None:
            self.open()
            hosted = self._hosted
            assert hosted is not None  # noqa: S101 - it is open now
        elif hosted.forked:
            raise RuntimeError(FORKED)
        return hosted


_homes: WeakSet[Home] = WeakSet()


def _forked() -> None:
    """In the child, a lock that another thread of the parent held would never be released."""
    for home in _homes:
        home._lock = threading.Lock()  # noqa: SLF001 - this module's own


os.register_at_fork(after_in_child=_forked)


def _held_lock() -> threading.Lock:
    """What a caller waits for: acquired once more as soon as the answer releases it."""
    lock = threading.Lock()
    lock.acquire()
    return lock


def _release(answer: Answer) -> None:
    answer.waiter.release()


def _wait(hosted: Hosted, held: Held, answer: Answer) -> None:
    try:
        answer.waiter.acquire()
    except BaseException:
        hosted.cancel(held)
        raise


def _answer_of(hosted: Hosted, call: Call, seconds: float) -> Any:
    """Wait for it, and cancel it when nobody waits any more."""
    try:
        answered = call.waiter.acquire(timeout=seconds)
    except BaseException:
        hosted.withdraw(call)
        raise
    if not answered:
        hosted.withdraw(call)
        call.waiter.acquire()  # it comes at once
        if isinstance(call.error, Withdrawn):
            raise _late(seconds) from None
    return call.result()


def _check_thread(hosted: Hosted) -> None:
    if hosted.thread.is_here:
        raise RuntimeError(ON_THE_THREAD)


def _seconds(timeout: float | None) -> float:
    """As a lock takes it."""
    if timeout is None:
        return -1
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise ValueError(f"`timeout` must be seconds, 0 or more, or None, not {timeout!r}")
    return min(timeout, threading.TIMEOUT_MAX) if math.isfinite(timeout) else -1


def _late(seconds: float) -> TimeoutError:
    return TimeoutError(f"not done within {seconds:g} s; it is withdrawn unless it has started")
