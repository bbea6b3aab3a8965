"""Finds Slack's name of an emoji: 👍 is `+1`. Sans-I/O, except that the table is read once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_NAME = re.compile(r":?([a-z0-9_+\-']{1,100}(?:::skin-tone-[2-6])?):?")
_SELECTORS = "\ufe0e\ufe0f"
_TONES = {chr(0x1F3FB + n): f"skin-tone-{n + 2}" for n in range(5)}
"""The modifiers of skin tones, and their names, whose numbers begin at 2."""


def name_of(emoji: str) -> str | None:
    """The name of an emoji: of a character, or a name with or without colons; None: it has none.

    A skin tone is part of the name (`+1::skin-tone-3`). An emoji with two different skin tones has
    no name.
    """
    named = _NAME.fullmatch(emoji)
    if named is not None:
        return named[1]
    tones = {_TONES[char] for char in emoji if char in _TONES}
    plain = emoji.translate(dict.fromkeys(map(ord, (*_SELECTORS, *_TONES))))
    name = _names().get(plain)
    if name is None or not tones:
        return name
    return f"{name}::{tones.pop()}" if len(tones) == 1 else None


@cache
def _names() -> Mapping[str, str]:
    """The names by character, without variation selectors."""
    table = files(__package__).joinpath("names.txt").read_text(encoding="utf-8")
    lines = [line for line in table.splitlines() if line != "#" and not line.startswith("# ")]
    return dict(line.split(" ") for line in lines)
