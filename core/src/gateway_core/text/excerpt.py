"""A stretch of Markdown that stands by itself: what is open at its ends is opened and closed."""

from __future__ import annotations

import re

from gateway_core.text.document import Block, Document, Kind, Span, Style
from gateway_core.text.parse import parse

_MARKS = {Style.BOLD: "**", Style.ITALIC: "*", Style.STRIKE: "~~", Style.CODE: "`"}
_FENCES = re.compile(r"[^\w`~]*(`{3,}|~{3,})")


def excerpt(source: str, start: int, end: int) -> tuple[str, int]:
    """The Markdown of `start..end` of `source`, readable without the rest, and what was added.

    `start` and `end` are those of a part's span. A fence, a table's header, a quote, a style or a
    link that the stretch begins inside is opened before it; what it ends inside is closed behind
    it. The number counts the characters put before it: a place in the excerpt is the place in
    the stretch and that many more. Of containers within containers only a quote is opened again.
    """
    document = parse(source)
    low, high = document.place_of(start), document.place_of(end)
    before = "" if start == 0 else _opened(document, low, start)
    after = "" if end == len(source) else _closed(document, high)
    stretch = source[start:end]
    return f"{before}{stretch.rstrip() if after else stretch}{after}", len(before)


def _opened(document: Document, place: int, start: int) -> str:
    block = document.block_at(place)
    if block is None:
        return ""
    quote = "> " if block.quote and document.source[start : start + 1] != ">" else ""
    if place <= block.start:
        return quote
    if block.kind is Kind.CODE:
        return f"{quote}{_fence(document, block)}{block.language}\n{quote}"
    if block.kind is Kind.TABLE:
        return quote + _header(document, block) if place >= block.body else quote
    return quote + "".join(_mark(span, 0) for span in _open_at(document, place))


def _closed(document: Document, place: int) -> str:
    block = document.block_at(max(place - 1, 0))
    if block is None:
        return ""
    if block.kind is Kind.CODE and place < block.end:
        return f"\n{'> ' if block.quote else ''}{_fence(document, block)}"
    return "".join(_mark(span, 1) for span in reversed(_open_at(document, place)))


def _open_at(document: Document, place: int) -> list[Span]:
    spans = document.nesting.open_at(place)
    return [span for span in spans if span.style in _MARKS or span.style is Style.LINK]


def _mark(span: Span, end: int) -> str:
    return ("[", f"]({span.value})")[end] if span.style is Style.LINK else _MARKS[span.style]


def _fence(document: Document, block: Block) -> str:
    """What the block itself was fenced with; three backticks where it was indented."""
    found = _FENCES.match(document.source, document.source_at(block.start))
    return found[1] if found else "```"


def _header(document: Document, block: Block) -> str:
    return document.source[document.source_at(block.start) : document.source_at(block.body)]
