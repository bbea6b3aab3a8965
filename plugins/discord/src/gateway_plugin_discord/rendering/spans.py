"""Decides how Discord shows a span: in marks or written out; finds what is lost. Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, TypeAlias

from gateway_core.text import Document, Span, Style
from gateway_plugin_discord.rendering.blocks import is_bold, is_solid
from gateway_plugin_discord.rendering.dialect import (
    CLOSERS,
    MARKED,
    MARKS,
    Mark,
    code,
    escaping,
    target,
)

# Enum members as globals: CPython 3.11 takes longer to find one in its class than to make a call.
_CODE: Final = Style.CODE
_LINK: Final = Style.LINK

Look: TypeAlias = tuple[int, int, Mark | None, Callable[[str], str] | None]
"""A span's start and end, and its marks, or the function that writes it as it is."""

_ENDS_WORDS: Final = re.compile(r"[^\[]*?\]\(")

_VERBATIM: Final = {_CODE: "code", _LINK: "an address"}
"""Styles whose text is written as it is. If such a text has a character that would close a style
around it, that style is left off the text."""


class Looks:
    """Says how the spans of a document are shown.

    previews  let Discord unfold links
    wholes    the whole span of each span that is a part of another
    """

    def __init__(self, document: Document, previews: bool) -> None:
        self.document, self.previews = document, previews
        self.masked_from = _masked_from(document)
        self.wholes: dict[Span, Span] = {}

    def of(self, span: Span) -> Look:
        """The look of a span that is not a quote."""
        begin, until, style, value = span
        if style is _CODE:
            return begin, until, None, code
        if style is not _LINK:
            return begin, until, MARKED[style], None
        start, end, _, _ = self.wholes.get(span, span)
        text = self.document.text[start:end]
        if not value or value == text:
            return begin, until, None, self._bare(value, end) if value else None
        address = target(value, preview=self.previews)
        if start < self.masked_from or not _is_maskable(text):
            return begin, until, ("", f" ({address})"), None
        return begin, until, ("[", f"]({address})"), None

    def _bare(self, address: str, end: int) -> Callable[[str], str]:
        """Writes a bare address; it gets a preview only if Discord can see where it ends."""
        free = self.document.text[end : end + 1] in ("", " ", "\n")
        return partial(_as_address, address, self.previews and free)

    def lost(self, spans: Iterable[Span]) -> Iterator[tuple[int, str]]:
        """The places where spans are not shown as they are, each with the degradation."""
        text = self.document.text
        for span in dict.fromkeys([self.wholes.get(span, span) for span in spans]):
            start, end, style, value = span
            words = text[start:end]
            if style is _LINK and value not in ("", words):
                if start < self.masked_from or not _is_maskable(words):
                    yield start, "link written out"
            elif style in _VERBATIM and not CLOSERS.isdisjoint(words) and self._is_styled(span):
                yield start, f"style left off {_VERBATIM[style]}"

    def _is_styled(self, span: Span) -> bool:
        block = self.document.block_at(span.start)
        around = self.document.nesting.touching(span.start, span.end)
        bold = block is not None and is_bold(block)
        return bold or any(other.style in MARKS for other in around)


def _as_address(address: str, preview: bool, piece: str) -> str:
    """An address or its beginning. The rest of a cut address is not one: it is written as text."""
    if len(piece) <= address.find(":") or not address.startswith(piece):
        return escaping()(piece)
    return piece if preview else f"<{piece}>"


def _is_maskable(text: str) -> bool:
    """Whether a link with these words can be masked; else its address is written after them."""
    return not ("://" in text or "[" in text or "]" in text)


def _masked_from(document: Document) -> int:
    """The place from which links can be masked: the last code that would end a link's words.

    Discord looks for the end of a link's words inside code as well, where no backslash can stop it.
    """
    if "](" not in document.text:
        return 0
    solid = [block for block in document.blocks if is_solid(block)]
    coded = [span for span in document.spans if span.style is _CODE]
    places = [(block.start, block.end) for block in solid]
    places += [(span.start, span.end) for span in coded]
    return max((a for a, b in places if _ENDS_WORDS.match(document.text, a, b)), default=0)
