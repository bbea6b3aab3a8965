"""Decides how much of a limit to use after unforeseen refusals: half, and soon all. Sans-I/O.

This works as congestion control does. A refusal halves the pace, at most once for all attempts that
were under way. Each answer lets the pace grow, so that it is back within seconds once the platform
takes more. If the same pace is refused again and again, the limit is lower than documented: the
pace then stays a little below it, and a higher pace is tried ever more rarely.
"""

from __future__ import annotations

import attrs

from gateway_core.clock import SECOND

FLOOR = 0.125
"""The least share of its limit that a bucket uses: attempts at this pace are no burden."""
GROWTH = 1.5
"""Seconds of answers at the full pace in which the share would grow from 0 to 1."""
MOST_GROWTH = 0.25
"""How much one answer adds to the share at the most, if a window has few tokens."""
ALIKE = 0.75
"""Refusals of paces that are alike within this share are refusals of the same pace."""
PROVEN = 3
"""After so many refusals of the same pace in a row, the limit is taken to be below it."""
WORKED = 4
"""A pace was tried if so many attempts were answered since the last refusal."""
BELOW = 0.9
"""The share of the refused pace that is then used."""
SHORTEST_HOLD, LONGEST_HOLD = 10 * SECOND, 300 * SECOND
"""How long, at first and at the most, until a higher pace is tried again; doubled each time."""

SETTLES = SECOND
"""Refusals within so long after a refusal have its reason: earlier attempts still count there."""
REMEMBERED = 120 * SECOND
"""So long after the last refusal, and after a hold, all that was learned is forgotten."""


@attrs.define(eq=False)
class Pace:
    """The pace of one bucket, as long as it is not the limit's own.

    share    the share of the limit's own pace that is used now
    growth   what one answer adds to `share`
    ceiling  `share` grows no further than this until `held_until`
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
    _earlier: int = 0  # attempts under way that began at the previous pace
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
        """The platform refused an attempt while `in_flight` others were under way."""
        if self._was_earlier or (self._alike and now - self._refused_at < SETTLES):
            return
        if self._answers > WORKED or not self._alike:  # the refusal counts as one itself
            self._learn(now)
        self._answers, self._refused_at, self._earlier = 0, now, in_flight
        self.share = max(FLOOR, self.share / 2)

    def _learn(self, now: int) -> None:
        """The pace had worked for a while: learn whether the limit is always below it."""
        alike = ALIKE * self.share <= self._refused <= self.share / ALIKE
        self._alike = self._alike + 1 if alike else 1
        self._refused = self.share
        if self._alike >= PROVEN:
            self._hold = min(LONGEST_HOLD, max(SHORTEST_HOLD, 2 * self._hold))
            self.ceiling, self.held_until = max(FLOOR, BELOW * self.share), now + self._hold

    def is_over(self, now: int) -> bool:
        """Whether the pace is the limit's own again, and nothing learned still counts."""
        return self.share >= 1.0 and self.is_old(now)

    def is_old(self, now: int) -> bool:
        """Whether the last refusal is so long ago that nothing follows from it any more."""
        return now - max(self._refused_at, self.held_until) >= REMEMBERED


def growth_of(count: int, per: float) -> float:
    """What an answer adds to the share, for a limit of `count` in `per` seconds."""
    return min(MOST_GROWTH, per / (count * GROWTH))
