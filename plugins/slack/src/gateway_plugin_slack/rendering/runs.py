"""Makes a document's characters into runs, rich text elements of one style each. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from gateway_core.text import Span, Style
from gateway_plugin_slack.rendering.sizes import FLAGS, LINK, TEXT, Sizes, size_of_style

Element: TypeAlias = dict[str, Any]

# Enum members as globals: CPython 3.11 takes longer to find one in its class than to make a call.
_BOLD: Final = Style.BOLD
_LINK: Final = Style.LINK

_STYLED: Final = {style: TEXT + size_of_style((name,)) for style, name in FLAGS.items()}
"""The size of an element in one style, besides its characters."""

_NONE: Final = Span(1 << 62, 1 << 62, _BOLD)
"""A span that lies after the last span of any text."""


class Runs:
    """Writes stretches of a text, which are asked for in order; no span ends outside its stretch.

    `spans` are the styles, which nest, in order of their starts, the longer first. `sizes` records
    the sizes of the elements; after the end of a span, it records the size of a text without style.
    """

    def __init__(self, text: str, spans: Iterable[Span], sizes: Sizes) -> None:
        self.text = text
        self.spans = iter(spans)
        self.span = next(self.spans, _NONE)
        self.sizes = sizes.runs

    def between(self, start: int, end: int) -> list[Element]:
        """The elements of `start..end`. Most spans have no other span inside."""
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
                elements += self._nested(*span)
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
            return self._nested(start, end, _BOLD)
        self.sizes[start] = _STYLED[_BOLD]
        return [{"type": "text", "text": self.text[start:end], "style": {"bold": True}}]

    def _nested(self, start: int, end: int, style: Style, value: str = "") -> list[Element]:
        """The elements of a span, and of the spans inside it."""
        elements: list[Element] = []
        around: list[tuple[int, tuple[Style, ...], str]] = [(end, (style,), value)]
        while around:
            high, styles, address = around[-1]
            inner = self.span
            edge = min(inner[0], high)
            if start < edge:
                elements.append(self._run(start, edge, styles, address))
                start = edge
            if inner[0] < high:
                around.append((inner[1], (*styles, inner[2]), inner[3] or address))
                self.span = next(self.spans, _NONE)
            else:
                around.pop()
        return elements

    def _run(self, start: int, end: int, styles: tuple[Style, ...], address: str) -> Element:
        words = self.text[start:end]
        style, size = _styled(styles)
        if address:
            element: Element = {"type": "link", "url": address, "text": words}
            size += LINK + len(address)
        else:
            element = {"type": "text", "text": words}
            size += TEXT
        if style:
            element["style"] = {**style}
        self.sizes[start] = size
        return element


@lru_cache(maxsize=256)
def _styled(styles: tuple[Style, ...]) -> tuple[Mapping[str, bool], int]:
    """Slack's names of the styles, outermost first, and the size of their JSON."""
    style = {FLAGS[one]: True for one in styles if one in FLAGS}
    return style, size_of_style(style)
