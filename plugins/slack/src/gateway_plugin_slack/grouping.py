"""Which blocks of a document one element of a rich text holds, and which styles one stretch has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from gateway_core.text import Block, Kind, Span, Style

FLAGS = {
    Style.BOLD: "bold",
    Style.ITALIC: "italic",
    Style.STRIKE: "strike",
    Style.UNDERLINE: "underline",
    Style.CODE: "code",
}
PING = re.compile(
    r"<(?:@(?P<user>[UW][A-Z0-9]+)|!(?P<range>channel|here|everyone)"
    r"|!subteam\^(?P<group>S[A-Z0-9]+))(?:\|[^|<>]{0,80})?>"
)


def grouped(blocks: Iterator[Block]) -> Iterator[list[Block]]:
    """Blocks that one element holds: paragraphs together, items of one list and level."""
    group: list[Block] = []
    for block in blocks:
        if group and not _continues(group, block):
            yield group
            group = []
        group.append(block)
    if group:
        yield group


def _continues(group: Sequence[Block], block: Block) -> bool:
    first, last = group[0], group[-1]
    solid = (Kind.CODE, Kind.TABLE)
    if block.kind in solid or last.kind in solid or block.quote != first.quote:
        return False
    if not listed(first):
        return not listed(block)
    if block.depth != first.depth:
        return False
    return not block.marker or (listed(block) and _follows(group, block))


def _follows(group: Sequence[Block], block: Block) -> bool:
    """Whether the item is the next of the group's list: another bullet, or the next number."""
    here = number(block)
    last = next(number(item) for item in reversed(group) if item.marker)
    return here is None if last is None else here == last + 1


def listed(block: Block) -> bool:
    """Whether the block begins an item of a list; a task's box is a character, not a bullet."""
    return block.marker[:1] == "•" or block.marker[:1].isdigit()


def number(block: Block) -> int | None:
    """What the item is numbered; None where it has a bullet or a box."""
    digits = block.marker.removesuffix(". ")
    return int(digits) if digits.isdigit() else None


def swept(spans: Sequence[Span], edges: Sequence[int]) -> Iterator[tuple[int, int, Sequence[Span]]]:
    """Each stretch between two edges with the spans that it stands in."""
    active: list[Span] = []
    following = 0
    for low, high in pairwise(edges):
        if active:
            active = [span for span in active if span.end > low]
        while following < len(spans) and spans[following].start <= low:
            active.append(spans[following])
            following += 1
        yield low, high, active


def outermost_first(span: Span) -> tuple[int, int]:
    """The order in which spans nest."""
    return span.start, -span.end
