"""From Markdown to styled text: one pass over pyromark's events (CommonMark and GFM's tables).

Raw HTML is text. A line break in a paragraph stays one, as people who write in a chat mean it.
Control and bidirectional formatting characters become what Telegram's server makes of them: tabs
and controls are spaces, carriage returns and U+2028 to U+202E are dropped. The work is linear.
"""

from __future__ import annotations

import re
from typing import Final

import attrs
import pyromark

from gateway_core.text.document import Block, Document, Kind, Span, Style
from gateway_core.text.links import bare_addresses
from gateway_core.text.reading.builder import Builder
from gateway_core.text.reading.canvas import CLEANED, SURROGATE, is_clean
from gateway_core.text.reading.excerpt import Excerpt
from gateway_core.text.reading.spoilers import BAR, hidden

# Members in names of their own: CPython 3.11 takes longer to find one in its class than to call.
_LINK: Final = Style.LINK
_VERBATIM: Final = (Style.LINK, Style.CODE)
_SOLID: Final = (Kind.CODE, Kind.TABLE)

_OPTIONS: Final = pyromark.Options
_MARKDOWN: Final = pyromark.Markdown(
    options=_OPTIONS.ENABLE_TABLES | _OPTIONS.ENABLE_STRIKETHROUGH | _OPTIONS.ENABLE_TASKLISTS
)
_PROSE: Final = re.compile(r"[^\W\d_](?:[^\W_]|[,.!?'()%/+=;-]|\x20(?!\Z))*+")


def parse(source: str) -> Document:
    """The styled text of a Markdown `source`. Any text can be parsed; nothing is raised.

    Lone surrogates become U+FFFD, one for one. An `Excerpt` is shown as it looks in its whole.
    """
    if isinstance(source, Excerpt):
        return attrs.evolve(parse(source.whole), shown=(source.start, source.end))
    return _as_it_is(source) if is_prose(source) else read(source)


def is_prose(source: str) -> bool:
    """Whether it is one line of words without markup, of Markdown or of a platform.

    An `Excerpt` is not: it looks as it does in its whole.
    """
    return type(source) is not Excerpt and _PROSE.fullmatch(source) is not None


def read(source: str) -> Document:
    """The same as `parse` of a text, whatever is in it."""
    try:
        octets = source.encode()
    except UnicodeEncodeError:
        source = SURROGATE.sub("\ufffd", source)
        octets = source.encode()
    clean = is_clean(octets)
    builder = Builder(clean=clean)
    builder.read(_MARKDOWN.events_with_range(source))
    document = builder.document(source)
    if not document.text or document.text.isspace():
        return _as_it_is(source)
    if BAR in document.text:
        document = hidden(document, octets)
    return _with_bare_links(document) if "://" in document.text else document


def _as_it_is(source: str) -> Document:
    """A source of which nothing would be seen (an empty fence, definitions) is shown itself."""
    text = source.translate(CLEANED)
    blocks = (Block(0, 0, len(text), Kind.PARAGRAPH),) if text else ()
    return Document(source=source, text=text, blocks=blocks)


def _with_bare_links(document: Document) -> Document:
    """The document with the addresses that stand in its text by themselves as links."""
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
    """Whether an address can be a link by itself: it is whole in its styles, and in no code."""
    block = document.block_at(start)
    if block is not None and block.kind in _SOLID:
        return False
    return all(_holds(span, start, end) for span in document.nesting.touching(start, end))


def _holds(span: Span, start: int, end: int) -> bool:
    """Whether a span is a style all around a stretch."""
    whole = span.start <= start and end <= span.end
    return whole and span.style not in _VERBATIM
