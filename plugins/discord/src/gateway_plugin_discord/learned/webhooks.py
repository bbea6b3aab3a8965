"""Stores what the buckets of webhooks and interactions have left. Synchronous; time is passed in.

Each webhook's token has limits of its own, which count neither for the room nor for the bot
(discord.com/developers/docs/topics/rate-limits), so no limit of the gateway can name them before a
call is made. Instead, the session remembers what their headers say, and makes no request that
Discord would refuse.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from gateway_core.authors import Attempt, GatewayError
from gateway_core.http import retry_after_seconds
from gateway_plugin_discord.limits import count_in
from gateway_plugin_discord.methods import Route

_Key = tuple[str, str, str]
"""A bucket's name, or its route until Discord names the bucket; the webhook; its token."""

MOST = 10_000
"""Most buckets that are remembered; beyond that, those that refill soonest are forgotten."""
MOST_NAMES = 1_000
"""Most methods whose bucket's name is remembered; there are few, unless methods contain ids."""


class BucketSpentError(GatewayError):
    """The webhook's bucket is empty for `retry_after` seconds; no request was made."""

    def __init__(self, *, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(retry_after)

    def __str__(self) -> str:
        return f"the webhook's bucket is empty for {self.retry_after:.3f} s"


@attrs.define
class _Standing:
    remaining: int
    fresh_at: float


@attrs.define(eq=False)
class WebhookBuckets:
    """What the buckets of a session's webhooks have left. An unknown bucket counts as full."""

    _names: dict[str, str] = attrs.field(factory=dict, init=False)
    _standing: dict[_Key, _Standing] = attrs.field(factory=dict, init=False)

    def take(self, route: Route, attempt: Attempt, now: float) -> None:
        """Take one request from the bucket. Raises BucketSpentError if none is left."""
        if not self._standing:
            return
        standing = self._standing.get(self._key(route, attempt))
        if standing is None or standing.fresh_at <= now:
            return
        if standing.remaining <= 0:
            raise BucketSpentError(retry_after=standing.fresh_at - now)
        standing.remaining -= 1

    def learn(self, route: Route, attempt: Attempt, headers: Mapping[str, str], now: float) -> None:
        """Remember what the headers of an answer or a refusal say of the bucket."""
        if not route.of_webhook:
            return
        remaining = count_in(headers, "remaining")
        reset = retry_after_seconds(headers.get("x-ratelimit-reset-after"))
        if remaining is None or reset is None:
            return
        name = headers.get("x-ratelimit-bucket")
        if name:
            if len(self._names) >= MOST_NAMES:
                self._names.clear()
            self._names[route.method] = name
        self._forget(now)
        self._standing[self._key(route, attempt)] = _Standing(remaining, now + reset)

    def _forget(self, now: float) -> None:
        """Forget refilled buckets, then those that refill soonest; called before one is added."""
        if len(self._standing) < MOST:
            return
        known = {key: one for key, one in self._standing.items() if one.fresh_at > now}
        soonest = sorted(known, key=lambda key: known[key].fresh_at)
        for key in soonest[: len(known) - MOST // 2]:
            del known[key]
        self._standing = known

    def _key(self, route: Route, attempt: Attempt) -> _Key:
        given = attempt.arguments
        name = self._names.get(route.method, route.method)
        return name, str(given.get("webhook")), str(given.get("token"))
