"""What Discord tells of its buckets in the headers of an answer or an error. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from gateway_core import Attempt, BucketReport
from gateway_core.http import retry_after_seconds
from gateway_plugin_discord.methods import Route, channel_of, route_of


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
    seconds: float, route: Route, attempt: Attempt, told: Sequence[BucketReport]
) -> tuple[BucketReport, ...]:
    """What was told of the route's bucket, closed for at least so long."""
    unnamed = BucketReport(bucket=route.bucket(channel_of(attempt)))
    return tuple(
        attrs.evolve(report, remaining=0, reset_after=max(seconds, report.reset_after or 0.0))
        for report in told or (unnamed,)
    )


def count_in(headers: Mapping[str, str], field: str) -> int | None:
    """A count out of the headers `X-RateLimit-…`; None for what is none."""
    text = headers.get(f"x-ratelimit-{field}", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004 - a count, not a flood of digits
