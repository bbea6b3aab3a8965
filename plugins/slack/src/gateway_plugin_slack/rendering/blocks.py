"""Writes a document's blocks as sections, quotes, lists and preformatted texts of rich text.

One element holds the blocks that belong together: paragraphs that follow each other, or items of
one list and level. Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway_core.text import Block, Kind
from gateway_plugin_slack.rendering.runs import Element, Runs
from gateway_plugin_slack.rendering.sizes import BORDER, LIST, OFFSET, SECTION, SOLID, TEXT, Sizes

# Enum members as globals: CPython 3.11 takes longer to find one in its class than to make a call.
_CODE: Final = Kind.CODE
_TABLE: Final = Kind.TABLE
_HEADING: Final = Kind.HEADING

_BULLET: Final = "•"
_BOXES: Final = "☐☑"
"""A task begins with one of these, as part of its text: Slack's lists have only bullets and
numbers."""

_BARE: Final = frozenset(("type", "text"))


class Grouping:
    """Writes the blocks of a stretch; `header` is that of a table which an earlier part began.

    `elements` are in order; `starts` and `ends` are their places in the text, including a line feed
    that is written before an element. `start` is where the part begins.

    Invariant: at most one element, the last, is open, so that the next block may continue it. It is
    a section or quote, which holds `section`, and whose text from `place` to `end` is not written
    yet; or a list of `items`, whose last item is `item` and ends at `end`.
    """

    def __init__(self, text: str, runs: Runs, sizes: Sizes, start: int) -> None:
        self.text, self.runs, self.start, self.header = text, runs, start, ""
        self.begun, self.containers = sizes.runs, sizes.containers
        self.elements: list[Element] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.section: list[Element] | None = None
        self.items: list[Element] | None = None
        self.item: Element = {}
        self.number: int | None = None
        self.quote = self.depth = self.place = self.end = 0
        self.apart = self.empty = False

    def write(self, blocks: Iterable[Block]) -> list[Element]:
        """The elements of all blocks, in order."""
        for block in blocks:
            start, body, end, kind, _, _, quote, depth, marker = block
            if kind is _CODE or kind is _TABLE:
                self._add_solid(start, end, quote)
            elif marker and marker[0] not in _BOXES:
                self._add_item(block)
            elif self.items is None or marker or depth != self.depth or quote != self.quote:
                section = self.section
                if section is None or quote != self.quote:
                    section = self._begin_section(start, quote)
                if kind is _HEADING and body < end:
                    self._add_heading(section, body, end)
            else:
                self._add_to_item(start, body, end, kind)
            self.end = end
        if self.elements:
            self._close()
        return self.elements

    def _open(self, element: Element, start: int, quote: int, size: int) -> None:
        """Add an element after the text before it is written, and record its size."""
        if self.elements:
            self._close()
        self.items = None
        self.elements.append(element)
        self.starts.append(start)
        self.quote = quote
        self.begun[start] = TEXT
        self.containers[start] = size

    def _close(self) -> None:
        """Write the rest of the open section, if there is one, and the blank line before it."""
        self.ends.append(self.end)
        section = self.section
        if section is not None:
            if self.place < self.end:
                section += self.runs.between(self.place, self.end)
            if self.apart:
                self._put_apart(section)
            self.section = None

    def _put_apart(self, section: list[Element]) -> None:
        """Write a blank line before a section: into its first text, if that has no style."""
        if section and section[0].keys() == _BARE:
            section[0]["text"] = "\n" + section[0]["text"]
            return
        if section:  # in an empty section, the size recorded at its start is this text's
            self.containers[self.starts[-1] + 1] += TEXT
        section.insert(0, _text("\n"))

    def _add_solid(self, start: int, end: int, quote: int) -> None:
        """Add code or a table. If a part begins inside a table, the header is repeated there."""
        text, self.header = self.header + self.text[start:end], ""
        inner = [{"type": "text", "text": text}]
        element: Element = {"type": "rich_text_preformatted", "elements": inner}
        if quote:
            element["border"] = 1
        self._open(element, start, quote, SOLID + BORDER if quote else SOLID)

    def _begin_section(self, start: int, quote: int) -> list[Element]:
        """Begin a section; Slack adds no blank line before it, so one in the text is written."""
        section: list[Element] = []
        kind = "rich_text_quote" if quote else "rich_text_section"
        self._open({"type": kind, "elements": section}, start, quote, SECTION)
        self.section, self.place = section, start
        blank = start - 2 >= self.start and self.text.startswith("\n\n", start - 2)
        self.apart = blank and not quote
        if self.apart:
            self.starts[-1] -= 1
        return section

    def _add_heading(self, section: list[Element], body: int, end: int) -> None:
        if self.place < body:
            section += self.runs.between(self.place, body)
        section += self.runs.bold(body, end)
        self.place = end

    def _add_item(self, block: Block) -> None:
        """Add an item to the open list, if it is the next one on that level, or to a new list."""
        start, body, end, kind, _, _, quote, depth, marker = block
        number = None if marker[0] == _BULLET else int(marker[:-2])
        items = self.items
        if items is not None and self._follows(number, depth, quote):
            self.begun[start] = TEXT
            self.containers[start] = SECTION
        else:
            items = self._begin_list(block, number)
        self.number = number
        inner = self._written(body, end, kind)
        self.empty = not inner
        self.item = {"type": "rich_text_section", "elements": inner or [_text(" ")]}
        items.append(self.item)

    def _follows(self, number: int | None, depth: int, quote: int) -> bool:
        """Whether a bullet follows a bullet, or the next number a number."""
        if depth != self.depth or quote != self.quote:
            return False
        if number is None or self.number is None:
            return number is self.number
        return number == self.number + 1

    def _begin_list(self, block: Block, number: int | None) -> list[Element]:
        start, _, _, _, _, _, quote, depth, marker = block
        items: list[Element] = []
        style = "bullet" if number is None else "ordered"
        element: Element = {"type": "rich_text_list", "style": style, "elements": items}
        element["indent"] = depth - 1
        size = LIST + SECTION
        if number is not None:
            size += OFFSET + len(marker)
        if number:
            element["offset"] = number - 1
        if quote:
            element["border"] = 1
            size += BORDER
        self._open(element, start, quote, size)
        self.items, self.depth = items, depth
        return items

    def _add_to_item(self, start: int, body: int, end: int, kind: Kind) -> None:
        """Continue an item with line feeds and text, without the spaces before the text.

        Slack indents all lines of an item.
        """
        inner = self.item["elements"]
        if self.empty:
            inner.clear()
            self.empty = False
        _put_behind(inner, _text(self.text[self.end : start]))
        for element in self._written(body, end, kind):
            _put_behind(inner, element)

    def _written(self, body: int, end: int, kind: Kind) -> list[Element]:
        """The elements of an item's block."""
        if kind is _HEADING and body < end:
            return self.runs.bold(body, end)
        return self.runs.between(body, end)


def _text(words: str) -> Element:
    return {"type": "text", "text": words}


def _put_behind(elements: list[Element], element: Element) -> None:
    """Add an element; a text without style is joined to a text without style before it."""
    if elements and elements[-1].keys() == element.keys() == _BARE:
        elements[-1]["text"] += element["text"]
    else:
        elements.append(element)
