"""The crash boundary: which exceptions pass through a hook's caller and which stop there."""

from __future__ import annotations

from pathlib import Path

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


def place_of(error: BaseException | None) -> str | None:
    """The file and line at which the error arose: what can be told of any error."""
    trace = error.__traceback__ if error is not None else None
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
