"""Says from which limits an attempt takes tokens, and reads limits in headers. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from gateway_core.authors import Attempt, BucketReport, Limit
from gateway_core.http import retry_after_seconds
from gateway_plugin_discord.ids import channel_of
from gateway_plugin_discord.methods import Route, route_of
from gateway_plugin_discord.settings import DiscordSettings

OF_TOKEN = Limit("answers", 5, 5.0, "window", of="interaction")
"""The limit of messages and edits by an interaction's token. Discord documents no number; this one
is an assumption, like that of the channels' routes. What Discord's headers say of the token's
buckets applies as well."""
LONGEST_BUCKET = 256
"""Most characters of a bucket's name in a header; Discord's own names are much shorter."""


def limits_of(settings: DiscordSettings, channel: str, operation: str) -> list[Limit]:
    """The bot's global limit, and the route's limit in the channel until Discord names its bucket.

    The first request of a route goes alone: the headers of its answer name the bucket. A limit that
    is configured for the room itself applies as well as what Discord says.

    A call that shows typing has no limit; the gateway's own sign of typing is shown only if the
    global limit has tokens to spare. Interactions and webhooks have no global limit. Answers to an
    interaction have only the limit of its token. If the account is a webhook, it has one limit.
    """
    if settings.webhook_url is not None:
        return [Limit("webhook", settings.message_count, settings.message_per, "window")]
    if operation == "typing":
        return [_of_bot(settings)]
    if operation in ("answer", "revise"):
        return [OF_TOKEN]
    route = route_of(operation)
    limits: list[Limit] = []
    if route is not None and route.of_channel and route.draws:
        bucket, own = route.bucket(channel), settings.rooms.get(channel)
        count = (own and own.message_count) or settings.message_count
        per = (own and own.message_per) or settings.message_per
        limits.append(Limit(bucket, count, per, "learned", of="room"))
        if own is not None:
            limits.append(Limit(f"{bucket} as configured", count, per, "window", of="room"))
    if route is not None and route.draws_global:
        limits.append(_of_bot(settings))
    return limits


def _of_bot(settings: DiscordSettings) -> Limit:
    return Limit("global", settings.global_count, 1.0, "even", most=settings.global_window)


def bucket_reports(attempt: Attempt, headers: Mapping[str, str]) -> tuple[BucketReport, ...]:
    """A report on the bucket that the answer's headers name, in the attempt's channel.

    A thread is a channel and has buckets of its own.
    """
    route = route_of(attempt.operation)
    name = headers.get("x-ratelimit-bucket")
    if route is None or not route.of_channel or not route.draws:
        return ()
    if not name or len(name) > LONGEST_BUCKET:  # no name of Discord's: it may be a proxy's answer
        return ()
    return (
        BucketReport(
            bucket=f"{name}:{channel_of(attempt)}",
            limit=count_in(headers, "limit"),
            remaining=count_in(headers, "remaining"),
            reset_after=retry_after_seconds(headers.get("x-ratelimit-reset-after")),
            provisional=route.bucket(attempt.thread or attempt.room),
        ),
    )


def closed_for(
    seconds: float, route: Route, attempt: Attempt, known: Sequence[BucketReport]
) -> tuple[BucketReport, ...]:
    """The reports on the route's bucket, changed so that it is closed for at least `seconds`."""
    unnamed = BucketReport(bucket=route.bucket(channel_of(attempt)))
    return tuple(
        attrs.evolve(report, remaining=0, reset_after=max(seconds, report.reset_after or 0.0))
        for report in known or (unnamed,)
    )


def count_in(headers: Mapping[str, str], field: str) -> int | None:
    """The count in a header `X-RateLimit-…`; None if the header has none."""
    text = headers.get(f"x-ratelimit-{field}", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004 - a count, not a flood of digits
