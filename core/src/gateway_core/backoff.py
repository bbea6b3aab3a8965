"""Says how long to wait after repeated failures: core's only exponential backoff. Sans-I/O.

Its users have the numbers: `deliveries.retries` between attempts, `ratelimits.circuit` between
probes, `engine.supervisor` between restarts.
"""

from __future__ import annotations

from random import Random

import attrs
from attrs.validators import ge, gt, le

LONGEST_EXPONENT = 200


@attrs.frozen(kw_only=True)
class Backoff:
    """Exponential backoff with jitter.

    A wait has at most `base * growth ** (attempt - 1)` seconds, and at most `cap`.

    jitter  the share of the wait that is random: 1 is full jitter, from zero to the ceiling
    """

    base: float = attrs.field(validator=gt(0))
    cap: float = attrs.field(validator=gt(0))
    jitter: float = attrs.field(default=1.0, validator=[ge(0), le(1)])
    growth: float = attrs.field(default=2.0, validator=gt(1))

    def ceiling(self, attempt: int) -> float:
        """The longest wait after `attempt` failed attempts, in seconds."""
        return min(self.cap, self.base * self.growth ** min(attempt - 1, LONGEST_EXPONENT))

    def delay(self, attempt: int, *, rng: Random) -> float:
        """A random wait, evenly distributed over its range, in seconds."""
        return (1.0 - self.jitter * (1.0 - rng.random())) * self.ceiling(attempt)
