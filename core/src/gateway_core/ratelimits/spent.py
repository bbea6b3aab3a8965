"""Records the tokens that a window has spent, and when each comes back. Sans-I/O."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable

import attrs

MOST = 1_000
"""How many times a window tells apart; with more, they are rounded to a thousandth of it."""


def name_of(bucket: str) -> str:
    """A bucket's name as it is stored: a digest, since the name may tell a room."""
    return hashlib.blake2b(bucket.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


@attrs.frozen(kw_only=True)
class Standing:
    """How much of a bucket is spent when its account is released; times are seconds from then.

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
        """The standing so many seconds later; None: nothing of it matters any more."""
        back = tuple((at - seconds, count) for at, count in self.back if at > seconds)
        closed, tick = max(0.0, self.closed - seconds), max(0.0, self.tick - seconds)
        if not back and not closed and not tick:
            return None
        return attrs.evolve(self, back=back, closed=closed, tick=tick)


class Spent:
    """The times at which tokens come back, in order; tokens of one time share one entry.

    So a window of millions takes no more memory than one of a thousand, however many tokens the
    platform reports as used.
    """

    __slots__ = ("_at", "_counts", "_step", "_total")

    def __init__(self, per: int) -> None:
        self._step = per // MOST  # never 0: no limit's window is below a millisecond
        self._total = 0
        # Lists, although entries leave at the front: an empty deque takes ten times the memory.
        self._at: list[int] = []
        self._counts: list[int] = []

    def __len__(self) -> int:
        return self._total

    @property
    def last(self) -> int:
        """When the last token comes back; 0: none is spent."""
        return self._at[-1] if self._at else 0

    def append(self, at: int, count: int = 1) -> None:
        """`count` tokens come back at `at`, or with the last one, if that comes back later."""
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
        """Take the last token off: it was not spent after all."""
        self._total -= 1
        self._counts[-1] -= 1
        if not self._counts[-1]:
            self._at.pop()
            self._counts.pop()

    def clear(self) -> None:
        """All tokens are back."""
        self._at.clear()
        self._counts.clear()
        self._total = 0

    def left(self, now: int) -> int:
        """Forget tokens that are back by now; return how many are not."""
        times = self._at
        if times and times[0] <= now:
            back = bisect_right(times, now)
            self._total -= sum(self._counts[:back])
            del times[:back], self._counts[:back]
        return self._total

    def after(self, until: int) -> int:
        """How many tokens come back after `until`."""
        return sum(self._counts[bisect_right(self._at, until) :])

    def when(self, count: int) -> int:
        """When `count` more tokens are back, at least one; 0: there are not so many."""
        for at, here in zip(self._at, self._counts, strict=True):
            count -= here
            if count <= 0:
                return at
        return 0

    def runs(self) -> list[tuple[int, int]]:
        """The times, each with the number of tokens that come back then."""
        return list(zip(self._at, self._counts, strict=True))

    def replace(self, runs: Iterable[tuple[int, int]], per: int) -> None:
        """Let exactly these tokens be spent, in a window of `per` nanoseconds."""
        found = sorted(runs)
        self.clear()
        self._step = per // MOST
        for at, count in found:
            self.append(at, count)
