"""Which blocks of a document one element of a rich text holds. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gateway_core.text import Block, Kind

SOLID = (Kind.CODE, Kind.TABLE)

PING = re.compile(
    r"<(?:@(?P<user>[UW][A-Z0-9]+)|!(?P<range>channel|here|everyone)"
    r"|!subteam\^(?P<group>S[A-Z0-9]+))(?:\|[^|<>]{0,80})?>"
)


def grouped(blocks: Iterable[Block]) -> list[list[Block]]:
    """Blocks that one element holds: paragraphs together, items of one list and level."""
    groups: list[list[Block]] = []
    for block in blocks:
        if groups and _continues(groups[-1], block):
            groups[-1].append(block)
        else:
            groups.append([block])
    return groups


def _continues(group: Sequence[Block], block: Block) -> bool:
    first = group[0]
    if block.quote != first.quote or block.kind in SOLID or group[-1].kind in SOLID:
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
    marker = block.marker
    return marker != "" and (marker[0] == "•" or marker[0].isdigit())


def number(block: Block) -> int | None:
    """What the item is numbered; None where it has a bullet or a box."""
    digits = block.marker.removesuffix(". ")
    return int(digits) if digits.isdigit() else None
