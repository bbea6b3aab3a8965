"""Finds what is wrong with a poll on every channel. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterator

from gateway_core.contract.beside.polls import Poll
from gateway_core.contract.errors import Problem
from gateway_core.contract.validators import LONGEST, UNSENDABLE, is_finite, is_sendable, shown

MOST_OPTIONS = 100
"""Most options of a poll; no platform accepts so many."""


def poll_problems(poll: object) -> Iterator[Problem]:
    """What is wrong with the poll on every channel, each problem with its place."""
    if not isinstance(poll, Poll):
        yield Problem("poll", f"must be a Poll, not {type(poll).__name__}")
        return
    yield from _words("poll.question", poll.question)
    options: object = poll.options
    if not isinstance(options, tuple):
        yield Problem("poll.options", f"must be a list of texts, not {type(options).__name__}")
    elif len(options) > MOST_OPTIONS:
        yield Problem("poll.options", f"has {len(options)} options, at most {MOST_OPTIONS}")
    elif not options:
        yield Problem("poll.options", "is empty")
    else:
        for place, option in enumerate(options):
            yield from _words(f"poll.options.{place}", option)
    for name, allowed in (("multiple", (True, False)), ("anonymous", (True, False, None))):
        value = getattr(poll, name)
        if not any(value is each for each in allowed):
            yield Problem(f"poll.{name}", f"must be true or false, not {shown(value)}")
    seconds: object = poll.duration
    if seconds is not None and not (is_finite(seconds) and 0 < seconds <= LONGEST):
        wanted = f"a number of seconds above 0 and at most {LONGEST:g}"
        yield Problem("poll.duration", f"must be {wanted}, not {shown(seconds)}")


def _words(place: str, text: object) -> Iterator[Problem]:
    if not isinstance(text, str):
        yield Problem(place, f"must be a text, not {type(text).__name__}")
    elif not text.strip():
        yield Problem(place, "is empty")
    elif not is_sendable(text):
        yield Problem(place, UNSENDABLE)
