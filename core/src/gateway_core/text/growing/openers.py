"""Decides which signs may begin a style or a link, by CommonMark and by what people mean."""

from __future__ import annotations

import unicodedata
from typing import Final

_LITERAL_AFTER: Final = frozenset(".,;:/)]=-")
"""If one of these follows a single star, the star begins no style: `*.py`, `*)`."""
_LONGEST: Final = 1000
"""Most characters of an address, as in `links`."""
_PAIR, _MOST = 2, 3
_SPOILER: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_|")


def is_word(sign: str) -> bool:
    """Whether the sign is an ASCII letter or digit; other scripts may have no spaces in between."""
    return sign.isascii() and sign.isalnum()


def may_begin(source: str, place: int) -> bool:
    """Whether a bracket may begin a link: not after a word, like an array's, nor before a space."""
    before = source[place - 1 : place]
    behind = source.index("[", place) + 1
    after = source[behind : behind + 1]
    if after.isspace() or _in_address(source, place):
        return False
    return source[place] == "!" or not (is_word(before) or before in ("]", ")"))


def _in_address(source: str, place: int) -> bool:
    """Whether the sign at a place belongs to an address before it."""
    mark = source.rfind("://", max(place - _LONGEST, 0), place)
    return mark >= 0 and not any(sign.isspace() for sign in source[mark:place])


def can_open(source: str, place: int, sign: str) -> bool:
    """Whether a style begins with these signs, provided that its end comes later."""
    behind = place + len(sign)
    before, after = source[place - 1 : place], source[behind : behind + 1]
    if not after or after.isspace() or len(sign) > _MOST or _in_address(source, place):
        return False
    if sign[0] == "|":
        return len(sign) == _PAIR and before not in _SPOILER
    apart = not before or before.isspace() or _is_punctuation(before)
    return (apart or not _is_punctuation(after)) and _is_meant(sign, before, after, apart=apart)


def _is_meant(sign: str, before: str, after: str, *, apart: bool) -> bool:
    """Whether the signs are meant as a style: not in a name, product, power or file pattern."""
    if sign[0] == "~":
        return len(sign) == _PAIR
    if sign[0] == "_":
        return apart
    if sign == "*":
        return not is_word(before) and after not in _LITERAL_AFTER
    return not before.isdigit()


def _is_punctuation(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "PS"
