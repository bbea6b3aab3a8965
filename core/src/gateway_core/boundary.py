"""The crash boundary: which exceptions pass through a hook's caller and which stop there."""

from __future__ import annotations

import trio

PASSING = (trio.Cancelled, KeyboardInterrupt, SystemExit, GeneratorExit)
"""These belong to whoever stops the program or the task; nobody else may keep them."""


def stopped(error: BaseException) -> Exception:
    """What a hook's error is worth behind the boundary: an `Exception`, or it is raised on.

    Of a group, the passing part is raised and the rest is dropped with it. A stray
    `BaseException` comes back wrapped, since nothing above a hook may see one.
    """
    if isinstance(error, PASSING):
        raise error
    if isinstance(error, BaseExceptionGroup):
        passing, _ = error.split(PASSING)
        if passing is not None:
            raise passing
    if isinstance(error, Exception):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
