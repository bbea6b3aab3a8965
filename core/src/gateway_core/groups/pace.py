"""Computes how long a group takes by the limits that its adapter knows. Sans-I/O.

Other traffic, and refusals by the platform, can only make it longer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from gateway_core.contract.hookspecs import Limit

FEWEST, MOST = 2, 32
"""Members that wait for the account's limits at once, at least and at most."""
AHEAD = 0.1
"""Seconds of sending that are kept ready, since it may take so long to feed the next member."""


@attrs.frozen
class Pace:
    """The limit that decides how long a group takes.

    bucket  its name; empty: no limit is known that all rooms share
    count   how many attempts in `per` seconds; 0: any number
    even    whether they begin evenly, and not `count` of them at once
    """

    bucket: str = ""
    count: int = 0
    per: float = 1.0
    even: bool = True

    @property
    def rate(self) -> float:
        """Attempts per second; infinite: nothing bounds them."""
        return self.count / self.per if self.count else math.inf

    def seconds(self, attempts: int) -> float:
        """Seconds from the start of the first of so many attempts to the start of the last."""
        if not self.count or not attempts:
            return 0.0
        if self.even:
            return (attempts - 1) * self.per / self.count
        return (attempts - 1) // self.count * self.per

    @property
    def ready(self) -> int:
        """How many members shall wait for the account's limits, so that no slot is missed."""
        if not self.count:
            return MOST
        return max(FEWEST, min(MOST, math.ceil(self.rate * AHEAD)))

    @property
    def look(self) -> float:
        """Seconds after which the members that were ready should have begun."""
        return max(0.05, min(1.0, self.ready / self.rate))


def pace_of(limits: Sequence[Limit], elsewhere: Sequence[Limit] | None) -> Pace:
    """The slowest of the limits that all rooms share.

    elsewhere  the limits of the same operation in another room: a bucket that is in both is the
               account's. None: there is no other room
    """
    wide = None if elsewhere is None else {limit.bucket for limit in elsewhere}
    shared = [
        limit for limit in limits if (limit.of != "room" if wide is None else limit.bucket in wide)
    ]
    return min(map(_pace, shared), key=lambda pace: pace.rate, default=Pace())


def _pace(limit: Limit) -> Pace:
    even = limit.pace == "even"
    count = limit.count if limit.most is None or not even else min(limit.count, limit.most)
    return Pace(limit.bucket, count, limit.per, even)
