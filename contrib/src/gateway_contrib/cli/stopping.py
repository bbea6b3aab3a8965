"""Runs a command until it ends or a signal stops it; the gateway itself goes quiet and drains."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from types import FrameType

import attrs
import trio

from gateway_contrib.cli.ending import Ended

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@attrs.define
class _Outcome:
    """How a command ended: its exit code, or the first signal that it got."""

    code: int | None = None
    signal: signal.Signals | None = None


def run(command: Callable[[], Awaitable[int | None]]) -> int:
    """Run `command`; returns its exit code.

    The first SIGINT or SIGTERM cancels the command, and a second signal ends the process. Raises
    the command's exception; if there is only one, without exception groups. Raises `Ended` with 128
    plus the signal's number if a signal stopped the command.
    """
    outcome = _Outcome()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        trio.run(_supervised, command, outcome)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if outcome.code is None and outcome.signal is not None:
        raise Ended(f"stopped by {outcome.signal.name}", 128 + outcome.signal)
    return outcome.code or 0


async def _supervised(command: Callable[[], Awaitable[int | None]], outcome: _Outcome) -> None:
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_listen, nursery.cancel_scope, outcome)
            outcome.code = await command() or 0
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise _lone(group) from None


async def _listen(
    scope: trio.CancelScope,
    outcome: _Outcome,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Wait for a signal, and cancel; a second signal then ends the process without the drain."""
    with trio.open_signal_receiver(*_SIGNALS) as received:
        task_status.started()
        async for number in received:
            outcome.signal = signal.Signals(number)
            break
    for number in _SIGNALS:
        signal.signal(number, _end_at_once)
    if sys.stderr.isatty():  # a person waits, and the drain may take long
        print("gateway: stopping; a second Ctrl-C ends it at once", file=sys.stderr, flush=True)
    scope.cancel()


def _end_at_once(number: int, _: FrameType | None) -> None:
    sys.stderr.write(f"gateway: ended by a second {signal.Signals(number).name}\n")
    sys.stderr.flush()
    os._exit(128 + number)


def _lone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
