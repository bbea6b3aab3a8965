"""Measures a plain text, in which Telegram needs no escapes, and says whether it is visible."""

from __future__ import annotations

import re

# Characters that the server drops or counts as nothing: white space, controls, U+2028 to U+202E,
# zero-width characters and blanks of other scripts (tdlib: clean_input_string,
# strip_empty_characters).
_UNSEEN = re.compile(
    "[\x00-\x20\xa0\u030a\u0333\u033f\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f"
    "\u2800\u3000\ufeff\ufffc]*"
)


def utf16_units(text: str) -> int:
    """The length in UTF-16 code units: the unit of entities, and the stricter measure."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_blank(text: str) -> bool:
    """Whether the server would call the text empty."""
    return _UNSEEN.fullmatch(text) is not None
