"""Decides what to show now of a Markdown text whose end is not written yet."""

from __future__ import annotations

import re
from typing import Final

from gateway_core.text.growing.ends import whole_clusters
from gateway_core.text.growing.inlines import closed
from gateway_core.text.growing.leaf import Leaf, last_leaf
from gateway_core.text.growing.region import last_region
from gateway_core.text.growing.window import window
from gateway_core.text.links import web_address

_AGAIN: Final = 64
"""Most passes over a text, each over a shorter text; a model's answers need two or three."""
_WORK: Final = 60_000
"""Most characters that all passes read, where a sign counts as `_SIGN_COST` of them. It bounds the
work for texts of signs alone, of which every pass leaves out a few."""
_SIGN_COST: Final = 20
_SIGNS: Final = re.compile(r"[^\w\s]")
_PREFIX: Final = re.compile(r"(?:[\x20\t]*(?:>|(?:[-*+]|\d{1,9}[.)])(?=[\x20\t]|\Z)))*[\x20\t]*")
"""What stands before a line's own words: quotes' borders, lists' markers."""
_HALF: Final = re.compile(r"\#{1,6}|={1,2}|-{1,2}|!|\[[^\]\n]+\]:")
"""A line that has only the beginning of a heading, an underline, an image or a definition."""
_DEFINITION: Final = re.compile(r"\[[^\]\n]+\]:[\x20\t]*(\S*)")
_NUMBER: Final = re.compile(r"(?:\A|\n)[\x20\t>]*(\d{1,9})\Z")
_ORDERED: Final = re.compile(r"[\x20\t>]*(\d{1,9})[.)][\x20\t]")
_BOX: Final = re.compile(r"\[[\x20xX]?\]?")
_SEPARATOR: Final = re.compile(r"[-|:\x20\t]+")
_BAR: Final = re.compile(r"(?<!\\)\|")
_SPOILER: Final = re.compile(r"\|\|[^\s|]")
_UNSURE_RULE: Final = re.compile(r"\*{3,}|_{3,}")
_LOOK: Final = 2000
"""Characters before the end in which the previous list item is looked for."""


def healed(text: str) -> str:
    """The Markdown to show for `text`, the beginning of a text that is still being written.

    Open fences, code and marks (`**`, `*`, `_`, `~~`, `||`) are closed. Anything that cannot be
    shown correctly yet is left out: markers without words, the address of half a link, a table's
    header before its separator, half a row, half an emoji. White space at the end is left out. A
    complete text comes back unchanged, so healing twice changes nothing. Any text is accepted;
    nothing is raised. The time depends only on the length of the last block.
    """
    work = _WORK
    for _ in range(_AGAIN):
        shown = whole_clusters(text.rstrip()).rstrip()
        ended = "\n" in text[len(shown) :]
        start, fence = last_region(shown)
        tail = shown[start:]
        if fence:
            kept = _fenced(tail, 0)
        elif shown[-1:].isdecimal() and _is_next_number(shown[-_LOOK:]):
            kept = tail[: tail.rfind("\n") + 1]
        else:
            kept = _healed_block(tail, ended=ended)
        text = shown[:start] + kept
        if kept.startswith(tail):
            break
        work -= len(tail) + _SIGN_COST * len(_SIGNS.findall(tail))
        if work < 0:
            break
    return text.rstrip()


def _healed_block(tail: str, *, ended: bool) -> str:
    """Like `_last_block`, in a time that does not grow with the block."""
    part = window(tail)
    if part is None:
        return _last_block(tail, ended=ended)
    return part.put_back(tail, _last_block(part.text, ended=ended))


def _last_block(tail: str, *, ended: bool) -> str:
    """The tail with its end closed; a result that does not begin with `tail` needs another pass."""
    line = tail.rfind("\n") + 1
    words = _PREFIX.match(tail, line).end()  # type: ignore[union-attr]  # it matches anything
    leaf = last_leaf(tail)
    if leaf.end >= len(tail):
        if leaf.kind == "CodeBlock":
            return _fenced(tail, leaf.start)
        if leaf.kind == "Table":
            return _with_row(tail, leaf, line, words, ended=ended)
        if leaf.kind == "Rule":
            return _with_rule(tail, line, words, ended=ended)
    if _is_held(tail, leaf, line, words) or (not ended and _is_half_definition(tail, leaf, words)):
        return tail[:line]
    return closed(tail, leaf)


def _fenced(tail: str, at: int) -> str:
    """The tail with its last fence, at `at`, closed; without the fence if it has no code yet."""
    sign = tail[at]
    if sign not in "`~":
        return tail
    length = len(tail) - at - len(tail[at:].lstrip(sign))
    code = tail.find("\n", at) + 1
    first = tail.rfind("\n", 0, at) + 1
    line = tail.rfind("\n") + 1
    if not code or not tail[code:].strip(" \t\n>"):
        return tail[:at]
    last = tail[line:].strip(" \t>" if at > first else " ")
    if last and not last.strip(sign):
        if len(last) >= length:
            return tail
        return tail[:line] if tail[code:line].strip(" \t\n>") else tail[:at]
    border = "".join(mark if mark in "> \t" else " " for mark in tail[first:at])
    return f"{tail}\n{border}{sign * length}"


def _with_row(tail: str, leaf: Leaf, line: int, words: int, *, ended: bool) -> str:
    """The table with its last row completed, or without that row."""
    separator = tail.find("\n", leaf.start) + 1
    if line <= separator:
        return tail
    row = tail[words:]
    bars = len(_BAR.findall(row))
    bordered = row.startswith("|")
    is_closed = row.endswith("|") and not row.endswith("\\|")
    cells = bars + 1 - bordered - is_closed
    if cells >= leaf.columns and (is_closed or not bordered):
        return tail
    if not ended:
        return tail[:line]
    return tail + " |" * (max(leaf.columns - cells, 0) + (not is_closed))


def _with_rule(tail: str, line: int, words: int, *, ended: bool) -> str:
    """The tail with its rule written as `* * *`, or without it while it may become bold words."""
    begin = words
    if not _UNSURE_RULE.fullmatch(tail, begin):
        return tail
    return f"{tail[:begin]}* * *" if ended else tail[:line]


def _is_held(tail: str, leaf: Leaf, line: int, words: int) -> bool:
    """Whether the last line cannot be shown yet."""
    own = tail[words:]
    marker = tail[line:words].strip()
    is_text = leaf.kind == "Words" and leaf.end >= len(tail)
    if not own:
        return not (is_text and marker[-1:] in (".", ")"))
    if _HALF.fullmatch(own):
        return True
    if marker and marker[-1] != ">" and _BOX.fullmatch(own):
        return True
    if own.startswith("|"):
        return not _SPOILER.match(own)
    above = tail[tail.rfind("\n", 0, max(line - 1, 0)) + 1 : line]
    return bool(_SEPARATOR.fullmatch(own)) and leaf.start < line and "|" in above


def _is_half_definition(tail: str, leaf: Leaf, words: int) -> bool:
    """Whether the last line defines a link's address, which is invisible and may be incomplete."""
    found = _DEFINITION.fullmatch(tail, words)
    return found is not None and leaf.end <= words and not web_address(found[1])


def _is_next_number(end: str) -> bool:
    """Whether a text ends with the number of a list's next item, still without its full stop."""
    number = _NUMBER.search(end)
    if not number:
        return False
    for line in reversed(end[: number.start()].split("\n")):
        if found := _ORDERED.match(line):
            return str(int(found[1]) + 1).startswith(number[1])
    return False
