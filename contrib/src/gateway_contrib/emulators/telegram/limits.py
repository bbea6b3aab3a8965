"""Enforces Telegram's limits: how often a bot may write to one chat, to one group, and in all."""

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
    bot_count      requests that the bot may make at once; it gets as many again per `bot_seconds`
    draft_seconds  seconds between two drafts in one chat; an assumption, since it is documented
                   nowhere. Drafts count for no other limit
    draft_flood    the least whole seconds for which an early draft closes its chat to drafts and
                   edits; documented nowhere
    upload_bytes   most bytes of an uploaded file; 2,000 MB with a local Bot API server
    photo_bytes    most bytes of a file that is sent as a photo
    download_bytes most bytes of a file that a bot may download
    album_each     an album counts once for each of its files; false: once. Documented nowhere
    bot_slides     no more than `bot_count` in any `bot_seconds`; false: as `bot_count` says.
                   Telegram does not say which of the two holds
    """

    chat_seconds: float = 1.0
    group_count: int = 20
    group_seconds: float = 60.0
    bot_count: int = 30
    bot_seconds: float = 1.0
    draft_seconds: float = 1.0
    draft_flood: int = 1
    bot_slides: bool = False
    upload_bytes: int = 50 * 1024 * 1024
    photo_bytes: int = 10 * 1024 * 1024
    download_bytes: int = 20 * 1024 * 1024
    album_each: bool = True


@attrs.define(eq=False)
class Allowance:
    """The state of one bot's limits. A refused request uses up nothing."""

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

    def take(self, room: str | None, now: float, count: int = 1) -> float:
        """0 if the request is allowed, which counts it; else the seconds to wait.

        `room` is None for a request that counts for the bot's allowance only. `count` is the number
        of messages that the request makes at once, all or none.
        """
        self._fill(now)
        wait = self._bot_wait(now, count)
        if room is not None:
            wait = max(wait, self._room_wait(room, now, count))
        if wait <= TOLERANCE:
            self._count(room, now, count)
            return 0.0
        return wait

    def take_draft(self, room: str, now: float) -> float:
        """0 if a draft is allowed, which counts it; else the seconds to wait."""
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

    def _bot_wait(self, now: float, count: int) -> float:
        if not self.limits.bot_slides:
            return (min(count, self.limits.bot_count) - self._tokens) / self._rate
        return _window_wait(
            self._recent, now, self.limits.bot_seconds, self.limits.bot_count - count
        )

    def _room_wait(self, room: str, now: float, count: int) -> float:
        wait = self._last.get(room, -math.inf) + self.limits.chat_seconds - now
        if not room.startswith("-"):
            return wait
        window, left = self._windows[room], self.limits.group_count - count
        return max(wait, _window_wait(window, now, self.limits.group_seconds, left))

    def _count(self, room: str | None, now: float, count: int) -> None:
        self._tokens -= count
        if self.limits.bot_slides:
            self._recent.extend([now] * count)
        if room is not None:
            self._last[room] = now + (count - 1) * self.limits.chat_seconds
            self._windows[room].extend([now] * count)


def _window_wait(window: deque[float], now: float, seconds: float, left: int) -> float:
    """Seconds until a window holds no more than `left`; 0: now. Past entries are removed.

    A request for more than a window ever takes is allowed if the window is empty.
    """
    while window and window[0] + seconds - now <= TOLERANCE:
        window.popleft()
    over = len(window) - max(left, 0)
    return window[over - 1] + seconds - now if over > 0 else 0.0
