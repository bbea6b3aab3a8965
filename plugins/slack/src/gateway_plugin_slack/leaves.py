"""A document's characters as elements of one style each: the leaves of its rich text. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from gateway_core.text import Span, Style
from gateway_plugin_slack.sizes import FLAG, FLAGS, LINK, STYLE, TEXT, Sizes

Element: TypeAlias = dict[str, Any]

# Members in names of their own: CPython 3.11 takes longer to find one in its class than to call.
_BOLD, _LINK = Style.BOLD, Style.LINK

_STYLED = {style: TEXT + STYLE + FLAG + len(name) for style, name in FLAGS.items()}
"""What an element in one style takes besides its characters."""

_NONE = Span(1 << 62, 1 << 62, _BOLD)
"""Behind the last span of any text."""


class Leaves:
    """Writes stretches of a text, which are asked for in order; no span ends outside its stretch.

    `spans` are the styles, by start and then the longer first; they nest. `sizes` is told what the
    elements take, and that what follows a span takes what a text without style does.
    """

    def __init__(self, text: str, spans: Iterable[Span], sizes: Sizes) -> None:
        self.text = text
        self.spans = iter(spans)
        self.span = next(self.spans, _NONE)
        self.sizes = sizes.leaves

    def between(self, start: int, end: int) -> list[Element]:
        """The elements of `start..end`. Most spans stand alone, with none inside them."""
        text, span = self.text, self.span
        if span[0] >= end:
            return [{"type": "text", "text": text[start:end]}] if start < end else []
        elements: list[Element] = []
        while span[0] < end:
            low, high, style, value = span
            following = next(self.spans, _NONE)
            if start < low:
                elements.append({"type": "text", "text": text[start:low]})
            if following[0] < high:
                self.span = following
                elements += self._nested(span)
                following = self.span
            elif style in FLAGS:
                name = FLAGS[style]
                elements.append({"type": "text", "text": text[low:high], "style": {name: True}})
                self.sizes[low] = _STYLED[style]
            elif style is _LINK:
                elements.append({"type": "link", "url": value, "text": text[low:high]})
                self.sizes[low] = LINK + len(value)
            else:
                elements.append({"type": "text", "text": text[low:high]})
                self.sizes[low] = TEXT
            self.sizes[high] = TEXT
            start, span = high, following
        self.span = span
        if start < end:
            elements.append({"type": "text", "text": text[start:end]})
        return elements

    def bold(self, start: int, end: int) -> list[Element]:
        """The elements of `start..end`, all of it bold as well."""
        self.sizes[end] = TEXT
        if self.span[0] < end:
            return self._nested(Span(start, end, _BOLD))
        self.sizes[start] = _STYLED[_BOLD]
        return [{"type": "text", "text": self.text[start:end], "style": {"bold": True}}]

    def _nested(self, outer: Span) -> list[Element]:
        """The elements of a span and of those that stand inside it."""
        elements: list[Element] = []
        opened, place = [outer], outer[0]
        while opened:
            inner = self.span if self.span[0] < opened[-1][1] else None
            edge = inner[0] if inner else opened[-1][1]
            if place < edge:
                elements.append(self._leaf(opened, place, edge))
                place = edge
            if inner:
                opened.append(inner)
                self.span = next(self.spans, _NONE)
            else:
                opened.pop()
        return elements

    def _leaf(self, around: list[Span], start: int, end: int) -> Element:
        """The characters of `start..end` as one element, in the styles that stand around it."""
        words = self.text[start:end]
        address, style = "", {}
        for span in around:
            if span[2] in FLAGS:
                style[FLAGS[span[2]]] = True
            elif span[2] is _LINK:
                address = span[3]
        if address:
            element: Element = {"type": "link", "url": address, "text": words}
            size = LINK + len(address)
        else:
            element, size = {"type": "text", "text": words}, TEXT
        if style:
            element["style"] = style
            size += STYLE + FLAG * len(style) + len("".join(style))
        self.sizes[start] = size
        return element
