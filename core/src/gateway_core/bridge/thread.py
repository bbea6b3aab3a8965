"""Runs trio in one thread of the process, and queues work for that thread.

Any thread posts work, which is done in order. trio is woken once for all work that is queued.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import trio

from gateway_core.bridge.spare_threads import SpareThreads
from gateway_core.bridge.workers import Workers
from gateway_core.contract.errors import GatewayClosed

THREAD_NAME = "gateway"
LAST_STEPS = 5.0
"""Seconds to wait for the thread's end; it is a daemon, so it cannot keep the process alive."""
TOO_LATE = (
    "the gateway's thread cannot be started, since the program's main thread has ended and the"
    " process exits: open the gateway before that"
)
_CLOSED = "the gateway's thread has ended, since the process exits"


class TrioThread:
    """The gateway's thread: a daemon, so that a program can end; `exits` drains open gateways.

    has_ended  whether trio has stopped running in the thread
    nursery    the nursery in which gateways run; only the gateway's thread may use it
    workers    the tasks that perform calls that outlive their gateway
    spare      worker threads kept for the exit, when no new thread can be started
    """

    def __init__(self, clock: trio.abc.Clock | None = None) -> None:
        self._clock = clock
        self._work: deque[Callable[[], object]] = deque()
        self._asked = False
        self.has_ended = False
        self._to_wake: list[Callable[[], object]] = []
        self._waker: trio.lowlevel.Task | None = None
        self._ready = threading.Event()
        self._token: trio.lowlevel.TrioToken
        self._stop: trio.Event
        self._on_end: dict[object, Callable[[BaseException], None]] = {}
        self.nursery: trio.Nursery
        self.workers: Workers
        self.spare = SpareThreads()
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # from Python 3.12 on, once the main thread has ended
            raise RuntimeError(TOO_LATE) from error
        self._ready.wait()

    def post(self, work: Callable[[], object]) -> None:
        """Let the gateway's thread call `work`, which never raises, after all earlier work.

        Raises `GatewayClosed` if the thread has ended.
        """
        self._work.append(work)
        if not self._asked:
            try:
                self._asked = True  # if two threads come here, trio is woken twice: no harm
                self._token.run_sync_soon(self._take)
            except trio.RunFinishedError:
                self._asked = False
                raise GatewayClosed(_CLOSED) from None
            except BaseException:  # a signal handler raised here: the next caller asks again
                self._asked = False
                raise

    def post_if_running(self, work: Callable[[], object]) -> None:
        """Post `work`; if the thread has ended, do nothing, since everybody knows already."""
        with suppress(GatewayClosed):
            self.post(work)

    def wake_later(self, wake: Callable[[], object]) -> None:
        """On the gateway's thread: call `wake`, which wakes another thread, after all due work.

        Waking a thread releases the interpreter's lock, and an early wake would show the thread one
        answer instead of all. If a single call is under way, its caller is woken at once.
        """
        if self.has_ended or self.workers.busy <= 1:
            wake()
            return
        self._to_wake.append(wake)
        if self._waker is not None:
            waker, self._waker = self._waker, None
            trio.lowlevel.reschedule(waker)

    async def _wake(self) -> None:
        def abort(_: object) -> trio.lowlevel.Abort:
            self._waker = None
            return trio.lowlevel.Abort.SUCCEEDED

        while True:
            to_wake, self._to_wake = self._to_wake, []
            for wake in to_wake:
                wake()
            self._waker = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(abort)

    def _take(self) -> None:
        self._asked = False
        work = self._work
        for _ in range(len(work)):  # work posted meanwhile asks for a turn of its own
            work.popleft()()

    @property
    def is_here(self) -> bool:
        """Whether the caller runs on the gateway's thread."""
        return threading.get_ident() == self._thread.ident

    def watch(self, who: object, on_end: Callable[[BaseException], None]) -> None:
        """Call `on_end` if the thread ends before `forget(who)`."""
        self._on_end[who] = on_end

    def forget(self, who: object) -> None:
        """Stop watching the thread for `who`, who no longer needs it."""
        self._on_end.pop(who, None)

    def _run(self) -> None:
        error: BaseException = GatewayClosed(_CLOSED)
        try:
            trio.run(self._main, clock=self._clock)
        except BaseException as raised:  # noqa: BLE001 - told to those who wait, who raise it
            error = raised
        self.has_ended = True
        for wake in self._to_wake:
            wake()
        for on_end in list(self._on_end.values()):
            on_end(error)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        async with trio.open_nursery() as self.nursery:
            self.workers = Workers(self.nursery)
            self.nursery.start_soon(self.spare.keep)
            self.nursery.start_soon(self._wake)
            self._ready.set()
            await self._stop.wait()
            self.nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """End the thread; every gateway in it has closed."""
        self.post_if_running(self._stop.set)
        self._thread.join(LAST_STEPS)


class _Process:
    """The process's gateway thread, and the lock under which it is made."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: TrioThread | None = None

    def forked(self) -> None:
        """Start anew in the child: it lacks the parent's thread, and its lock may stay held."""
        self.lock = threading.Lock()
        self.thread = None


_process = _Process()
os.register_at_fork(after_in_child=_process.forked)


def gateway_thread() -> TrioThread:
    """The process's gateway thread, started if there is none."""
    with _process.lock:
        if _process.thread is None or _process.thread.has_ended:
            _process.thread = TrioThread()
        return _process.thread


def start_thread_on(clock: trio.abc.Clock) -> TrioThread | None:
    """The process's gateway thread, started with the caller's clock; None: it runs already."""
    with _process.lock:
        if _process.thread is not None:
            return None
        _process.thread = TrioThread(clock)
        return _process.thread


def expect_exit() -> None:
    """The process exits: release the spare threads for any work that needs one."""
    if _process.thread is not None:
        _process.thread.spare.release()


def stop_thread() -> None:
    """End the process's gateway thread, if there is one."""
    thread, _process.thread = _process.thread, None
    if thread is not None:
        thread.stop()
