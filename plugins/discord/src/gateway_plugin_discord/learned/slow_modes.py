"""Learns each channel's slow mode from refusals. Synchronous; time is passed in.

Discord does not say that a channel is in slow mode until it refuses a message (20016), and then it
says how long that message must still wait. From then on, messages wait for the slow mode before
they are sent. Once in a while a message is sent early again, since slow mode may have been removed.
"""

from __future__ import annotations

import math

import attrs

BELIEVED = 600.0
"""Seconds for which a learned slow mode is relied on at first; twice as long after each refusal."""

LONGEST = 86_400.0
MOST = 10_000
"""Most channels that are remembered; beyond that, the one refused longest ago is forgotten."""


@attrs.define
class _Mode:
    """`seconds` between messages; relied on until `until`, for `span` seconds altogether."""

    seconds: float
    until: float
    span: float


@attrs.define(eq=False)
class SlowModes:
    """The slow modes of a session's channels. A channel that was never refused has none."""

    _modes: dict[str, _Mode] = attrs.field(factory=dict, init=False)
    _sent: dict[str, float] = attrs.field(factory=dict, init=False)

    def refused(self, channel: str, wait: float | None, now: float) -> None:
        """A message came `wait` seconds too early; slow mode counts from the message before it."""
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
        """A message was sent; returns the seconds that the next one must wait; None: no wait.

        If a message was sent early, and Discord did not refuse it, the slow mode is gone.
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
    """Slow modes are whole seconds; the time that a request took does not add a second."""
    return float(math.ceil(seconds - 0.1))
