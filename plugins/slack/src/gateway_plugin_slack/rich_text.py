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
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import attrs

from gateway_core.text import Block, Document
from gateway_plugin_slack.grouping import PING, SOLID, grouped, listed, number
from gateway_plugin_slack.leaves import NO_STYLE, Leaf, leaves_of
from gateway_plugin_slack.sizes import Sizes, calls_of, containers_of

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
    writer: _Writer = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        groups = grouped(self.document.blocks)
        containers = [*containers_of(groups)]
        leaves = leaves_of(self.document, [place for place, _ in containers])
        self.writer = _Writer(self.document, groups, leaves, self.mentions)
        if self.mentions:
            containers = sorted([*containers, *calls_of(self.document)])
        self.sizes = Sizes(leaves, containers)

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
        elements = list(self.writer.elements(start, end))
        return {**self.fields(text), "blocks": [{"type": "rich_text", "elements": elements}]}


@attrs.define(eq=False)
class _Writer:
    """Turns a stretch of the document into the elements of a rich_text block."""

    document: Document
    groups: Sequence[Sequence[Block]]
    leaves: Sequence[Leaf]
    mentions: bool
    starts: list[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.starts = [leaf.start for leaf in self.leaves]

    def elements(self, start: int, end: int) -> Iterator[dict[str, Any]]:
        """Sections, lists, quotes and preformatted text, in order."""
        whole = start == 0 and end == len(self.document.text)
        for blocks in self.groups if whole else grouped(self._clipped(start, end)):
            first = blocks[0]
            if first.kind in SOLID:
                element = self._solid(first)
            elif listed(first):
                element = self._list(blocks)
            else:
                kind = "rich_text_quote" if first.quote else "rich_text_section"
                inline = self._inline(first.start, blocks[-1].end)
                if not first.quote and self._apart(start, first.start):
                    _prepend("\n", inline)
                yield {"type": kind, "elements": inline}
                continue
            if first.quote:
                element["border"] = 1
            yield element

    def _solid(self, block: Block) -> dict[str, Any]:
        text = self.document.header_at(block.start) + self._text(block.start, block.end)
        return {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}

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
        inline = self._inline(first.body, first.end)
        for before, block in pairwise(blocks):
            # What stands before a block that goes on in the item: line feeds, then spaces.
            _append(inline, _element(self._text(before.end, block.start), NO_STYLE))
            for element in self._inline(block.body, block.end):
                _append(inline, element)
        return {"type": "rich_text_section", "elements": inline or [_element(" ", NO_STYLE)]}

    def _inline(self, start: int, end: int) -> list[dict[str, Any]]:
        """The characters of the stretch as elements of one style each."""
        text, leaves = self.document.text, self.leaves
        elements: list[dict[str, Any]] = []
        at = bisect_right(self.starts, start) - 1
        while start < end:
            _, high, style, url, _, _ = leaves[at]
            at += 1
            while high < end and leaves[at].again:
                high, at = leaves[at].end, at + 1
            words = text[start : min(high, end)]
            if not self.mentions or url or "code" in style:
                elements.append(_element(words, style, url))
            else:
                elements.extend(_with_pings(words, style))
            start = high
        return elements


def _element(text: str, style: Mapping[str, bool], url: str = "") -> dict[str, Any]:
    element: dict[str, Any] = (
        {"type": "link", "url": url, "text": text} if url else {"type": "text", "text": text}
    )
    if style:
        element["style"] = {**style}
    return element


def _prepend(text: str, elements: list[dict[str, Any]]) -> None:
    """Text in no style, in the first element where that has none either."""
    if elements and elements[0].keys() == _BARE:
        elements[0]["text"] = text + elements[0]["text"]
    else:
        elements.insert(0, _element(text, NO_STYLE))


def _append(elements: list[dict[str, Any]], element: dict[str, Any]) -> None:
    """Add an element; what is text in no style goes on in the one before, if that is so too."""
    if elements and elements[-1].keys() == element.keys() == _BARE:
        elements[-1]["text"] += element["text"]
    elif element.get("text") != "":
        elements.append(element)


def _with_pings(text: str, style: Mapping[str, bool]) -> Iterator[dict[str, Any]]:
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
