"""Enforces Slack's limits, and counts how far they are used up (docs.slack.dev, rate limits)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import attrs

TOLERANCE = 0.001
"""Seconds by which a comparison errs in the client's favour."""

POST = "chat.postMessage"
WEBHOOK = "incoming-webhook"
"""Like `POST`, limited per room or webhook, and not per workspace."""

_MINUTE = 60.0
_TIERS = {2: (20, _MINUTE), 3: (50, _MINUTE), 4: (100, _MINUTE), 5: (600, _MINUTE)}


def _tiers() -> Mapping[str, tuple[int, float]]:
    tiers = {
        "assistant.threads.setStatus": 5,
        "chat.appendStream": 4,
        "chat.delete": 3,
        "chat.postEphemeral": 4,
        "chat.startStream": 2,
        "chat.stopStream": 2,
        "chat.update": 3,
        "conversations.info": 3,
        "conversations.open": 3,
        "files.completeUploadExternal": 4,
        "files.delete": 3,
        "files.getUploadURLExternal": 4,
        "files.info": 4,
        "pins.add": 2,
        "pins.remove": 2,
        "reactions.add": 3,
        "reactions.remove": 2,
        "users.info": 4,
        "views.open": 4,
    }
    return {method: _TIERS[tier] for method, tier in tiers.items()}


@attrs.frozen(kw_only=True)
class SlackLimits:
    """Numbers and sizes.

    posts          chat.postMessage in one channel: how many in how many seconds
    webhooks       posts to one incoming webhook: how many in how many seconds
    tiers          any other method in one workspace: how many calls in how many seconds
    stream_seconds seconds after which a stream ends by itself
    share_seconds  seconds from a file's completion until the file is shared; infinity: never.
                   Documented nowhere
    file_bytes     most bytes of a file; documented nowhere
    response_uses  how often a response_url can be used
    response_seconds  for how many seconds a response_url can be used
    text_cut       characters above which a post's text is cut, with a warning
    update_bytes   UTF-8 bytes above which chat.update refuses a text
    markdown_text  most characters of a `markdown_text`, and of one call of a stream
    """

    posts: tuple[int, float] = (1, 1.0)
    webhooks: tuple[int, float] = (1, 1.0)
    tiers: Mapping[str, tuple[int, float]] = attrs.field(factory=_tiers)
    text_cut: int = 40_000
    update_bytes: int = 4_000
    markdown_text: int = 12_000
    stream_seconds: float = 300.0
    share_seconds: float = 1.0
    file_bytes: int = 1024 * 1024 * 1024
    response_uses: int = 5
    response_seconds: float = 1_800.0


class Allowance:
    """The recently accepted requests, by method and by channel or workspace."""

    def __init__(self, limits: SlackLimits) -> None:
        self._limits = limits
        self._accepted: dict[tuple[str, str], deque[float]] = {}

    def wait(self, method: str, room: str, now: float) -> int:
        """Whole seconds until the method is allowed there; 0: now."""
        limit, accepted = self._limit(method), self._of(method, room)
        if limit is None or len(accepted) < limit[0]:
            return 0
        left = accepted[-limit[0]] + limit[1] - now
        return math.ceil(left) if left > TOLERANCE else 0

    def take(self, method: str, room: str, now: float) -> None:
        """Note an accepted request."""
        limit, accepted = self._limit(method), self._of(method, room)
        if limit is not None:
            accepted.append(now)
            while len(accepted) > limit[0]:
                accepted.popleft()

    def _limit(self, method: str) -> tuple[int, float] | None:
        if method == POST:
            return self._limits.posts
        return self._limits.webhooks if method == WEBHOOK else self._limits.tiers.get(method)

    def _of(self, method: str, room: str) -> deque[float]:
        scope = room if method in (POST, WEBHOOK) else ""
        return self._accepted.setdefault((method, scope), deque())
