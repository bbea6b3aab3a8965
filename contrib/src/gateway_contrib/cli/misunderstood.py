"""Explains what is wrong with a command line, and how to correct it. Sans-I/O."""

from __future__ import annotations

import re

from cyclopts import CycloptsError, UnknownOptionError, UnusedCliTokensError

from gateway_contrib.cli.ending import one_line

_LOOKS_LIKE_ONE = re.compile(r"--?[A-Za-z][\w-]*(=.*)?", re.DOTALL)


def misunderstood(error: CycloptsError) -> str:
    """The line to print for this error."""
    if isinstance(error, UnusedCliTokensError):
        words = ", ".join(map(repr, error.unused_tokens or []))
        return f"too many arguments: {words} (put a text of several words in quotes)"
    if isinstance(error, UnknownOptionError):
        word = error.token.keyword or error.token.value
        if not _LOOKS_LIKE_ONE.fullmatch(word):
            return f"{word!r} is not an option; put -- before a text that begins with -"
    return one_line(error)
