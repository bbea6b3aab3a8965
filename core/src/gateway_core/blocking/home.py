"""Connects the threads of a process to a gateway, which is opened at its first use.

The faces of this package do everything through one of three methods:

call  wait for an async method of an object on the gateway's thread, up to a timeout
ask   call a sync method there, and wait for its result
tell  call a sync method there, and do not wait
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

from gateway_core.bridge.calls import Answer, Call, Withdrawn
from gateway_core.bridge.exits import CUT_AT
from gateway_core.bridge.held import Held
from gateway_core.bridge.hosted import FORKED, Hosted
from gateway_core.contract.errors import GatewayClosed
from gateway_core.contract.validators import is_finite, shown
from gateway_core.gateway.gateway import Gateway

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
ON_THE_THREAD = (
    "this call comes from a hook, on the gateway's own thread, which would wait for itself: make it"
    " from a thread of the application"
)
WITHDRAWN = "; it is withdrawn unless it has started"
GOES_ON = "; only this wait has ended"
SUBMITS = (
    "send", "edit", "delete", "call", "reply", "react", "unreact", "pin", "unpin", "enqueue",
    "submit",
)  # fmt: skip
BECOMES = dict.fromkeys(SUBMITS, WITHDRAWN) | {"receipt": GOES_ON, "wait": GOES_ON}
"""What becomes of the envelopes of a method that is not done in time, by the method's name."""


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
        """The gateway itself, opened if needed; only `call`, `ask`, `tell` may call its methods."""
        return self._open().gateway

    def call(
        self,
        timeout: float | None,
        method: Callable[P, Awaitable[T]],
        /,
        *args: P.args,
        **fields: P.kwargs,
    ) -> T:
        """Wait for `method`. After `timeout` seconds, cancel it there and raise `TimeoutError`.

        Raises the method's errors, `GatewayClosed`, and `RuntimeError` after a fork or in a hook.
        An exception of a signal handler cancels the method as well.
        """
        hosted, seconds = self._open(), _seconds(timeout)
        _check_thread(hosted)
        call = hosted.call(method, args, fields, _release, _held_lock())
        result: T = _answer_of(hosted, call, seconds, _becomes(method, fields))
        return result

    def call_after_end(self, timeout: float | None, method: Callable[[], Awaitable[T]]) -> T:
        """Wait for `method` like `call`, also after the gateway's end: results may be left."""
        hosted, seconds = self._open(), _seconds(timeout)
        _check_thread(hosted)
        call = hosted.call(method, (), {}, _release, _held_lock(), outlives=True)
        result: T = _answer_of(hosted, call, seconds, _becomes(method, {}))
        return result

    def ask(self, method: Callable[P, T], /, *args: P.args, **fields: P.kwargs) -> T:
        """Call `method` on the gateway's thread and wait, usually a fraction of a millisecond."""
        return self._open().ask(partial(method, *args, **fields))

    def ask_apart(
        self, here: Callable[[A], T], method: Callable[[A], Awaitable[T]], about: A, /
    ) -> T:
        """Wait for an async `method` there; on the gateway's own thread, call `here` instead."""
        return self._open().ask_apart(here, method, about)

    def tell(self, failed: Callable[[Exception], None], work: Callable[[], object]) -> None:
        """Let the gateway's thread do `work`, before all later calls; does not wait.

        failed  called on that thread with the error if `work` raises
        """
        self._open().tell(work, failed)

    def enter(
        self, make: Callable[[], AbstractAsyncContextManager[Any]]
    ) -> tuple[Held, Answer, Any]:
        """Enter a context manager on the gateway's thread.

        Returns the held context manager, the answer for its end, and the value that it yields.
        """
        hosted = self._open()
        _check_thread(hosted)
        entered, ended = Answer(_release, _held_lock()), Answer(_release, _held_lock())
        held = hosted.hold(make, entered, ended)
        _wait(hosted, held, entered)
        return held, ended, entered.result()

    def leave(self, held: Held, ended: Answer, error: BaseException | None) -> bool:
        """Leave the context manager with the block's exception; returns whether it swallowed it."""
        hosted = self._open()
        hosted.leave(held, error)
        _wait(hosted, held, ended)
        return bool(ended.result())

    # -- opening and closing

    def open(self) -> None:
        """Open the gateway in this process. Raises what `open_gateway` raises; it can be retried.

        A gateway that was open before this process was forked opens anew.
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
        """Close the gateway and wait for its drain, which only a third Ctrl-C cuts.

        interrupts  number of earlier Ctrl-Cs, such as the one that causes the closing

        Raises the error with which the gateway gave up. A gateway that was never open stays closed.
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
    """Make new locks in the child: one held by another thread of the parent would stay held."""
    for home in _homes:
        home._lock = threading.Lock()  # noqa: SLF001 - this module's own


os.register_at_fork(after_in_child=_forked)


def _held_lock() -> threading.Lock:
    """A lock that is held: the caller waits to acquire it again, and the answer releases it."""
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


def _becomes(method: Callable[..., object], fields: Mapping[str, object]) -> str:
    """What becomes of the method's envelope after a timeout; empty: it has none, or it depends."""
    if fields.get("on_cancel") == "detach":
        return GOES_ON
    return BECOMES.get(getattr(method, "__name__", ""), "")


def _answer_of(hosted: Hosted, call: Call, seconds: float, becomes: str) -> Any:
    """Wait for the call's answer, and cancel the call if the wait ends without one."""
    try:
        answered = call.waiter.acquire(timeout=seconds)
    except BaseException:
        hosted.withdraw(call)
        raise
    if not answered:
        hosted.withdraw(call)
        call.waiter.acquire()  # the answer comes at once
        if isinstance(call.error, Withdrawn):
            raise TimeoutError(f"not done within {seconds:g} s{becomes}") from None
    return call.result()


def _check_thread(hosted: Hosted) -> None:
    if hosted.thread.is_here:
        raise RuntimeError(ON_THE_THREAD)


def _seconds(timeout: float | None) -> float:
    """The timeout in the form that a lock takes."""
    if timeout is None or (isinstance(timeout, float) and timeout == math.inf):
        return -1
    if not is_finite(timeout) or timeout < 0:
        raise ValueError(f"`timeout` must be seconds, 0 or more, or None, not {shown(timeout)}")
    return min(timeout, threading.TIMEOUT_MAX)
