"""Closes the styles, code and links that are open at the end of the last block, or leaves them out.

The parser says which signs have found no partner. Of those, one that can begin a style has its end
added; one behind which nothing stands yet is left out, as is what of a link is no word of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway_core.text.growing.ends import without_half_sign
from gateway_core.text.growing.leaf import Leaf, last_leaf

_RUN: Final = re.compile(r"[*_~`|]+\Z")
_SIGN: Final = re.compile(r"\*+|_+|~+|\|\|+|!?\[|\]|<")
_TICKS: Final = re.compile(r"`+")
_HALF_LINK: Final = re.compile(
    r"\(\s*+(?:<[^<>\n]*+>?|[^\s<()]*+(?:\([^\s()]*+(?:\)[^\s()]*+)?)*+)"
    r"(?:\s++(?:\"[^\"]*+\"?|'[^']*+'?|\([^()]*+\)?)?)?\s*+\Z"
    r"|\[[^\[\]\n]*+\Z"
)
_HALF_ADDRESS: Final = re.compile(r"<(?:[A-Za-z][A-Za-z0-9+.-]+:[^\s<>]*+|[\w.+-]++@[\w.-]*+)\Z")
_HALF_TAG: Final = re.compile(r"</?(?:[A-Za-z][\w.+-]*+)?\Z")
"""Of HTML, which is shown, or of an address in angle brackets, which are not."""
_NUMBER: Final = re.compile(r"\[(?:\d*+|\^\S*+|[xX])\Z")
_LITERAL_AFTER: Final = frozenset(".,;:/)]=-")
"""Behind a single star these say that it is none of a style: `*.py`, `*)`."""
_LONGEST_WORDS: Final = 300
"""Of a link, counted from its bracket: a bracket that stays open for longer is one."""
_PAIR, _MOST = 2, 3
_SPOILER: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_|")


class _Opened(NamedTuple):
    """What is open at a text's end.

    cut      the text with less in it, to be looked at again; None: nothing is to be left out
    closers  what ends all that is open, the innermost first
    code     whether that is code
    """

    cut: str | None
    closers: str
    code: bool


def closed(source: str) -> str:
    """`source`, which ends with words, with its styles closed; shorter, if it is to be looked at
    again."""
    leaf = last_leaf(source)
    if leaf.kind != "Words" or leaf.end < len(source):
        return source
    opened = _opened(source, leaf)
    if opened.cut is not None:
        return opened.cut
    run = None if leaf.sealed else _trailing(source, leaf)
    if not run:
        return source + opened.closers
    return _with_run(source, run, opened)


def _trailing(source: str, leaf: Leaf) -> str:
    """The signs at the end, of which each may be a half one, or one behind which nothing stands."""
    found = _RUN.search(source, max(leaf.start, leaf.texts[-1][0] if leaf.texts else 0))
    if not found:
        return ""
    escaped = _is_escaped(source, found.start())
    return found.group()[1:] if escaped else found.group()


def _is_escaped(source: str, at: int) -> bool:
    before = source[:at]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _with_run(source: str, run: str, opened: _Opened) -> str:
    """The text whose last signs, a `run` without partners, end what is open, or are left out."""
    base = source[: -len(run)]
    stripped = base.rstrip()
    leaf = last_leaf(base)
    if leaf.kind != "Words" or leaf.end < len(stripped):
        return stripped
    before = _opened(base, leaf)
    if before.cut is None and before.closers.startswith(run):
        if before.code or len(base) == len(stripped):
            return base + before.closers
    if not before.closers and len(run) == 1 and run != "`" and _is_word(base[-1:]):
        return source + opened.closers
    return stripped


def _is_word(sign: str) -> bool:
    return sign.isascii() and sign.isalnum()


def _opened(source: str, leaf: Leaf) -> _Opened:
    ticks = _open_code(source, leaf)
    if ticks:
        closers = ticks.group()
        inner = len(source) - len(source.rstrip("`"))
        if inner < len(closers) and inner:
            return _Opened(source[:-inner], "", code=True)
        closers = f" {closers}" if inner else closers
        around = last_leaf(source + closers)
        cut, outer = _signs(source, around._replace(end=ticks.start()), ticks.start())
        return _Opened(cut, closers + outer, code=True)
    if not leaf.sealed and (shorter := without_half_sign(source)) != source:
        return _Opened(shorter, "", code=False)
    return _Opened(*_signs(source, leaf, len(source)), code=False)


def _open_code(source: str, leaf: Leaf) -> re.Match[str] | None:
    """The first backticks that have no partner, if something stands behind them."""
    for start, end in leaf.texts:
        found = _TICKS.search(source, start + _first(source, start), end)
        if found:
            return found if found.end() < len(source) else None
    return None


def _first(source: str, start: int) -> int:
    """1, if a backslash takes the first sign of a stretch out of the markup."""
    return 1 if start and source[start - 1] == "\\" else 0


def _signs(source: str, leaf: Leaf, end: int) -> tuple[str | None, str]:
    """What to look at again instead, or what ends the styles that begin before `end`."""
    styles: list[str] = []
    brackets: list[tuple[int, int]] = []
    pairs: list[tuple[int, int, int]] = []
    known = 0
    for place, sign in _loose(source, leaf, end):
        if sign.endswith("["):
            if _may_begin(source, place):
                brackets.append((place, len(styles)))
            else:
                known += 1
        elif sign == "]":
            if known:
                known -= 1
            elif brackets:
                begin, depth = brackets.pop()
                del styles[depth:]
                pairs.append((begin, place, depth))
        elif sign == "<":
            if cut := _half_address(source, place):
                return cut[0], ""
        elif sign in styles:
            del styles[styles.index(sign) :]
        elif _can_open(source, place, sign):
            styles.append(sign)
    for begin, place, _ in reversed(pairs):
        if place + 1 < end and _HALF_LINK.match(source, place + 1):
            return _without_link(source, begin, place), ""
    for begin, _ in reversed(brackets):
        if end - begin < _LONGEST_WORDS:
            if _NUMBER.match(source, begin):
                return source[:begin], ""
            return source[:begin] + source[source.index("[", begin) + 1 :], ""
    return None, "".join(reversed(styles))


def _loose(source: str, leaf: Leaf, end: int) -> Iterator[tuple[int, str]]:
    for start, stop in leaf.loose:
        for found in _SIGN.finditer(source, start + _first(source, start), min(stop, end)):
            yield found.start(), found.group()


def _without_link(source: str, begin: int, place: int) -> str:
    return source[:begin] + source[source.index("[", begin) + 1 : place]


def _half_address(source: str, place: int) -> tuple[str] | None:
    if _HALF_ADDRESS.match(source, place):
        return (source[:place] + source[place + 1 :],)
    if _is_word(source[place - 1 : place]):
        return None
    return (source[:place],) if _HALF_TAG.match(source, place) else None


def _may_begin(source: str, place: int) -> bool:
    """Whether a bracket may be a link's: not behind a word, as of an array, nor before a space."""
    before = source[place - 1 : place]
    after = source[source.index("[", place) + 1 :][:1]
    if after.isspace() or _in_address(source, place):
        return False
    return source[place] == "!" or not (_is_word(before) or before in ("]", ")"))


def _in_address(source: str, place: int) -> bool:
    """Whether what stands at a place goes on with an address."""
    mark = source.rfind("://", 0, place)
    return mark >= 0 and not any(sign.isspace() for sign in source[mark:place])


def _can_open(source: str, place: int, sign: str) -> bool:
    """Whether a style begins with these signs, as CommonMark has it, and as people mean it."""
    before, after = source[place - 1 : place], source[place + len(sign) :][:1]
    if not after or after.isspace() or len(sign) > _MOST or _in_address(source, place):
        return False
    if sign[0] == "|":
        return len(sign) == _PAIR and before not in _SPOILER
    if sign[0] == "~" and len(sign) != _PAIR:
        return False
    apart = not before or before.isspace() or _is_punctuation(before)
    if _is_punctuation(after) and not apart:
        return False
    if sign[0] == "_":
        return apart
    if sign == "*":
        return not _is_word(before) and after not in _LITERAL_AFTER
    return not before.isdigit()


def _is_punctuation(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "PS"
