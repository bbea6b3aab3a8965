"""Decides which exceptions of a hook pass through its caller, and which stop there."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import trio

from gateway_core.contract.errors import GatewayError, HookContractError
from gateway_core.contract.validators import words_of

PASSING = (trio.Cancelled, KeyboardInterrupt, SystemExit, GeneratorExit)
"""These exceptions stop the program or the task, so no caller of a hook may catch them. Signal
handlers raise them in whatever code is running, which may be a hook's."""

_NOT_THE_PLUGIN = sys.stdlib_module_names | {"", "attrs", "attr", "gateway_core", "pluggy", "trio"}
"""Top-level modules in whose lines a plugin's author finds no mistake of the plugin; the code that
attrs generates has no name."""


def stopped(error: BaseException) -> Exception:
    """Return a hook's error as an `Exception`; an error that must pass is raised again.

    If a group has errors that must pass, they are raised and the rest is dropped. A group of one
    error, such as a nursery raises, is that error. Any other `BaseException` is wrapped, since no
    code above a hook may see it.
    """
    if isinstance(error, PASSING):
        raise error
    if isinstance(error, BaseExceptionGroup):
        passing, _ = error.split(PASSING)
        if passing is not None:
            raise passing
        error = _unwrapped(error)
    if isinstance(error, Exception):
        return error
    return wrapped(error)


def wrapped(error: BaseException) -> Exception:
    """An `Exception` that names an error which is none."""
    return RuntimeError(words_of(error))


def exit_in(error: BaseException) -> SystemExit | None:
    """The `SystemExit` that the error is, or has in its group; None: there is none."""
    while isinstance(error, BaseExceptionGroup):
        error = (error.subgroup(SystemExit) or error).exceptions[0]
    return error if isinstance(error, SystemExit) else None


async def pass_on(error: BaseException) -> None:
    """Raise `Cancelled` if a hook turned one into `error`, and the task is still cancelled.

    A hook that swallowed a `Cancelled` had no answer to give, so its wrong answer means nothing.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, trio.Cancelled | HookContractError):
            await trio.lowlevel.checkpoint_if_cancelled()
            return
        cause = cause.__context__


def cause_of(error: BaseException) -> BaseException:
    """The error itself; for a group, its first error that is not in `PASSING`."""
    while isinstance(error, BaseExceptionGroup):
        rest = error.split(PASSING)[1] or error
        error = rest.exceptions[0]
    return error


def place_of(error: BaseException | None) -> str | None:
    """The file and line at which the error arose; for a group, those of its cause."""
    trace = cause_of(error).__traceback__ if error is not None else None
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return _shown(trace)


def place_in_plugin(error: BaseException) -> str | None:
    """The innermost line of the plugin that led to the error, even if Python or core raised it.

    If no frame is the plugin's, the place at which the error arose.
    """
    place, trace = None, cause_of(error).__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] not in _NOT_THE_PLUGIN:
            place = _shown(trace)
        trace = trace.tb_next
    return place or place_of(error)


def _shown(trace: TracebackType) -> str:
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def leaving(body: BaseException | None, group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that leaves the block when the gateway's tasks raised `group`, or were cancelled.

    An error wins over a `Cancelled`, so the application's own error is not lost if somebody cancels
    the drain. If the gateway failed, errors that this caused in the application (`GatewayClosed`,
    an undelivered receipt) do not count.
    """
    ours = _without(group, trio.Cancelled)
    own = _without(body, trio.Cancelled if ours is None else (trio.Cancelled, GatewayError))
    if own is not None and ours is not None:
        return BaseExceptionGroup("of the application and of the gateway", [own, _unwrapped(ours)])
    return own or _unwrapped(ours or group)


def _without(error: BaseException | None, what: Any) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        rest: BaseException | None = error.split(what)[1]
        return rest
    return None if isinstance(error, what) else error


def _unwrapped(error: BaseException) -> BaseException:
    """The exception without groups around it, if they hold only this one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
