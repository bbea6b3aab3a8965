"""Decides which idle connection may carry a request, by what happened on others. Sans-I/O.

If a middlebox forgot a connection, or a platform failed over, nothing shows this until the next
request, whose outcome is then unknown. So the connections from before such a change must not carry
one request after another.
"""

from __future__ import annotations

import math
from typing import Literal

import attrs

RECENT = 1.0
"""Seconds for which an answer counts as proof that its connection works."""
WARY, LONGEST_WARY = 1.0, 600.0
"""Seconds without reuse after a failure on a reused connection, doubled by each failure; the
longest such time."""
SILENT = 5.0
"""Seconds without a byte after which a request that is given up counts as a failure as well."""


@attrs.define(eq=False)
class Usage:
    """What is known about one connection; times are in seconds.

    opened    when the connection was opened
    answered  when it last answered; None: it has carried nothing yet
    asked     when its last request was written, or begun if its body is streamed
    moved     when more of that request's body was last taken
    heard     whether some of the answer to that request has come
    """

    opened: float
    answered: float | None = None
    asked: float = 0.0
    moved: float = 0.0
    heard: bool = False


@attrs.define(eq=False)
class Reuse:
    """Decides which of the idle connections to one origin is reused.

    If no reused connection has answered yet, or none lately, only one at a time is tried. So a
    change on the way costs one request. After a failure on a reused connection, connections that
    were idle at least half as long are not reused for a time. The time doubles while no reused
    connection answers.
    """

    _keepalive: float
    _proven: bool = False  # a reused connection answered, and none has failed since
    _trial: Usage | None = None  # being tried now, without proof
    _seen: tuple[float, float] = (math.inf, -math.inf)  # when one was opened, and when it was alive
    _failures: int = 0
    _failed_at: float = -math.inf
    _wary_until: float = -math.inf
    _wary_of: float = math.inf  # seconds of idleness

    def choose(self, usage: Usage, now: float) -> Literal["take", "leave", "drop"]:
        """Whether the idle connection carries the next request, stays idle, or is closed."""
        assert usage.answered is not None  # noqa: S101 - none is idle before
        idle = now - usage.answered
        if self.is_expired(usage, now) or (now < self._wary_until and idle >= self._wary_of):
            return "drop"
        if self._is_proven(usage, now):
            return "take"
        if self._trial is not None:
            return "leave"
        self._trial = usage
        return "take"

    def is_expired(self, usage: Usage, now: float) -> bool:
        """Whether the connection was idle for too long."""
        return usage.answered is not None and now - usage.answered >= self._keepalive

    def unused(self, usage: Usage) -> None:
        """The connection was chosen, but had ended before."""
        if self._trial is usage:
            self._trial = None

    def _is_proven(self, usage: Usage, now: float) -> bool:
        return self._proven and now - self._alive_at(usage) < RECENT

    def _alive_at(self, usage: Usage) -> float:
        """When the connection, or one that was open when it last answered, was last seen alive."""
        opened, alive_at = self._seen
        answered = usage.answered or 0.0
        return max(answered, alive_at) if opened <= answered else answered

    def ended(self, usage: Usage, now: float, *, broke: bool) -> bool:
        """A request is over; returns whether idle connections may be as dead as this one.

        broke  the connection broke, or was silent for longer than it may be
        """
        self.unused(usage)
        if usage.answered is None:
            return False
        idle = usage.asked - usage.answered
        if usage.heard:
            self._works(usage, idle, now)
            return False
        if not broke and now - max(usage.asked, usage.moved) < SILENT:
            return False
        self._failed(usage, idle, now)
        return True

    def _works(self, usage: Usage, idle: float, now: float) -> None:
        if usage.asked < self._failed_at:
            return  # others failed since: this answer says nothing about later times
        self._proven = True
        if idle >= self._wary_of:
            self._failures, self._wary_of = 0, math.inf
        opened, alive_at = self._seen
        if usage.opened <= opened or now - alive_at >= RECENT:
            self._seen = (usage.opened, usage.asked)

    def _failed(self, usage: Usage, idle: float, now: float) -> None:
        self._proven = False
        wary_of = self._wary_of if now < self._wary_until else math.inf
        self._wary_of = min(wary_of, idle / 2)
        if usage.asked < self._failed_at:
            return  # the request went out together with one that failed
        self._failures += 1
        self._failed_at = now
        self._wary_until = now + min(LONGEST_WARY, WARY * 2.0 ** (self._failures - 1))

    def is_doubtful(self, usage: Usage, failed: Usage) -> bool:
        """Whether an idle connection was not seen alive since the failed one was asked."""
        return self._alive_at(usage) <= failed.asked
