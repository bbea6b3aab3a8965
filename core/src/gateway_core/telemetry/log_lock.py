"""The lock under which log lines are written: a fork waits for the one that is being written.

structlog's loggers write under locks of their own, and standard output and files have theirs. One
that another thread held at a fork would stay held in the child, where that thread does not exist.
"""

from __future__ import annotations

import os
import threading

LONGEST_LINE = 5.0
"""Seconds that a fork waits for a log line; the reader of a full pipe may never come."""

_here = threading.local()
"""`held`: whether this thread got the lock for the fork that it is about to make."""


class LogLock:
    """A lock that a thread may hold twice: a signal's handler logs in the middle of a line."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def forking(self) -> None:
        """Wait for the line that another thread writes."""
        _here.held = self._lock.acquire(timeout=LONGEST_LINE)

    def forked(self) -> None:
        """Let others write again."""
        if _here.held:
            self._lock.release()

    def forked_in_child(self) -> None:
        """Let the child write, whose only thread is the one that forked."""
        if _here.held:
            self._lock.release()
        else:
            self._lock = threading.RLock()


log_lock = LogLock()

os.register_at_fork(
    before=log_lock.forking,
    after_in_parent=log_lock.forked,
    after_in_child=log_lock.forked_in_child,
)
