"""How much of a limit is used after refusals that nobody foresaw: halved, and soon back. Sans-I/O.

As congestion control does: a refusal halves the pace, at most once for all attempts that were under
way, and each answer lets it grow, so that it is back within seconds once the platform takes more.
Where the same pace is refused again and again, the limit is lower than documented: the pace then
stays a little below, and asks for more ever more rarely.
"""

from __future__ import annotations

import attrs

from gateway_core.clock import SECOND

FLOOR = 0.125
"""The least share of its limit that a bucket uses: what tries it is then no burden."""
GROWTH = 1.5
"""Seconds of answers at the full pace in which the whole of it would grow."""
MOST_GROWTH = 0.25
"""The share that one answer lets it grow at the most, where a window has few."""
ALIKE = 0.75
"""Refusals of paces that are alike within this share are refusals of the same pace."""
PROVEN = 3
"""After so many refusals of the same pace in a row, the limit is taken to be below it."""
WORKED = 4
"""A pace was tried if so many attempts were answered since the last refusal."""
BELOW = 0.9
"""The share of the refused pace that is then used."""
SHORTEST_HOLD, LONGEST_HOLD = 10 * SECOND, 300 * SECOND
"""How long it is, at first and at the most, before more is asked for again: doubled each time."""

SETTLES = SECOND
"""Refusals within so long after one have the same reason: what was sent before it still counts."""
REMEMBERED = 120 * SECOND
"""After so long without a refusal, all that was learned is forgotten, beyond the time of a hold."""


@attrs.define(eq=False)
class Pace:
    """The pace of one bucket, as long as it is not the limit's own.

    share    of the limit's own pace that is used now
    growth   what one answer adds to it
    ceiling  it grows no further until `held_until`
    """

    growth: float
    share: float = 1.0
    ceiling: float = 1.0
    held_until: int = 0
    _hold: int = 0
    _refused: float = 0.0
    _refused_at: int = 0
    _alike: int = 0
    _answers: int = 0
    _earlier: int = 0  # attempts under way that began at the pace before
    _was_earlier: bool = False

    def answered(self, now: int) -> None:
        """An attempt is over; if it was refused, `refuse` follows."""
        self._was_earlier = self._earlier > 0
        self._earlier -= self._was_earlier
        self._answers += 1
        if not self._was_earlier:
            most = self.ceiling if now < self.held_until else 1.0
            self.share = max(self.share, min(most, self.share + self.growth))

    def refuse(self, in_flight: int, now: int) -> None:
        """The platform refused an attempt, with so many others under way."""
        if self._was_earlier or (self._alike and now - self._refused_at < SETTLES):
            return
        if self._answers > WORKED or not self._alike:  # the refusal counts as one itself
            self._learn(now)
        self._answers, self._refused_at, self._earlier = 0, now, in_flight
        self.share = max(FLOOR, self.share / 2)

    def _learn(self, now: int) -> None:
        """The pace had worked for a while: perhaps the limit is always below it."""
        alike = ALIKE * self.share <= self._refused <= self.share / ALIKE
        self._alike = self._alike + 1 if alike else 1
        self._refused = self.share
        if self._alike >= PROVEN:
            self._hold = min(LONGEST_HOLD, max(SHORTEST_HOLD, 2 * self._hold))
            self.ceiling, self.held_until = max(FLOOR, BELOW * self.share), now + self._hold

    def is_over(self, now: int) -> bool:
        """Whether it is the limit's own again, with nothing learned that still counts."""
        return self.share >= 1.0 and self.is_old(now)

    def is_old(self, now: int) -> bool:
        """Whether the last refusal is so long ago that nothing follows from it any more."""
        return now - max(self._refused_at, self.held_until) >= REMEMBERED


def growth_of(count: int, per: float) -> float:
    """What an answer adds to the share of a limit of so many in so many seconds."""
    return min(MOST_GROWTH, per / (count * GROWTH))
