"""What slow mode asks of each channel, learned from refusals. Synchronous: the time comes in.

Discord does not tell a channel's slow mode before it refuses a message (20016), and then how long
the present one still has to wait. What follows waits as long from the start, and is asked too early
again once in a while: slow mode may have been taken away.
"""

from __future__ import annotations

import math

import attrs

BELIEVED = 600.0
"""Seconds for which a slow mode is believed at first; twice as long after each refusal."""

LONGEST = 86_400.0
MOST = 10_000
"""Channels that are remembered: the one refused longest ago is forgotten beyond."""


@attrs.define
class _Mode:
    """So many seconds between messages: believed until a moment, and for how long until then."""

    seconds: float
    until: float
    span: float


@attrs.define(eq=False)
class SlowModes:
    """The slow modes of a session's channels. A channel that was never refused has none."""

    _modes: dict[str, _Mode] = attrs.field(factory=dict, init=False)
    _sent: dict[str, float] = attrs.field(factory=dict, init=False)

    def refused(self, channel: str, wait: float | None, now: float) -> None:
        """A message came too early: by `wait` seconds, which began with the one before it."""
        if wait is None:
            return
        known = self._modes.pop(channel, None)
        seconds = _whole(max(wait, now + wait - self._sent.get(channel, now)))
        span = BELIEVED if known is None else min(2.0 * known.span, LONGEST)
        self._modes[channel] = _Mode(seconds, now + span, span)
        if len(self._modes) > MOST:
            oldest = next(iter(self._modes))
            del self._modes[oldest]
            self._sent.pop(oldest, None)

    def sent(self, channel: str, now: float) -> float | None:
        """A message is there: how many seconds the next one has to wait; None: none for this.

        Where a slow mode was asked too early and nothing was refused, it is gone.
        """
        mode = self._modes.get(channel)
        if mode is None:
            return None
        before = self._sent.get(channel)
        self._sent[channel] = now
        if before is not None and now - before < mode.seconds / 2:
            del self._modes[channel], self._sent[channel]
            return None
        return mode.seconds if now < mode.until else None


def _whole(seconds: float) -> float:
    """Slow modes are whole seconds; what the way there took is no second more."""
    return float(math.ceil(seconds - 0.1))
