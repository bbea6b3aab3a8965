"""How long to wait before the next attempt. Pure: no clock, no sleeping."""

from __future__ import annotations

from random import Random

import attrs


@attrs.frozen(kw_only=True)
class Backoff:
    """Exponential with full jitter: up to `base * 2 ** (attempt - 1)` seconds, at most `cap`."""

    base: float = attrs.field(default=0.5, validator=attrs.validators.gt(0))
    cap: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))

    def ceiling(self, attempt: int) -> float:
        """The longest wait after `attempt` failed tries, in seconds."""
        return min(self.cap, self.base * 2.0 ** min(attempt - 1, 62))

    def delay(self, attempt: int, *, rng: Random) -> float:
        """A wait drawn evenly from zero to the ceiling, in seconds."""
        return rng.random() * self.ceiling(attempt)
