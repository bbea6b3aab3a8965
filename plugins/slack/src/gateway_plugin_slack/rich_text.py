"""Styled text as a rich_text block: exact styles, nothing to escape, nothing that pings by itself.

Of Slack's forms this keeps most. `mrkdwn` formats at word boundaries only, has no lists and must be
escaped; `markdown_text` excludes `text`, which notifications and screen readers want, and makes
mentions of what a model wrote. A rich_text block has nested lists, quotes, preformatted text and
links with any style (docs.slack.dev, rich text block). Headings are bold, tables preformatted,
task boxes and rules characters.

All blocks of a message may have about 12,000 characters, their containers counted in part
(github.com/slackapi/bolt-js/issues/2509, 2867), so what is measured here is the blocks' JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from gateway_core.text import Block, Document, Span, Style
from gateway_plugin_slack.calls import CallingLeaves, note_calls
from gateway_plugin_slack.grouping import Grouping
from gateway_plugin_slack.leaves import Element, Leaves
from gateway_plugin_slack.sizes import TEXT, Sizes

MOST_JSON = 12_000

_QUOTE = Style.QUOTE

_ESCAPED = '\n\t"\\'


@attrs.define(eq=False)
class RichText:
    """One document as Slack shows it; a `Rendering` of gateway_core.text.

    limit    what `measure` of the visible text may be: it stands in `text` as well
    measure  of the text as it is written there
    fields   what every part's payload has besides, made from its visible text
    room     characters that the JSON of the blocks may have

    The whole is written at once, and its sizes are counted by that. Most texts are one part, which
    is that; of the others each part is written anew.
    """

    document: Document
    limit: int
    measure: Callable[[str], int]
    fields: Callable[[str], Mapping[str, Any]]
    mentions: bool = False
    room: int = MOST_JSON
    sizes: Sizes = attrs.field(init=False, factory=Sizes)
    whole: list[Element] | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        spans = []
        for span in self.document.spans:
            if span[2] is _QUOTE:  # its start is that of a block, which is counted
                self.sizes.leaves[span[1]] = TEXT
            else:
                spans.append(span)
        if self.mentions:
            note_calls(self.document.text, self.sizes)
        self.whole = self._written(0, self.document.blocks, spans, self.sizes)

    def cost(self, start: int, end: int) -> int:
        """The measure of the text, or the share of the blocks' JSON, whichever is nearer."""
        text = self._header(start) + self.document.text[start:end]
        if self._is_whole(start, end):
            size = self.sizes.before(end) + len(text)
        else:
            size = self.sizes.between(start, end) + len(text)
        measured = self.measure(text)
        if (size + len(text)) * self.limit <= measured * self.room:
            return measured  # even with a backslash before each character
        for sign in _ESCAPED:
            if sign in text:  # to ask costs a tenth of counting
                size += text.count(sign)
        return max(measured, -(-size * self.limit // self.room))

    def payload(self, start: int, end: int) -> Mapping[str, Any]:
        """`blocks`, and `text` for notifications and screen readers."""
        text = self._header(start) + self.document.text[start:end]
        elements = self._elements(start, end)
        return {**self.fields(text), "blocks": [{"type": "rich_text", "elements": elements}]}

    def _is_whole(self, start: int, end: int) -> bool:
        return start == 0 and end == len(self.document.text)

    def _header(self, start: int) -> str:
        return self.document.header_at(start) if start else ""

    def _elements(self, start: int, end: int) -> list[Element]:
        """Sections, lists, quotes and preformatted text, in order: each time others."""
        if self.whole is not None and self._is_whole(start, end):
            elements, self.whole = self.whole, None
            return elements
        spans = [
            Span(max(low, start), min(high, end), style, value)
            for low, high, style, value in self.document.nesting.touching(start, end)
            if style is not _QUOTE
        ]
        return self._written(start, self._clipped(start, end), spans, Sizes())

    def _written(
        self, start: int, blocks: Iterable[Block], spans: Iterable[Span], sizes: Sizes
    ) -> list[Element]:
        text = self.document.text
        leaves = (CallingLeaves if self.mentions else Leaves)(text, spans, sizes)
        return Grouping(text, leaves, sizes, start, self._header(start)).write(blocks)

    def _clipped(self, start: int, end: int) -> Iterator[Block]:
        """The blocks of the stretch. One that goes on from before has no marker any more."""
        for block in self.document.blocks_in(start, end):
            if block.start >= start and block.end <= end:
                yield block
                continue
            clipped = block._replace(end=min(block.end, end))
            if block.start < start:
                clipped = clipped._replace(start=start, body=max(block.body, start), marker="")
            if clipped.end > clipped.start:
                yield clipped
