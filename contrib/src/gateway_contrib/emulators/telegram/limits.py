"""Telegram's limits: how often a bot may write to one chat, to one group, and in all."""

from __future__ import annotations

import math
from collections import defaultdict, deque

import attrs

TOLERANCE = 0.001
"""Seconds by which a client may be early."""


@attrs.frozen(kw_only=True)
class TelegramLimits:
    """What the server allows each bot (core.telegram.org/bots/faq).

    chat_seconds   seconds between two accepted writes to one chat
    group_count    writes that a group takes in any `group_seconds`
    bot_count      requests that the bot may make at once; as many more per `bot_seconds`
    draft_seconds  seconds between two drafts in one chat; documented nowhere, so an assumption.
                   Drafts draw on nothing else
    draft_flood    the least whole seconds for which an early draft closes its chat to drafts and
                   edits; documented nowhere
    bot_slides     in any `bot_seconds` no more than `bot_count`, instead: Telegram does not say
    """

    chat_seconds: float = 1.0
    group_count: int = 20
    group_seconds: float = 60.0
    bot_count: int = 30
    bot_seconds: float = 1.0
    draft_seconds: float = 1.0
    draft_flood: int = 1
    bot_slides: bool = False


@attrs.define(eq=False)
class Allowance:
    """The state of one bot's limits. What is refused draws nothing."""

    limits: TelegramLimits
    _last: dict[str, float] = attrs.field(factory=dict)
    _windows: defaultdict[str, deque[float]] = attrs.field(factory=lambda: defaultdict(deque))
    _tokens: float = attrs.field(
        default=attrs.Factory(lambda self: float(self.limits.bot_count), takes_self=True)
    )
    _filled_at: float = -math.inf
    _recent: deque[float] = attrs.field(factory=deque)
    _drafted: dict[str, float] = attrs.field(factory=dict)
    _flooded: dict[str, float] = attrs.field(factory=dict)

    def take(self, room: str | None, now: float) -> float:
        """0 when the request is allowed, and it is counted; else the seconds to wait.

        `room` is None for a request that draws on the bot's allowance only.
        """
        self._fill(now)
        wait = max(self._bot_wait(now), 0.0 if room is None else self._room_wait(room, now))
        if wait <= TOLERANCE:
            self._count(room, now)
            return 0.0
        return wait

    def take_draft(self, room: str, now: float) -> float:
        """0 when a draft is allowed, and it is counted; else the seconds to wait."""
        closed = self.flooded(room, now)
        if closed > 0:
            return closed
        wait = self._drafted.get(room, -math.inf) + self.limits.draft_seconds - now
        if wait <= TOLERANCE:
            self._drafted[room] = now
            return 0.0
        asked = max(math.ceil(wait), self.limits.draft_flood)
        self._flooded[room] = now + asked
        return float(asked)

    def flooded(self, room: str, now: float) -> float:
        """Seconds for which an early draft has closed the room to drafts and edits; else 0."""
        wait = self._flooded.get(room, -math.inf) - now
        return wait if wait > TOLERANCE else 0.0

    @property
    def _rate(self) -> float:
        return self.limits.bot_count / self.limits.bot_seconds

    def _fill(self, now: float) -> None:
        grown = self._tokens + (now - self._filled_at) * self._rate
        self._tokens = min(float(self.limits.bot_count), grown)
        self._filled_at = now

    def _bot_wait(self, now: float) -> float:
        if not self.limits.bot_slides:
            return (1.0 - self._tokens) / self._rate
        recent, seconds = self._recent, self.limits.bot_seconds
        while recent and recent[0] + seconds - now <= TOLERANCE:
            recent.popleft()
        return 0.0 if len(recent) < self.limits.bot_count else recent[0] + seconds - now

    def _room_wait(self, room: str, now: float) -> float:
        wait = self._last.get(room, -math.inf) + self.limits.chat_seconds - now
        if not room.startswith("-"):
            return wait
        window = self._windows[room]
        while window and window[0] + self.limits.group_seconds - now <= TOLERANCE:
            window.popleft()
        if len(window) < self.limits.group_count:
            return wait
        return max(wait, window[0] + self.limits.group_seconds - now)

    def _count(self, room: str | None, now: float) -> None:
        self._tokens -= 1.0
        if self.limits.bot_slides:
            self._recent.append(now)
        if room is not None:
            self._last[room] = now
            self._windows[room].append(now)
