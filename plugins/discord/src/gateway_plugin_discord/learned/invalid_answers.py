"""Counts answers for which Discord would block the IP address. Synchronous; time is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import attrs
import structlog
import trio

from gateway_core.authors import GatewayError

WINDOW = 600.0
"""Seconds in which invalid answers count (discord.com/developers/docs/topics/rate-limits)."""

INVALID = frozenset({401, 403, 429})
WARN_AT = 0.5
STOP_AT = 0.8

_log = structlog.get_logger("gateway_plugin_discord")
_of_addresses: trio.lowlevel.RunVar[dict[str, deque[float]]] = trio.lowlevel.RunVar("times")


def times_of(base_url: str) -> deque[float]:
    """The times of the invalid answers from there, which all sessions of the process share.

    Discord counts by the IP address that requests come from, so every session, also one that is
    opened later, counts together with the others.
    """
    known = _of_addresses.get({})
    if base_url not in known:
        _of_addresses.set(known := {**known, base_url: deque()})
    return known[base_url]


class InvalidAnswersError(GatewayError):
    """Too many invalid answers: the session makes no request for `retry_after` seconds.

    Discord's front door blocks an IP address after 10,000 of them in 10 minutes. The request of
    this attempt was not sent.
    """

    def __init__(self, *, count: int, retry_after: float) -> None:
        self.count = count
        self.retry_after = retry_after
        super().__init__(count, retry_after)

    def __str__(self) -> str:
        return (
            f"{self.count} answers of 401, 403 or 429 in 10 minutes: the gateway sends nothing for"
            f" {self.retry_after:.0f} s, so that Discord does not block this address"
        )


@attrs.define(eq=False)
class InvalidAnswers:
    """The invalid answers of one IP address, against Discord's `limit` in any ten minutes.

    Invariant: `times` is never longer than the highest limit plus the requests in flight, since
    requests stop before the limit.
    """

    limit: int
    instance_id: str
    _times: deque[float] = attrs.field(factory=deque)
    _warned: bool = attrs.field(default=False, init=False)

    def count(self, now: float) -> int:
        """How many invalid answers there were in the window that ends now."""
        while self._times and self._times[0] <= now - WINDOW:
            self._times.popleft()
        return len(self._times)

    def check(self, now: float) -> None:
        """Raise InvalidAnswersError while there are too many to make another request."""
        count = self.count(now)
        if count >= self.limit * STOP_AT:
            raise InvalidAnswersError(count=count, retry_after=self._times[0] + WINDOW - now)

    def note(self, status: int, headers: Mapping[str, str], now: float) -> None:
        """Count an answer if it is invalid; a 429 of a shared limit is not."""
        if status not in INVALID or headers.get("x-ratelimit-scope", "").lower() == "shared":
            return
        self._times.append(now)
        high = self.count(now) >= self.limit * WARN_AT
        if high and not self._warned:
            _log.warning(
                "discord.invalid_answers_high",
                instance=self.instance_id,
                count=len(self._times),
                limit=self.limit,
                window=WINDOW,
            )
        self._warned = high
