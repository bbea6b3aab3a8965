"""Decides which idle connection may carry a request, by what became of others. Sans-I/O.

A middlebox that forgot a connection, or a platform that failed over, says nothing until the next
request: then the outcome of that is unknown. So the connections that went through such a change
must not carry one request after another.
"""

from __future__ import annotations

import math
from typing import Literal

import attrs

RECENT = 1.0
"""Seconds for which an answer counts as proof that its connection is there."""
WARY, LONGEST_WARY = 1.0, 600.0
"""Seconds without reuse after a failure on a reused connection, doubled by each; at most."""
SILENT = 5.0
"""Seconds without a byte after which a request that is given up counts as a failure, too."""


@attrs.define(eq=False)
class Usage:
    """What is known of one connection; times are in seconds.

    answered  it last answered; None: it has carried nothing yet
    asked     its last request was written, or begun where its body is streamed
    moved     more of that body was taken
    heard     something of the answer to that came
    """

    opened: float
    answered: float | None = None
    asked: float = 0.0
    moved: float = 0.0
    heard: bool = False


@attrs.define(eq=False)
class Reuse:
    """Decides it for the connections to one origin.

    Until a reused connection has answered, and where none did of late, one at a time is tried; so a
    change on the way costs one request. A failure on one forbids reuse for a time, of connections
    that were idle at least half as long; the time doubles while no reused one answers.
    """

    _keepalive: float
    _proven: bool = False  # a reused connection answered, and none has failed since
    _trial: Usage | None = None  # tried at this time, without proof
    _seen: tuple[float, float] = (math.inf, -math.inf)  # opened, and at which time it was alive
    _failures: int = 0
    _failed_at: float = -math.inf
    _wary_until: float = -math.inf
    _wary_of: float = math.inf  # seconds of idleness

    def choose(self, usage: Usage, now: float) -> Literal["take", "leave", "drop"]:
        """Whether the idle connection carries the next request, stays idle, or is of no use."""
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
        """Whether it was idle for too long."""
        return usage.answered is not None and now - usage.answered >= self._keepalive

    def unused(self, usage: Usage) -> None:
        """It was chosen, but had ended."""
        if self._trial is usage:
            self._trial = None

    def _is_proven(self, usage: Usage, now: float) -> bool:
        return self._proven and now - self._alive_at(usage) < RECENT

    def _alive_at(self, usage: Usage) -> float:
        """When it answered, or another one did that has been there since before that."""
        opened, alive_at = self._seen
        answered = usage.answered or 0.0
        return max(answered, alive_at) if opened <= answered else answered

    def ended(self, usage: Usage, now: float, *, broke: bool) -> bool:
        """A request is over; true where idle connections may be as dead as this one.

        broke  the connection did, or was silent for longer than it may be
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
            return  # others failed since: it says nothing of what was after
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
            return  # it went out together with one that failed
        self._failures += 1
        self._failed_at = now
        self._wary_until = now + min(LONGEST_WARY, WARY * 2.0 ** (self._failures - 1))

    def is_doubtful(self, usage: Usage, failed: Usage) -> bool:
        """Whether an idle connection was not seen alive since the failed one was asked."""
        return self._alive_at(usage) <= failed.asked
