"""Counts the characters of a text that are surely visible, without parsing it. Sans-I/O.

Counting takes a hundredth of the time of planning, so it serves to refuse texts that are too long.
"""

from __future__ import annotations

import re
from string import ascii_letters
from typing import Final

_LEADING: Final = bytes([*range(0xC3, 0xCC), *range(0xCE, 0xE0), *range(0xE4, 0xEE), 0xF0])
"""First octets of characters whose Unicode block has no blanks, controls or marks."""
_SIGNS: Final = b".,?%@${}/"
"""Signs that no markup hides."""
_DIGITS: Final = b"0123456789"
_COUNTED: Final = b"".join((ascii_letters.encode(), _DIGITS, _SIGNS, _LEADING))
_REST: Final = bytes(set(range(256)) - set(_COUNTED))

# What may be markup, whose letters are then not visible. Each pattern finds too much rather than
# too little; a title ends with its paragraph.
_LABEL: Final = re.compile(rb"\[(?:[^\[\]\\]|\\.)*+\]", re.DOTALL)
_ADDRESS: Final = re.compile(
    rb"\][(:]\s*+(?:<[^\n]*+|\S*+)(?:\s++[\"'(](?:[^\n]|\n(?![ \t\r>]*+\n))*+)?", re.DOTALL
)
_INFO: Final = re.compile(rb"(?:```|~~~)[^\n]*+")
_ENTITY: Final = re.compile(rb"&#?\w*+;")
_BOX: Final = re.compile(rb"\[[xX]\]")
_NUMBER: Final = re.compile(rb"(?<!\d)\d++[.)]")
"""Text or an item's marker, which shows one character at least: another number, or a box."""
_DELIMITER: Final = re.compile(rb"-[ \t]*+\||\|[ \t]*+:?-|:[ \t]*+\|")


def letters(source: str, *, markdown: bool) -> int:
    """A lower bound for the number of visible characters of the text, without white space.

    For most texts it is the number of letters and digits; a number before a full stop is one.
    """
    octets = source.encode("utf-8", "surrogatepass")
    return len((_without_markup(octets) if markdown else octets).translate(None, _REST))


def _without_markup(octets: bytes) -> bytes:
    """The text without what markup may hide. All signs of markup stay, for the later patterns.

    If a carriage return alone ends a line, whole lines are left out, since nothing is sure then.
    """
    if b"\r" in octets:
        octets = octets.replace(b"\r\n", b"\n")
        if b"\r" in octets:
            return b""
    if b"]:" in octets:
        octets = _LABEL.sub(_emptied, octets)
    if b"```" in octets or b"~~~" in octets:
        octets = _INFO.sub(_emptied, octets)
    if b"](" in octets or b"]:" in octets:
        octets = _ADDRESS.sub(_emptied, octets)
    if b"&" in octets:
        octets = _ENTITY.sub(_emptied, octets)
    octets = _NUMBER.sub(b"1", _BOX.sub(_emptied, octets))
    if b"|" in octets and _DELIMITER.search(octets):
        octets = b"".join(map(_first_cell, octets.split(b"\n")))
    return octets


def _emptied(found: re.Match[bytes]) -> bytes:
    return found[0].translate(None, _COUNTED)


def _first_cell(line: bytes) -> bytes:
    """The part of a line that is visible even if it is a table's row with too many cells."""
    return line[line.startswith(b"|") :].partition(b"|")[0]
