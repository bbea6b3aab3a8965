"""Makes the fields of sendPoll, and reports what Telegram would refuse of a poll. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway_core.authors import Poll, Problem
from gateway_plugin_telegram.settings import TelegramSettings

QUESTION = 300
OPTION = 100
"""The most characters of each (core.telegram.org/bots/api#sendpoll and #inputpolloption)."""
LEAST_OPTIONS = 2
LEAST_SECONDS = 5


def poll_of(poll: Poll) -> Mapping[str, Any]:
    """The fields of sendPoll; what the poll does not say is left to Telegram's defaults."""
    fields: dict[str, Any] = {
        "question": poll.question,
        "options": [{"text": option} for option in poll.options],
        "allows_multiple_answers": poll.multiple,
    }
    if poll.anonymous is not None:
        fields["is_anonymous"] = poll.anonymous
    if poll.duration is not None:
        fields["open_period"] = int(poll.duration)
    return fields


def poll_problems(settings: TelegramSettings, poll: Poll) -> Iterator[Problem]:
    """Every problem of the poll, with its place."""
    yield from _length("poll.question", poll.question, QUESTION)
    count, most = len(poll.options), settings.poll_options
    if not LEAST_OPTIONS <= count <= most:
        yield Problem(
            "poll.options", f"has {count} options, Telegram takes {LEAST_OPTIONS} to {most}"
        )
    for place, option in enumerate(poll.options):
        yield from _length(f"poll.options.{place}", option, OPTION)
    seconds, longest = poll.duration, settings.poll_seconds
    if seconds is None:
        return
    if seconds != int(seconds) or not LEAST_SECONDS <= seconds <= longest:
        words = f"whole seconds from {LEAST_SECONDS} to {longest}"
        yield Problem("poll.duration", f"must be {words} on Telegram, not {seconds:g}")


def _length(place: str, text: str, most: int) -> Iterator[Problem]:
    if len(text) > most:
        yield Problem(place, f"has {len(text)} characters, Telegram takes {most}")
