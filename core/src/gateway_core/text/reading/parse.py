"""Reads Markdown (CommonMark and GFM's tables) as styled text, in one pass over pyromark's events.

Raw HTML is text. A line break in a paragraph stays a line break, as people in a chat mean it.
Control and bidirectional formatting characters become what Telegram's server makes of them: tabs
and controls become spaces; carriage returns and U+2028 to U+202E are dropped. The work is linear.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from gateway_core.text.document import Block, Document, Kind, Span, Style
from gateway_core.text.links import bare_addresses
from gateway_core.text.reading.builder import Builder
from gateway_core.text.reading.canvas import CLEANED, SURROGATE, is_clean
from gateway_core.text.reading.events import events_of
from gateway_core.text.reading.excerpt import Excerpt
from gateway_core.text.reading.spoilers import BAR, hidden

# Enum members as globals: in CPython 3.11 finding one in its class takes longer than a call.
_LINK: Final = Style.LINK
_VERBATIM: Final = (Style.LINK, Style.CODE)
_SOLID: Final = (Kind.CODE, Kind.TABLE)

_PROSE: Final = re.compile(r"[^\W\d_](?:[^\W_]|[,.!?'()%/+=;-]|\x20(?!\Z))*+")


def parse(source: str) -> Document:
    """The styled text of a Markdown `source`. Any text can be parsed; nothing is raised.

    Each lone surrogate becomes U+FFFD. An `Excerpt` is shown as it looks in its whole text.
    """
    if isinstance(source, Excerpt):
        return attrs.evolve(parse(source.whole), shown=(source.start, source.end))
    return _as_it_is(source) if is_prose(source) else read(source)


def is_prose(source: str) -> bool:
    """Whether the text is one line of words without markup, of Markdown or of a platform.

    An `Excerpt` never is, since its look depends on its whole text.
    """
    return type(source) is not Excerpt and _PROSE.fullmatch(source) is not None


def read(source: str) -> Document:
    """Read a text like `parse`, without its shortcuts."""
    try:
        octets = source.encode()
    except UnicodeEncodeError:
        source = SURROGATE.sub("\ufffd", source)
        octets = source.encode()
    clean = is_clean(octets)
    builder = Builder(clean=clean)
    builder.read(events_of(source))
    document = builder.document(source)
    if not document.text or document.text.isspace():
        return _as_it_is(source)
    if BAR in document.text:
        document = hidden(document, octets)
    return _with_bare_links(document) if "://" in document.text else document


def _as_it_is(source: str) -> Document:
    """The source itself as text, if nothing of it would be visible (empty fence, definitions)."""
    text = source.translate(CLEANED)
    blocks = (Block(0, 0, len(text), Kind.PARAGRAPH),) if text else ()
    return Document(source=source, text=text, blocks=blocks)


def _with_bare_links(document: Document) -> Document:
    """The document with the bare addresses of its text as links."""
    bare = [
        Span(start, end, _LINK, document.text[start:end])
        for start, end in bare_addresses(document.text)
        if _is_free(document, start, end)
    ]
    if not bare:
        return document
    spans = sorted([*document.spans, *bare], key=_outermost_first)
    return attrs.evolve(document, spans=tuple(spans))


def _outermost_first(span: Span) -> tuple[int, int]:
    return span.start, -span.end


def _is_free(document: Document, start: int, end: int) -> bool:
    """Whether a bare address can be a link: no style splits it, and it is in no code or link."""
    block = document.block_at(start)
    if block is not None and block.kind in _SOLID:
        return False
    return all(_holds(span, start, end) for span in document.nesting.touching(start, end))


def _holds(span: Span, start: int, end: int) -> bool:
    """Whether a span is a style that holds the whole stretch."""
    whole = span.start <= start and end <= span.end
    return whole and span.style not in _VERBATIM
