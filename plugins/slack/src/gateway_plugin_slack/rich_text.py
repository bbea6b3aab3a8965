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

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import attrs

from gateway_core.text import Block, Document, Kind, Span, Style
from gateway_plugin_slack.grouping import (
    FLAGS,
    PING,
    grouped,
    listed,
    number,
    outermost_first,
    swept,
)
from gateway_plugin_slack.sizes import Sizes

MOST_JSON = 12_000

_BARE = frozenset(("type", "text"))


@attrs.define(eq=False)
class RichText:
    """One document as Slack shows it; a `Rendering` of gateway_core.text.

    limit    what `measure` of the visible text may be: it stands in `text` as well
    measure  of the text as it is written there
    fields   what every part's payload has besides, made from its visible text
    room     characters that the JSON of the blocks may have
    """

    document: Document
    limit: int
    measure: Callable[[str], int]
    fields: Callable[[str], Mapping[str, Any]]
    mentions: bool = False
    room: int = MOST_JSON
    sizes: Sizes = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.sizes = Sizes(self.document, mentions=self.mentions)

    def cost(self, start: int, end: int) -> int:
        """The measure of the text, or the share of the blocks' JSON, whichever is nearer."""
        text = self.document.header_at(start) + self.document.text[start:end]
        size = self.sizes.between(start, end) + len(text)
        measured = self.measure(text)
        if (size + len(text)) * self.limit <= measured * self.room:
            return measured  # even with a backslash before each character
        size += sum(map(text.count, '\n\t"\\'))
        return max(measured, -(-size * self.limit // self.room))

    def payload(self, start: int, end: int) -> Mapping[str, Any]:
        """`blocks`, and `text` for notifications and screen readers."""
        text = self.document.header_at(start) + self.document.text[start:end]
        elements = list(_Writer(self.document, self.mentions).elements(start, end))
        return {**self.fields(text), "blocks": [{"type": "rich_text", "elements": elements}]}


@attrs.define(eq=False)
class _Writer:
    """Turns a stretch of the document into the elements of a rich_text block."""

    document: Document
    mentions: bool

    def elements(self, start: int, end: int) -> Iterator[dict[str, Any]]:
        """Sections, lists, quotes and preformatted text, in order."""
        for blocks in grouped(self._clipped(start, end)):
            first = blocks[0]
            border = {"border": 1} if first.quote else {}
            if first.kind in (Kind.CODE, Kind.TABLE):
                text = self.document.header_at(first.start) + self._text(first.start, first.end)
                yield {
                    "type": "rich_text_preformatted",
                    "elements": [{"type": "text", "text": text}],
                    **border,
                }
            elif listed(first):
                yield {**self._list(blocks), **border}
            else:
                kind = "rich_text_quote" if first.quote else "rich_text_section"
                begun = first.start - (not first.quote and self._apart(start, first.start))
                inline = list(self._inline(begun, blocks[-1].end, blocks))
                yield {"type": kind, "elements": inline}

    def _apart(self, start: int, place: int) -> bool:
        """Whether a blank line stands before the place: Slack leaves none behind a list or code."""
        return start <= place - 2 and self._text(place - 2, place) == "\n\n"

    def _clipped(self, start: int, end: int) -> Iterator[Block]:
        """The blocks of the stretch. One that goes on from before has no marker any more."""
        for block in self.document.blocks_in(start, end):
            if block.start >= start and block.end <= end:
                yield block
                continue
            clipped = block._replace(end=min(block.end, end))
            if block.start < start:
                clipped = clipped._replace(start=start, body=start, marker="")
            if clipped.end > clipped.start:
                yield clipped

    def _text(self, start: int, end: int) -> str:
        return self.document.text[start:end]

    def _list(self, blocks: Sequence[Block]) -> dict[str, Any]:
        """Items of one list and level; a block without a marker belongs to the item before it."""
        items: list[list[Block]] = []
        for block in blocks:
            if block.marker:
                items.append([block])
            else:
                items[-1].append(block)
        first = number(blocks[0])
        style = "bullet" if first is None else "ordered"
        sections = [self._item(item) for item in items]
        written: dict[str, Any] = {"type": "rich_text_list", "style": style, "elements": sections}
        written["indent"] = blocks[0].depth - 1
        return {**written, "offset": first - 1} if first else written

    def _item(self, blocks: Sequence[Block]) -> dict[str, Any]:
        """One item; Slack indents all its lines, so no line of it begins with spaces of ours."""
        first = blocks[0]
        inline = list(self._inline(first.body, first.end, [first]))
        for before, block in pairwise(blocks):
            # What stands before a block that goes on in the item: line feeds, then spaces.
            _append(inline, _element(self._text(before.end, block.start), {}))
            for element in self._inline(block.body, block.end, [block]):
                _append(inline, element)
        return {"type": "rich_text_section", "elements": inline or [_element(" ", {})]}

    def _inline(self, start: int, end: int, blocks: Sequence[Block]) -> Iterator[dict[str, Any]]:
        """The characters of the stretch as elements of one style each."""
        spans = self.document.nesting.touching(start, end)
        headings = [
            Span(max(block.body, start), block.end, Style.BOLD)
            for block in blocks
            if block.kind is Kind.HEADING
        ]
        if not spans and not headings:
            if end > start:
                yield from self._stretch(self._text(start, end), ())
            return
        spans = sorted([*headings, *spans], key=outermost_first) if headings else spans
        edges = {start, end}
        for span in spans:
            edges |= {max(span.start, start), min(span.end, end)}
        for low, high, active in swept(spans, sorted(edges)):
            yield from self._stretch(self._text(low, high), active)

    def _stretch(self, text: str, active: Sequence[Span]) -> Iterator[dict[str, Any]]:
        style: dict[str, bool] = {}
        link = ""
        for span in active:
            if span.style is Style.LINK:
                link = span.value
            elif flag := FLAGS.get(span.style):
                style[flag] = True
        if link:
            yield _element(text, style, url=link)
        elif self.mentions and "code" not in style:
            yield from _with_pings(text, style)
        else:
            yield _element(text, style)


def _element(text: str, style: dict[str, bool], *, url: str = "") -> dict[str, Any]:
    element: dict[str, Any] = {"type": "text", "text": text}
    if url:
        element = {"type": "link", "url": url, "text": text}
    if style:
        element["style"] = style
    return element


def _append(elements: list[dict[str, Any]], element: dict[str, Any]) -> None:
    """Add an element; what is text in no style goes on in the one before, if that is so too."""
    if elements and elements[-1].keys() == element.keys() == _BARE:
        elements[-1]["text"] += element["text"]
    elif element.get("text") != "":
        elements.append(element)


def _with_pings(text: str, style: dict[str, bool]) -> Iterator[dict[str, Any]]:
    """Text with `<@U…>`, `<!here>` and `<!subteam^S…>` as the elements that notify."""
    last = 0
    for found in PING.finditer(text):
        if found.start() > last:
            yield _element(text[last : found.start()], style)
        yield _ping(found)
        last = found.end()
    if last < len(text):
        yield _element(text[last:], style)


def _ping(found: re.Match[str]) -> dict[str, Any]:
    if found["user"]:
        return {"type": "user", "user_id": found["user"]}
    if found["group"]:
        return {"type": "usergroup", "usergroup_id": found["group"]}
    return {"type": "broadcast", "range": found["range"]}
