"""Closes the styles, code and links that are open at the end of the last block, or leaves them out.

The parser says which signs have found no partner. A sign that can begin a style gets its end added.
A sign with nothing after it yet is left out. Of an open link, only its words are shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway_core.text.growing.ends import without_half_sign
from gateway_core.text.growing.leaf import Leaf, last_leaf
from gateway_core.text.growing.openers import can_open, is_word, may_begin

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
"""The beginning of HTML, which is shown, or of an address in angle brackets, which is not."""
_NUMBER: Final = re.compile(r"\[(?:\d*+|\^\S*+|[xX])\Z")
_LONGEST_WORDS: Final = 300
"""Most characters of a link's words; a bracket that stays open longer is only a bracket."""


_LONGEST_ADDRESS: Final = 2000
"""Most characters of a link's address with its title."""


class _Opened(NamedTuple):
    """What is open at a text's end.

    cut      a shorter text, which needs another pass; None: nothing has to be left out
    closers  the signs that end everything open, the innermost first
    code     whether code is open
    """

    cut: str | None
    closers: str
    code: bool


def closed(source: str, leaf: Leaf) -> str:
    """The source with the styles of its last block closed; `leaf` is that block.

    A result that does not begin with `source` is shorter, and needs another pass.
    """
    if leaf.kind != "Words" or leaf.end < len(source):
        return source
    opened = _opened(source, leaf)
    if opened.cut is not None:
        return opened.cut
    run = None if leaf.sealed else _trailing(source, leaf)
    if not run:
        return _ended(source, opened.closers)
    return _with_run(source, run)


def _trailing(source: str, leaf: Leaf) -> str:
    """The signs at the end: each may be incomplete, or has nothing after it yet."""
    found = _RUN.search(source, max(leaf.start, leaf.texts[-1][0] if leaf.texts else 0))
    if not found:
        return ""
    escaped = _is_escaped(source, found.start())
    return found.group()[1:] if escaped else found.group()


def _is_escaped(source: str, at: int) -> bool:
    before = source[:at]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _with_run(source: str, run: str) -> str:
    """The text whose last signs, `run`, have no partners: they end what is open, or are dropped."""
    base = source[: -len(run)]
    stripped = base.rstrip()
    leaf = last_leaf(base)
    if leaf.kind != "Words" or leaf.end < len(stripped):
        return stripped
    before = _opened(base, leaf)
    ends = before.cut is None and before.closers.startswith(run)
    if ends and (before.code or len(base) == len(stripped)):
        return _ended(base, before.closers)
    if not before.closers and len(run) == 1 and run != "`" and is_word(base[-1:]):
        return source
    return stripped


def _ended(source: str, closers: str) -> str:
    """The source with its closers, if the parser reads them as closers; else without."""
    if not closers:
        return source
    whole = source + closers
    texts = last_leaf(whole).texts
    if closers[-1] != "|" and texts and texts[-1][1] == len(whole):
        return source
    return whole


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
    """The first backticks that have no partner, if something stands after them."""
    for start, end in leaf.texts:
        found = _TICKS.search(source, start + _first(source, start), end)
        if found:
            return found if found.end() < len(source) else None
    return None


def _first(source: str, start: int) -> int:
    """1 if a backslash escapes the first sign of a stretch, else 0."""
    return 1 if start and source[start - 1] == "\\" else 0


def _signs(source: str, leaf: Leaf, end: int) -> tuple[str | None, str]:
    """A shorter text that needs another pass, or the closers of styles that begin before `end`."""
    signs = _Signs(source, end)
    for place, sign in _loose(source, leaf, end):
        if sign == "<":
            if (cut := _half_address(source, place)) is not None:
                return cut, ""
        else:
            signs.take(place, sign)
    if (cut := signs.half_link()) is not None:
        return cut, ""
    if signs.brackets and (cut := signs.without_brackets()) is not None:
        return cut, ""
    return None, "".join(reversed(signs.styles))


class _Signs:
    """The signs before `end` that have no partner.

    styles    the signs that open a style, the outermost first
    brackets  the open brackets of links, and how many styles were open before each
    pairs     pairs of brackets that have closed
    known     how many open brackets are not a link's, such as an array's
    """

    def __init__(self, source: str, end: int) -> None:
        self.source, self.end = source, end
        self.styles: list[str] = []
        self.brackets: list[tuple[int, int]] = []
        self.pairs: list[tuple[int, int]] = []
        self.known = 0

    def take(self, place: int, sign: str) -> None:
        """Read the next sign; the same sign twice belongs to no style."""
        if sign.endswith("["):
            self._open_bracket(place)
        elif sign == "]":
            self._close_bracket(place)
        elif sign in self.styles:
            del self.styles[self.styles.index(sign) :]
        elif can_open(self.source, place, sign):
            self.styles.append(sign)

    def _open_bracket(self, place: int) -> None:
        if may_begin(self.source, place):
            self.brackets.append((place, len(self.styles)))
        else:
            self.known += 1

    def _close_bracket(self, place: int) -> None:
        if self.known:
            self.known -= 1
        elif self.brackets:
            begin, depth = self.brackets.pop()
            del self.styles[depth:]
            self.pairs.append((begin, place))

    def half_link(self) -> str | None:
        """The source with only the words of the link whose address ends the text; None: no link."""
        for begin, place in reversed(self.pairs):
            if self.end - place > _LONGEST_ADDRESS:
                return None
            if place + 1 < self.end and _HALF_LINK.match(self.source, place + 1):
                return self.source[:begin] + _behind_bracket(self.source[:place], begin)
        return None

    def without_brackets(self) -> str | None:
        """The source without open brackets; None: all have been open for long."""
        near = [begin for begin, _ in self.brackets if self.end - begin < _LONGEST_WORDS]
        if not near:
            return None
        source = self.source
        if _NUMBER.match(source, near[-1]):
            return source[: near[-1]]
        for begin in reversed(near):
            source = source[:begin] + _behind_bracket(source, begin)
        return source


def _behind_bracket(source: str, begin: int) -> str:
    return source[source.index("[", begin) + 1 :]


def _loose(source: str, leaf: Leaf, end: int) -> Iterator[tuple[int, str]]:
    for start, stop in leaf.loose:
        for found in _SIGN.finditer(source, start + _first(source, start), min(stop, end)):
            yield found.start(), found.group()


def _half_address(source: str, place: int) -> str | None:
    """The source without the angle bracket of an address, or without what may become an address."""
    if _HALF_ADDRESS.match(source, place):
        return source[:place] + source[place + 1 :]
    if is_word(source[place - 1 : place]) or not _HALF_TAG.match(source, place):
        return None
    return source[:place]
