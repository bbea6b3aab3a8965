"""Cuts what a growing text must not end with: half an emoji, half an entity, a backslash."""

from __future__ import annotations

from html.entities import html5
from typing import Final

import regex

_HALF_EMOJI: Final = regex.compile(
    r"(?:"
    r"(?:\p{Extended_Pictographic}[\ufe0f\U0001f3fb-\U0001f3ff]*+\u200d)++"  # joined to what?
    r"|[0-9#*]\ufe0f"  # a keycap without its key
    r"|\U0001f3f4[\U000e0020-\U000e007e]++"  # a flag of tags without their end
    r")\Z"
)
_REGIONAL: Final = regex.compile(r"[\U0001f1e6-\U0001f1ff]++\Z")
_LOOK: Final = 200
"""Characters looked at: an emoji sequence is shorter, and flags before them are complete."""
_ENTITY: Final = regex.compile(
    r"&(?:#(?:[0-9]{0,7}|[xX][0-9a-fA-F]{0,6})|[A-Za-z][A-Za-z0-9]*+)?\Z"
)
_LONGEST: Final = max(map(len, html5)) + 1
_NAMES: Final = frozenset(
    name[:length] for name in html5 if name.endswith(";") for length in range(1, len(name))
)
"""All beginnings of entities' names."""
_COMMON: Final = ("amp", "lt", "gt", "quot", "apos", "nbsp", "ndash", "mdash", "hellip", "copy")


def whole_clusters(text: str) -> str:
    """The text without an emoji at its end that is certainly incomplete."""
    last = text[-1:]
    if last < "\u200d":
        return text
    tail = text[-_LOOK:]
    if found := _HALF_EMOJI.search(tail):
        return text[: len(text) - len(found.group())]
    if (found := _REGIONAL.search(tail)) and len(found.group()) % 2:
        return text[:-1]
    return text


def without_half_sign(text: str) -> str:
    """The text without a backslash that escapes nothing yet, or the beginning of an entity."""
    backslashes = len(text) - len(text.rstrip("\\"))
    if backslashes % 2:
        return text[:-1]
    at = text.rfind("&", max(len(text) - _LONGEST, 0))
    if at < 0 or (at and text[at - 1] == "\\"):
        return text
    return text[:at] if _is_half_entity(text, at) else text


def _is_half_entity(text: str, at: int) -> bool:
    """Whether the text from `at` on may become an entity; in AT&T it does not."""
    if not _ENTITY.match(text, at):
        return False
    name = text[at + 1 :]
    if not name or name[0] == "#":
        return True
    if at and text[at - 1].isalnum():
        return any(common.startswith(name) for common in _COMMON)
    return name in _NAMES
