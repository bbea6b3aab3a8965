"""Shows how far a group is: a bar on a terminal, otherwise a line from time to time."""

from __future__ import annotations

import math
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway_contrib.cli.ending import Ended, in_json, printable
from gateway_core import Disposition, Receipt

LOOK = 0.5
"""Seconds between two looks at the group."""
LINES = 10.0
"""Seconds between two lines if there is no terminal."""
SETTLED = ("delivered", "superseded", "cancelled")
MOST_TOLD = 20
"""How many failures are named at most."""


@attrs.frozen
class State:
    """How far a group is, as a command shows it."""

    id: str
    members: int
    counts: Mapping[str, int]
    waiting: int
    paused: bool
    cancelled: bool

    @property
    def done(self) -> int:
        """How many members have ended."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """How many members ended in a way that can be tried again."""
        return sum(count for how, count in self.counts.items() if how not in SETTLED)

    @property
    def word(self) -> str:
        """The group's state in a word."""
        if self.done == self.members:
            return "cancelled" if self.cancelled else "ended"
        return "cancelled" if self.cancelled else "paused" if self.paused else "running"

    def line(self) -> str:
        """The group's state in a line."""
        counts = ", ".join(f"{count:,} {how}" for how, count in sorted(self.counts.items()))
        return f"{self.done:,} of {self.members:,} rooms: {counts or 'none yet'}"


def state_of(stored: Any) -> State:
    """The state of a stored `GroupState`."""
    counts = {str(how): count for how, count in stored.counts.items()}
    called_off = 0 if not stored.cancelled else stored.group.size - stored.taken
    waiting = stored.group.size - stored.taken - called_off
    group = stored.group
    return State(group.id, group.size, counts, waiting, stored.paused, stored.cancelled)


@contextmanager
def shown(title: str) -> Iterator[Any]:
    """Yields a function to call with each state, which shows it."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[more]}"), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(printable(title), total=None, more="")

            def draw(state: State) -> None:
                more = f"{state.failed} failed" if state.failed else ""
                bar.update(task, total=state.members, completed=state.done, more=more)

            yield draw
        return
    told = -math.inf

    def say(state: State) -> None:
        nonlocal told
        if state.done == state.members or trio.current_time() - told >= LINES:
            told = trio.current_time()
            print(f"gateway: {state.line()}", file=sys.stderr, flush=True)

    yield say


async def follow(title: str, states: AsyncIterator[State]) -> State:
    """Show the states until the group has ended; returns the last state."""
    state: State | None = None
    with shown(title) as show:
        async for state in states:
            show(state)
    assert state is not None  # noqa: S101 - there is always one
    return state


def conclude(state: State, failures: list[Receipt], *, json: bool) -> int:
    """Print how the group ended. Raises `Ended` with code 1 if some members were not delivered."""
    if json:
        print(in_json(attrs.asdict(state)))
    else:
        print(printable(f"group {state.id}: {state.line()}"))
        say_failures(failures, state.failed)
    missing = state.members - state.counts.get(Disposition.DELIVERED, 0)
    missing -= state.counts.get(Disposition.SUPERSEDED, 0)
    if missing:
        raise Ended(f"{missing:,} of {state.members:,} rooms did not get it", 1)
    return 0


def say_failures(failures: list[Receipt], count: int) -> None:
    """Print the first failures, each with its reason."""
    for receipt in failures[:MOST_TOLD]:
        why = f": {receipt.verdict}" if receipt.verdict is not None else ""
        print(printable(f"{receipt.external_room_id}: {receipt.disposition}{why}"))
    if count > MOST_TOLD:
        print(f"and {count - MOST_TOLD:,} more")
