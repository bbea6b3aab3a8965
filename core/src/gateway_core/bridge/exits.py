"""Drains gateways that are still open when the process exits, and marks them after a fork.

`atexit` runs after the interpreter has waited for all other threads, so these can send until their
end. The gateway's own thread is a daemon: nobody waits for it, and it runs on meanwhile. A process
made by `multiprocessing` runs no `atexit`, but finalizers of its own.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable

from gateway_core.bridge.thread import expect_exit, stop_thread

CUT_AT = 3
"""The first Ctrl-C ends the program, the second is one too many, the third cuts the drain."""
LONGEST_OPENING = 5.0
"""Seconds that a fork waits for a gateway to open."""
BEYOND_DRAIN = 30.0
"""Seconds for closing sessions, files and exporters after a drain has taken its time."""


class Closing:
    """Something that is open until it is closed, at the latest when the process exits.

    forked        it was open when this process was forked from another
    closing       somebody has asked to close it
    interrupts    Ctrl-Cs since then
    at_exit       called if it is still open when the process exits
    """

    def __init__(self) -> None:
        self.forked = False
        self.closing = False
        self.interrupts = 0
        self.at_exit: Callable[[], None] = lambda: None
        self._done = threading.Event()

    def close(self) -> None:
        """Begin to close."""
        raise NotImplementedError

    def cut(self) -> None:
        """Close now, without the rest of the drain."""
        raise NotImplementedError

    @property
    def longest_drain(self) -> float:
        """Seconds that closing may take."""
        raise NotImplementedError

    @property
    def is_opening(self) -> bool:
        """Whether it is about to open; a fork waits for this."""
        raise NotImplementedError

    def done(self) -> None:
        """Note that it has closed, and wake the threads in `wait`."""
        _open.discard(self)
        self._done.set()

    def wait(self, seconds: float | None) -> bool:
        """Wait up to `seconds` until it has closed; returns whether it has."""
        return self._done.wait(seconds)


_open: set[Closing] = set()


def hold_until_exit(opened: Closing) -> None:
    """Close `opened` when the process exits, if it is still open then."""
    if not _open:
        _register()
    _open.add(opened)


def _register() -> None:
    atexit.unregister(close_all)
    atexit.register(close_all)
    process, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, close_all, exitpriority=0)


def close_all() -> None:
    """Close everything that is open, and end the thread; a third Ctrl-C cuts the drain."""
    before = isinstance(getattr(sys, "last_value", None), KeyboardInterrupt)
    opened = list(_open)
    expect_exit()
    for one in opened:
        one.at_exit()
        one.interrupts = max(one.interrupts, int(before))
        if one.interrupts >= CUT_AT:
            one.cut()
        one.close()
    for one in opened:
        _wait_for(one)
    stop_thread()


def _wait_for(one: Closing) -> None:
    while True:
        try:
            one.wait(one.longest_drain + BEYOND_DRAIN)
            return
        except KeyboardInterrupt:
            one.interrupts += 1
            if one.interrupts >= CUT_AT:
                one.cut()


def _forked() -> None:
    for opened in _open:
        opened.forked = True
    _open.clear()


def _forking() -> None:
    """Wait for opening gateways: they import plugins, and a fork would leave import locks held."""
    pause, end = threading.Event(), time.monotonic() + LONGEST_OPENING
    while any(one.is_opening for one in list(_open)) and time.monotonic() < end:
        pause.wait(0.001)


os.register_at_fork(before=_forking, after_in_child=_forked)
