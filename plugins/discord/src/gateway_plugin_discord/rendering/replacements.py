"""Finds where the written text differs from the escaped visible text. Sans-I/O.

A mark replaces nothing; a list's marker, inline code and a code block are replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from operator import itemgetter
from typing import Final, TypeAlias

from gateway_core.text import Block, Kind, Span, Style
from gateway_plugin_discord.rendering.blocks import as_text, in_fence, leads, restarts
from gateway_plugin_discord.rendering.dialect import CLOSERS, MARKED, Mark, code, escaping
from gateway_plugin_discord.rendering.lines import Lines, lines_between, outermost_first

# Enum members as globals: CPython 3.11 takes longer to find one in its class than to make a call.
_BOLD: Final = Style.BOLD
_CODE: Final = Style.CODE
_FENCE: Final = Kind.CODE
_TABLE: Final = Kind.TABLE
_HEADING: Final = Kind.HEADING

Replacement: TypeAlias = tuple[int, int, str]
"""`start..end` of the visible text, and what is written in its place."""

Shown: TypeAlias = tuple[Mark | None, Callable[[str], str] | None]
"""A style's marks, if its words are escaped as usual, or the function that writes its words."""

_TOUCHY: Final = "*_~|["
"""Characters that marks begin with: none of them may be right before a mark."""


class Replacements:
    """Makes the replacements of a document.

    Most spans are apart from others, or in only one other span: such spans are replacements by
    themselves. A line with any other span is replaced as a whole, by what its runs write.

    Invariant of documents: each span is in the content of one paragraph, heading or item.

    closed    the marks that close the styles of a text after a replacement, by the text's place
    writes    the function that writes a span that is one replacement, by the span's start
    doubtful  the spans that may not be shown as they are
    bold      the lines of bold headings, as if the lines were spans
    around    for the last style that is in no other style: from where on nothing is in it, where it
              ends, what closes it, and the index of the replacement that closes it
    """

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.closed: dict[int, str] = {}
        self.writes: dict[int, Callable[[str], str]] = {}
        self.doubtful: list[Span] = []
        self.bold: list[Span] = []
        self.around = (0, 0, "", 0)

    def all(self) -> list[Replacement]:
        """All replacements in order; they do not overlap. Those at one place follow each other."""
        made = self._of_blocks()
        made += self._of_spans()
        made.sort(key=itemgetter(0))
        return made

    def _of_blocks(self) -> list[Replacement]:
        """The replacements of blocks in fences, and of the beginnings of lines."""
        made: list[Replacement] = []
        text, before = self.lines.document.text, Block(0, 0, 0, _FENCE)
        for block in self.lines.document.blocks:
            start, body, end, kind, level, _, quote, depth, marker = shown = block
            if quote and quote == before[6] and start - before[2] > 1:
                made.append((start - 1, start - 1, "> "))  # the empty line is in the quote
            if kind is _FENCE or kind is _TABLE:
                made.append((start, end, in_fence(block, text, end)))
            elif kind is _HEADING or depth or quote:
                if marker[:1].isdigit() and restarts(before, block):
                    marker = self.lines.renumbered[start] = as_text(marker)
                    shown = block._replace(marker=marker)
                level = level if kind is _HEADING else 0
                lead, again, bold = leads(level, quote > 0, depth, marker)
                made.append((start, body, lead))
                if again and text.find("\n", body, end) >= 0:
                    made += [(low, low, again) for low in _further(text, body, end)]
                if bold:
                    self.bold += [Span(*line, _BOLD) for line in lines_between(text, body, end)]
            before = shown
        return made

    def _of_spans(self) -> list[Replacement]:
        """The replacements of marks, code and links, and of lines that are replaced as a whole."""
        made: list[Replacement] = []
        text, spans = self.lines.document.text, self.lines.spans
        shown = _shown(mentions=self.lines.mentions)
        if self.bold:
            spans = sorted([*self.bold, *spans], key=outermost_first)
        # A span before `free` touches the last span; before `anew`, its line is replaced already.
        free = anew = 0
        for span in spans:
            begin, end, style, _ = span
            words = text[begin:end]
            if "\n" in words:
                return self._of_parts()
            if begin < free:
                if begin < anew or self._nests(span, made):
                    continue
            elif style is _CODE:
                free = end + 1
                made.append((begin, end, code(words)))
                self.writes[begin] = code
                continue
            elif _is_simple(text, begin, words):
                free = end + 1
                mark, write = shown.get(style) or self._link(span)
                if write:
                    made.append((begin, end, write(words)))
                    self.writes[begin] = write
                    continue
                if mark:
                    made += ((begin, begin, mark[0]), (end, end, mark[1]))
                    self.closed[begin] = mark[1]
                    self.around = (begin, end, mark[1], len(made) - 1)
                    continue
            free = anew = self._anew(begin, made)
        return made

    def _nests(self, span: Span, made: list[Replacement]) -> bool:
        """Add a span that is in the last style, apart from others in it; returns whether it is."""
        begin, end, style, _ = span
        free, last, closes, at = self.around
        text = self.lines.document.text
        words = text[begin:end]
        if begin < free or end > last or not _is_simple(text, begin, words):
            return False
        mark, write = _shown(mentions=self.lines.mentions).get(style) or self._link(span)
        if mark and mark[1] == closes:
            return True  # bold in a bold heading
        if mark:
            made.append((begin, begin, mark[0]))
            made.insert(at if end == last else len(made), (end, end, mark[1]))
            self.closed[begin] = mark[1] + closes
        elif write and CLOSERS.isdisjoint(words):
            made.append((begin, end, write(words)))
            self.writes[begin] = write
        else:
            return False
        if end < last:
            self.closed[end] = closes
        self.around = (end + 1, last, closes, at)
        return True

    def _link(self, span: Span) -> Shown:
        mark, write = self.lines.looks.of(span)[2:]
        if mark and not mark[0]:
            self.doubtful.append(span)
        return mark, write

    def _of_parts(self) -> list[Replacement]:
        """The replacements of spans, line by line, since some spans reach over a line feed."""
        self.lines.split()
        self.lines.replaced.clear()
        self.closed.clear()
        self.writes.clear()
        self.doubtful.clear()
        return self._of_spans()

    def _anew(self, place: int, made: list[Replacement]) -> int:
        """Replace the line at `place` as a whole; returns where the next line begins."""
        line = self.lines.at(place)
        self.lines.replaced[line.body] = line
        while made and made[-1][0] >= line.body:
            self.writes.pop(made.pop()[0], None)
        made.append((line.body, line.end, line.whole()))
        self.doubtful += self.lines.touching(line.body, line.end)
        return line.following


@cache
def _shown(*, mentions: bool) -> dict[Style, Shown]:
    """How each style that is apart from others is shown; links are not in it."""
    struck = escaping(mentions=mentions, struck=True)

    def between(mark: Mark, words: str) -> str:
        return f"{mark[0]}{struck(words)}{mark[1]}"

    shown: dict[Style, Shown] = {style: (mark, None) for style, mark in MARKED.items()}
    for style in (Style.STRIKE, Style.SPOILER):
        shown[style] = (None, partial(between, MARKED[style]))
    return {**shown, _CODE: (None, code)}


def _is_simple(text: str, begin: int, words: str) -> bool:
    """Whether marks can be written right around the words."""
    return words[0] != " " != words[-1] and text[begin - 1] not in _TOUCHY


def _further(text: str, body: int, end: int) -> Iterator[int]:
    """Where the lines of a block begin, except the first."""
    feed = text.find("\n", body, end)
    while feed >= 0:
        yield feed + 1
        feed = text.find("\n", feed + 1, end)
