"""Running a command until it ends or a signal stops it: quiet and drain are the gateway's own."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import attrs
import trio

from gateway_contrib.cli.ending import Ended

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@attrs.define
class _Outcome:
    """What became of a command: its exit code, or the signal that came first."""

    code: int | None = None
    signal: signal.Signals | None = None


def run(command: Callable[[], Awaitable[int | None]]) -> int:
    """Run `command`; its exit code. The first SIGINT or SIGTERM cancels it, a second one ends it.

    Raises what the command raises, a lone exception without its groups, and `Ended` (128 and the
    signal's number) when it was stopped.
    """
    outcome = _Outcome()
    trio.run(_supervised, command, outcome)
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
    """Wait for a signal; when this returns, the next one has its usual effect again."""
    with trio.open_signal_receiver(*_SIGNALS) as received:
        task_status.started()
        async for number in received:
            outcome.signal = signal.Signals(number)
            break
    scope.cancel()


def _lone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
