"""Reads a text as people see it: without the backslashes and entities in which it is written."""

from __future__ import annotations

import html
import re

import attrs

_ESCAPE = re.compile(
    r"\\([!-/:-@\[-`{-~])|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
)


@attrs.frozen
class Seen:
    """A text as people see it.

    text    what they see
    begins  where each of its characters begins in the written text; and the written text's end
    """

    text: str
    begins: tuple[int, ...]

    def replaced(self, written: str, pattern: re.Pattern[str], by: str) -> str:
        """The written text with `by` in place of all that people would see match the pattern."""
        found = [match.span() for match in pattern.finditer(self.text) if match.group()]
        for start, end in reversed(found):
            written = written[: self.begins[start]] + by + written[self.begins[end] :]
        return written


def seen(written: str) -> Seen | None:
    """How people see the text; None: as it is written."""
    shown, begins, at = "", list[int](), 0
    for escape in _ESCAPE.finditer(written):
        means = escape[1] or html.unescape(escape[0])
        shown += written[at : escape.start()] + means
        begins += [*range(at, escape.start()), *([escape.start()] * len(means))]
        at = escape.end()
    if not at:
        return None
    return Seen(shown + written[at:], (*begins, *range(at, len(written) + 1)))
