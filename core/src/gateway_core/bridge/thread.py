"""The one thread of the process that trio runs in, and the queue into it.

Work is posted from any thread and in order. It wakes trio once for as many pieces as are there.
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
"""Seconds for the thread to end; it is a daemon, so that the process ends without it as well."""
TOO_LATE = (
    "the gateway's thread cannot be started, since the program's main thread has ended and the"
    " process exits: open the gateway before that"
)
_CLOSED = "the gateway's thread has ended, since the process exits"


class TrioThread:
    """A daemon thread, so that a program may end; what is open then, `exits` drains.

    has_ended  whether trio runs in it no more
    nursery    where gateways run; of the gateway's thread only
    workers    perform calls that outlive their gateway
    spare      worker threads kept for the exit, when no new one can be started
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
        """Let the gateway's thread call `work`, which never raises, after all posted before.

        Raises `GatewayClosed` if the thread has ended.
        """
        self._work.append(work)
        if not self._asked:
            try:
                self._asked = True  # two threads that both come here wake trio twice: no harm
                self._token.run_sync_soon(self._take)
            except trio.RunFinishedError:
                self._asked = False
                raise GatewayClosed(_CLOSED) from None
            except BaseException:  # a signal's handler raised here: who comes next asks again
                self._asked = False
                raise

    def post_if_running(self, work: Callable[[], object]) -> None:
        """Post it; a thread that has ended has told everybody already."""
        with suppress(GatewayClosed):
            self.post(work)

    def wake_later(self, wake: Callable[[], object]) -> None:
        """On the gateway's thread: call it once what is due has run, to wake another thread.

        To wake one lets go of the interpreter's lock, and it would find one answer instead of all.
        Of a single call under way there is one answer: its caller is woken at once.
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
        for _ in range(len(work)):  # what is posted meanwhile asks for a turn of its own
            work.popleft()()

    @property
    def is_here(self) -> bool:
        """Whether the caller runs on the gateway's thread."""
        return threading.get_ident() == self._thread.ident

    def watch(self, who: object, on_end: Callable[[BaseException], None]) -> None:
        """Call `on_end` if the thread breaks while `who` is there."""
        self._on_end[who] = on_end

    def forget(self, who: object) -> None:
        """`who` needs the thread no more."""
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
        """End the thread, in which nothing is open any more."""
        self.post_if_running(self._stop.set)
        self._thread.join(LAST_STEPS)


class _Process:
    """The thread of this process, and the lock around making it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: TrioThread | None = None

    def forked(self) -> None:
        """In the child the parent's thread does not exist, and its lock may be held for ever."""
        self.lock = threading.Lock()
        self.thread = None


_process = _Process()
os.register_at_fork(after_in_child=_process.forked)


def gateway_thread() -> TrioThread:
    """The thread of this process, started if there is none."""
    with _process.lock:
        if _process.thread is None or _process.thread.has_ended:
            _process.thread = TrioThread()
        return _process.thread


def start_thread_on(clock: trio.abc.Clock) -> TrioThread | None:
    """The thread of this process, started on a clock of the caller's; None: it runs already."""
    with _process.lock:
        if _process.thread is not None:
            return None
        _process.thread = TrioThread(clock)
        return _process.thread


def expect_exit() -> None:
    """The process exits: what needs a worker thread from now on gets one that is there."""
    if _process.thread is not None:
        _process.thread.spare.release()


def stop_thread() -> None:
    """End the thread of this process, if there is one."""
    thread, _process.thread = _process.thread, None
    if thread is not None:
        thread.stop()
