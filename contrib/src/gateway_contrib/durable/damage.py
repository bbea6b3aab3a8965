"""Tells apart damaged rows, which stay where they are, from mistakes of the program.

A row may hold anything: a restored dump, a failing disk or a hand-made UPDATE may have changed it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import msgspec

from gateway_core import Invalid, Problem
from gateway_core.outboxes import OUTBOX_UNREADABLE, log_event

DAMAGE = (
    ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
    msgspec.DecodeError,
)  # fmt: skip
"""What reading the content of a damaged row may raise."""
FARTHEST = 1e11
"""Seconds: no stored time is farther from 1970 than three thousand years."""
LAST = 1 << 61
"""Positions and sequences come before this number, which leaves space for all that come later."""
MOST = 1 << 31
"""No stored count reaches this number."""
TOLD = 1_000
"""Damaged rows that are reported, each once, within `AGAIN` seconds."""
AGAIN = 3_600.0


class Reports:
    """Decides which damaged rows are reported, since a row may be read again and again."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._since = -math.inf

    def is_due(self, name: str, why: str, now: float) -> bool:
        """Whether to report the row, which then counts as reported. `now`: seconds, any clock."""
        if len(self._told) >= TOLD and now - self._since >= AGAIN:
            self._told.clear()
        if not self._told:
            self._since = now
        if (name, why) in self._told or len(self._told) >= TOLD:
            return False
        self._told.add((name, why))
        return True


def damaged(why: object) -> Invalid:
    """The error for a damaged row. An exception that may quote the row is named by its kind."""
    quoted = isinstance(why, Exception) and not isinstance(why, msgspec.DecodeError)
    return Invalid([Problem("", f"the row is damaged ({type(why).__name__ if quoted else why})")])


def unquoted(error: Exception) -> str:
    """Why a row cannot be read, without any of its content, which a log must not show."""
    places = [problem.place for problem in getattr(error, "problems", ()) if problem.place]
    return f"the row is damaged (in {', '.join(places)})" if places else str(error)


_REPORTS = Reports()


def unreadable(envelope_id: str, error: Exception) -> None:
    """Log once that this release cannot read a row, which stays where it is."""
    why = unquoted(error)
    if _REPORTS.is_due(envelope_id, why, monotonic()):
        log_event(OUTBOX_UNREADABLE, envelope=envelope_id, error=why)


@contextmanager
def intact() -> Iterator[None]:
    """Raise `Invalid` if the row that is read inside is damaged."""
    try:
        yield
    except DAMAGE as error:
        raise damaged(error) from error


def check_times(*times: float | None) -> None:
    """Raise `ValueError` if one of these is not a time, such as NaN or infinity; None is one."""
    if not are_times(*times):
        raise ValueError(times)


def are_times(*times: float | None) -> bool:
    """Whether all of these are times; None is one."""
    return all(at is None or -FARTHEST <= at <= FARTHEST for at in times)


def check_places(*places: int | None) -> None:
    """Raise `ValueError` if one of these is no position or sequence; None is one."""
    for place in places:
        if place is not None and place >= LAST:
            raise ValueError(place)


def check_counts(*counts: int) -> None:
    """Raise `ValueError` if one of these is no count."""
    for count in counts:
        if not 0 <= count < MOST:
            raise ValueError(count)
