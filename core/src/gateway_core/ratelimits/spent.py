"""The tokens that a window has spent, and when each comes back. Sans-I/O."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable

import attrs

MOST = 1_000
"""Times that a window tells apart; beyond, tokens come back in steps of a thousandth of it."""


def name_of(bucket: str) -> str:
    """A bucket's name as it is stored: a digest, since the name may tell a room."""
    return hashlib.blake2b(bucket.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


@attrs.frozen(kw_only=True)
class Standing:
    """What is spent of a bucket as its account is released; in seconds from then.

    names   digests of the names by which it is asked for
    back    when tokens come back, and how many
    closed  how long it is closed
    tick    how long until its next tick, if it has an even pace
    count   how many tokens its window has, as the platform reports; 0: as configured
    """

    names: tuple[str, ...]
    back: tuple[tuple[float, int], ...] = ()
    closed: float = 0.0
    tick: float = 0.0
    count: int = 0

    def left_after(self, seconds: float) -> Standing | None:
        """The same, so many seconds later; None: nothing of it matters any more."""
        back = tuple((at - seconds, count) for at, count in self.back if at > seconds)
        closed, tick = max(0.0, self.closed - seconds), max(0.0, self.tick - seconds)
        if not back and not closed and not tick:
            return None
        return attrs.evolve(self, back=back, closed=closed, tick=tick)


class Spent:
    """When tokens come back, in order; those that do at one time take the place of one.

    So a window of millions takes no more memory than one of a thousand, however many of them the
    platform reports as used.

    """

    __slots__ = ("_at", "_counts", "_step", "_total")

    def __init__(self, per: int) -> None:
        self._step = per // MOST  # never 0: no limit's window is below a millisecond
        self._total = 0
        # Lists, although the first go first: an empty deque takes ten times as much.
        self._at: list[int] = []
        self._counts: list[int] = []

    def __len__(self) -> int:
        return self._total

    @property
    def last(self) -> int:
        """When the last one comes back; 0: none is spent."""
        return self._at[-1] if self._at else 0

    def append(self, at: int, count: int = 1) -> None:
        """So many come back then, or with the last one, if that comes back later."""
        times = self._at
        if len(times) >= MOST:
            at += -at % self._step
        if times and at <= times[-1]:
            self._counts[-1] += count
        else:
            times.append(at)
            self._counts.append(count)
        self._total += count

    def pop(self) -> None:
        """The last one was not spent after all."""
        self._total -= 1
        self._counts[-1] -= 1
        if not self._counts[-1]:
            self._at.pop()
            self._counts.pop()

    def clear(self) -> None:
        """All of them are back."""
        self._at.clear()
        self._counts.clear()
        self._total = 0

    def left(self, now: int) -> int:
        """Forget those that are back by now; how many are not."""
        times = self._at
        if times and times[0] <= now:
            back = bisect_right(times, now)
            self._total -= sum(self._counts[:back])
            del times[:back], self._counts[:back]
        return self._total

    def after(self, until: int) -> int:
        """How many come back after that time."""
        return sum(self._counts[bisect_right(self._at, until) :])

    def when(self, count: int) -> int:
        """When so many more of them are back, at least one; 0: there are not so many."""
        for at, here in zip(self._at, self._counts, strict=True):
            count -= here
            if count <= 0:
                return at
        return 0

    def runs(self) -> list[tuple[int, int]]:
        """The times, each with how many come back then."""
        return list(zip(self._at, self._counts, strict=True))

    def replace(self, runs: Iterable[tuple[int, int]], per: int) -> None:
        """These are spent, and no others, of a window of so many nanoseconds."""
        found = sorted(runs)
        self.clear()
        self._step = per // MOST
        for at, count in found:
            self.append(at, count)
