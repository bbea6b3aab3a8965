"""Enforces Discord's limits: buckets per route and channel, per bot, and at the front door.

Source: discord.com/developers/docs/topics/rate-limits. Times are passed in.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Mapping

import attrs

from gateway_contrib.emulators.discord.refusals import Refusal

TOLERANCE = 0.001
"""Seconds by which a request may be early."""

INCOMING = "/webhooks/{webhook}/{token}"
"""A part of incoming webhooks' routes; interactions' routes have `{application}` instead."""

VIA = {"Via": "1.1 google"}
"""The header of answers that do not come from the front door, but from behind it."""


def _copied(value: Mapping[str, str]) -> Mapping[str, str]:
    return dict(value)


@attrs.frozen(kw_only=True)
class DiscordLimits:
    """What the emulator allows.

    count, per     requests of one route in one channel, in a window that its first request opens
    webhook_count  like `count` for one incoming webhook, in `webhook_per` seconds
    shared         routes that share a bucket: route -> the route whose bucket it uses, such as
                   `{"PATCH /channels/{channel}/messages/{message}": "POST /channels/…"}`
    global_count   requests of a bot in any `global_per` seconds, not counting interactions
    invalid        how many answers of 401, 403 or 429 in `invalid_per` seconds close the front door
    nonce_for      seconds for which an enforced nonce is remembered ("a few minutes")
    file_bytes     most bytes of one file; Discord documents 20 MiB, but some accounts have 10
    max_files      most files of one message
    reactions      most different emoji on one message; `pins`: most pins in one channel
    max_length     most code points or UTF-16 units of a content, whichever are more;
                   Discord does not say which it counts, so this is the strict reading
    """

    count: int = 5
    per: float = 5.0
    webhook_count: int = 5
    webhook_per: float = 2.0
    shared: Mapping[str, str] = attrs.field(factory=dict, converter=_copied)
    global_count: int = 50
    global_per: float = 1.0
    invalid: int = 10_000
    invalid_per: float = 600.0
    nonce_for: float = 180.0
    reactions: int = 20
    pins: int = 250
    max_length: int = 2000
    file_bytes: int = 20 * 1024 * 1024
    max_files: int = 10


@attrs.define
class _Window:
    opened: float
    used: int
    ends: float


@attrs.frozen(kw_only=True)
class Standing:
    """A bucket's state after a request, as the `X-RateLimit-…` headers report it."""

    bucket: str
    limit: int
    remaining: int
    reset_after: float

    def headers(self, wall: float) -> dict[str, str]:
        """The headers; `wall` is the emulated POSIX time."""
        return {
            "X-RateLimit-Bucket": self.bucket,
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": f"{wall + self.reset_after:.3f}",
            "X-RateLimit-Reset-After": f"{self.reset_after:.3f}",
        }


class Allowance:
    """The state of every bucket of an emulator."""

    def __init__(self, limits: DiscordLimits) -> None:
        self._limits = limits
        self._windows: dict[tuple[str, str], _Window] = {}
        self._recent: dict[str, deque[float]] = {}

    def take(self, route: str, major: str, now: float) -> tuple[bool, Standing]:
        """Take a token if there is one; returns whether there was one, and the bucket's state."""
        window = self._window(route, major, now)
        allowed = window.used < self._allowed(route)[0]
        window.used += allowed
        return allowed, self._standing(route, window, now)

    def exhaust(self, route: str, major: str, now: float, seconds: float) -> Standing:
        """Leave no token in the bucket for `seconds`, as if something else had used them up."""
        window = self._window(route, major, now)
        window.used, window.ends = self._allowed(route)[0], now + seconds
        return self._standing(route, window, now)

    def take_global(self, bot: str, now: float) -> float:
        """Take one of the bot's global tokens; returns 0, or the seconds to wait for a token."""
        recent = self._recent.setdefault(bot, deque())
        while recent and recent[0] <= now - self._limits.global_per + TOLERANCE:
            recent.popleft()
        if len(recent) >= self._limits.global_count:
            return recent[0] + self._limits.global_per - now
        recent.append(now)
        return 0.0

    def give_back_global(self, bot: str) -> None:
        """Give back the last token that was taken, since the route's own bucket refused."""
        self._recent[bot].pop()

    def _window(self, route: str, major: str, now: float) -> _Window:
        key = (self._limits.shared.get(route, route), major)
        window = self._windows.get(key)
        if window is None or window.ends <= now + TOLERANCE:
            window = self._windows[key] = _Window(now, 0, now + self._allowed(route)[1])
        return window

    def _allowed(self, route: str) -> tuple[int, float]:
        """How many requests are allowed in how many seconds."""
        if INCOMING in route:
            return self._limits.webhook_count, self._limits.webhook_per
        return self._limits.count, self._limits.per

    def _standing(self, route: str, window: _Window, now: float) -> Standing:
        return Standing(
            bucket=bucket_hash(self._limits.shared.get(route, route)),
            limit=self._allowed(route)[0],
            remaining=self._allowed(route)[0] - window.used,
            reset_after=max(0.0, window.ends - now),
        )


def bucket_hash(route: str) -> str:
    """The name of a route's bucket, as opaque as Discord's."""
    return hashlib.blake2b(route.encode(), digest_size=16).hexdigest()


def limited(wait: float, *, scope: str, headers: Mapping[str, str]) -> Refusal:
    """The 429 of a limit of scope `user`, `shared` or `global`."""
    wait = math.ceil(wait * 1000) / 1000
    whole = {"Retry-After": str(math.ceil(wait)), "X-RateLimit-Scope": scope, **headers}
    if scope == "global":
        whole["X-RateLimit-Global"] = "true"
    body = {
        "message": "You are being rate limited.",
        "retry_after": wait,
        "global": scope == "global",
    }
    return Refusal(429, body, whole)


class FrontDoor:
    """Counts invalid answers to the only client address, and closes if there are too many."""

    def __init__(self, limits: DiscordLimits) -> None:
        self._limits = limits
        self._times: deque[float] = deque()
        self._closed_until = 0.0

    def closed_for(self, now: float) -> float:
        """Seconds for which the front door is still closed."""
        return max(0.0, self._closed_until - now)

    def note(self, status: int, scope: str | None, now: float) -> None:
        """Count an answer if it is invalid."""
        if status not in (401, 403, 429) or scope == "shared":
            return
        self._times.append(now)
        while self._times[0] <= now - self._limits.invalid_per:
            self._times.popleft()
        if len(self._times) >= self._limits.invalid:
            self._closed_until = now + self._limits.invalid_per
