"""How many characters of a text are surely seen, without reading its markup. Sans-I/O.

Telling it takes a hundredth of planning the text: what can never be accepted is refused by it.
"""

from __future__ import annotations

import re
from string import ascii_letters
from typing import Final

_LEADING: Final = bytes([*range(0xC3, 0xCC), *range(0xCE, 0xE0), *range(0xE4, 0xEE), 0xF0])
"""The first octet of characters that are no blanks, controls or marks, by their block."""
_SIGNS: Final = b".,?%@${}/"
"""Those that no markup takes away."""
_DIGITS: Final = b"0123456789"
_COUNTED: Final = b"".join((ascii_letters.encode(), _DIGITS, _SIGNS, _LEADING))
_REST: Final = bytes(set(range(256)) - set(_COUNTED))

# What may be markup, and then its letters are not seen. Each finds too much rather than too little;
# a title ends with its paragraph.
_LABEL: Final = re.compile(rb"\[(?:[^\[\]\\]|\\.)*+\]", re.DOTALL)
_ADDRESS: Final = re.compile(
    rb"\][(:]\s*+(?:<[^\n]*+|\S*+)(?:\s++[\"'(](?:[^\n]|\n(?![ \t\r>]*+\n))*+)?", re.DOTALL
)
_INFO: Final = re.compile(rb"(?:```|~~~)[^\n]*+")
_ENTITY: Final = re.compile(rb"&#?\w*+;")
_NUMBER: Final = re.compile(rb"(?<!\d)\d++[.)]")
_DELIMITER: Final = re.compile(rb"-[ \t]*+\||\|[ \t]*+:?-|:[ \t]*+\|")


def letters(source: str, *, markdown: bool) -> int:
    """At least so many characters of the text are seen, none of them white space.

    It is never more than are; of most texts it is the number of letters and digits.
    """
    octets = source.encode("utf-8", "surrogatepass")
    return len((_without_markup(octets) if markdown else octets).translate(None, _REST))


def _without_markup(octets: bytes) -> bytes:
    """The text without what markup may hide. All signs of markup stay, for those that follow.

    Where a carriage return ends a line by itself, whole lines are lost: nothing is sure then.
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
    octets = _NUMBER.sub(b"", octets)
    if b"|" in octets and _DELIMITER.search(octets):
        octets = b"".join(map(_first_cell, octets.split(b"\n")))
    return octets


def _emptied(found: re.Match[bytes]) -> bytes:
    return found[0].translate(None, _COUNTED)


def _first_cell(line: bytes) -> bytes:
    """What of a line is seen if it is a table's row: more cells than its header has are not."""
    return line[line.startswith(b"|") :].partition(b"|")[0]
