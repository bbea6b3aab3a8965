"""Which limits an attempt draws on, and what the headers of an answer say of them. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from gateway_core.authors import Attempt, BucketReport, Limit
from gateway_core.http import retry_after_seconds
from gateway_plugin_discord.ids import channel_of
from gateway_plugin_discord.methods import Route, route_of
from gateway_plugin_discord.settings import DiscordSettings

OF_TOKEN = Limit("answers", 5, 5.0, "window", of="interaction")
"""Messages and edits by the token of an interaction. Discord documents no number: an assumption,
as of the channels' routes. What its headers say of the token's buckets holds beside it."""


def limits_of(settings: DiscordSettings, channel: str, operation: str) -> list[Limit]:
    """The bot's global limit, and that of the route in the channel until Discord names the bucket.

    The first request of a route goes alone: its answer's headers name the bucket. What is
    configured for the room itself holds beside what Discord says.

    Typing waits for nothing, interactions and webhooks not for the global limit, and the answers to
    an interaction for that of its token alone; a sign of typing
    is shown where that has something to spare. A webhook's messages have one limit.
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
    """The bucket that the headers of `attempt`'s answer name, split by its channel.

    A thread is a channel and has buckets of its own.
    """
    route = route_of(attempt.operation)
    name = headers.get("x-ratelimit-bucket")
    if route is None or not route.of_channel or not route.draws or not name:
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
    """What is known of the route's bucket, closed for at least so long."""
    unnamed = BucketReport(bucket=route.bucket(channel_of(attempt)))
    return tuple(
        attrs.evolve(report, remaining=0, reset_after=max(seconds, report.reset_after or 0.0))
        for report in known or (unnamed,)
    )


def count_in(headers: Mapping[str, str], field: str) -> int | None:
    """A count out of the headers `X-RateLimit-…`; None for what is none."""
    text = headers.get(f"x-ratelimit-{field}", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004 - a count, not a flood of digits
