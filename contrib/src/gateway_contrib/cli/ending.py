"""Ends a command that failed, with one line and an exit code."""

from __future__ import annotations

import json
from typing import Any

LONGEST = 500
"""The most characters of a line, since a platform's own words may be long."""


class Ended(Exception):
    """Ends the program with `line` on standard error and the exit code `code`."""

    def __init__(self, line: str, code: int = 2) -> None:
        self.code = code
        super().__init__(line)


def printable(text: str) -> str:
    """The text on one line, with control characters escaped: the text may come from anywhere."""
    return "".join(c if c.isprintable() else " " if c in "\n\r\t" else ascii(c)[1:-1] for c in text)


def in_json(value: Any, *, indent: int | None = None) -> str:
    """The value as JSON that is safe to show in a terminal: control characters are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def one_line(error: BaseException) -> str:
    """The error's text, in one line; errors of this project appear without their class's name."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = printable(" ".join(_words(error).split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    if type(error).__module__.split(".")[0] in {"gateway_core", "gateway_contrib", "cyclopts"}:
        return str(error)
    return f"{type(error).__name__}: {error}"
