"""Adds a poll to a message, and reports what Discord would refuse of a poll. Sans-I/O.

Source: discord.com/developers/docs/resources/poll#poll-create-request-object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from gateway_core.authors import Edit, Part, Poll, Problem, Send

QUESTION, ANSWER = 300, 55
MOST_ANSWERS = 10
HOUR = 3600
MOST_HOURS = 32 * 24


def poll_of(poll: Poll) -> Mapping[str, Any]:
    """The poll create request; what the poll does not say is left to Discord's defaults."""
    fields: dict[str, Any] = {
        "question": {"text": poll.question},
        "answers": [{"poll_media": {"text": option}} for option in poll.options],
        "allow_multiselect": poll.multiple,
    }
    return fields if poll.duration is None else {**fields, "duration": int(poll.duration / HOUR)}


def with_poll(envelope: Send | Edit, part: Part) -> Part:
    """The last part, with the envelope's poll; no edit can change a message with a poll."""
    if not isinstance(envelope, Send):
        return part
    if envelope.poll is not None:
        payload = {**part.payload, "poll": poll_of(envelope.poll)}
        return Part(payload=payload, span=part.span, degraded=part.degraded, fixed=True)
    return attrs.evolve(part, fixed=True) if (envelope.extra or {}).get("poll") else part


def poll_problems(envelope: Send) -> Iterator[Problem]:
    """Every problem of the envelope's poll, with its place."""
    poll = envelope.poll
    if poll is None:
        return
    if "poll" in (envelope.extra or {}):
        yield Problem("extra.poll", "the envelope has a poll already")
    yield from _length("poll.question", poll.question, QUESTION)
    if len(poll.options) > MOST_ANSWERS:
        words = f"has {len(poll.options)} options, Discord takes {MOST_ANSWERS}"
        yield Problem("poll.options", words)
    for place, option in enumerate(poll.options):
        yield from _length(f"poll.options.{place}", option, ANSWER)
    if poll.anonymous:
        yield Problem("poll.anonymous", "Discord always shows who voted for what")
    seconds = poll.duration
    if seconds is not None and (seconds % HOUR or seconds > MOST_HOURS * HOUR):
        words = f"must be whole hours, in seconds, at most {MOST_HOURS} hours: not {seconds:g}"
        yield Problem("poll.duration", words)


def _length(place: str, text: str, most: int) -> Iterator[Problem]:
    if len(text) > most:
        yield Problem(place, f"has {len(text)} characters, Discord takes {most}")
