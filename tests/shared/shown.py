"""What a reader sees of a Markdown text, character by character: to compare it while it grows."""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway_core.text import Kind, Style, parse

STYLES = [style for style in Style if style is not Style.LINK]
KINDS = list(Kind)
SEEN = re.compile(r"\S+")
IN_TABLE = re.compile(r"[^\s|+\u200e-]+")
"""A table's columns are laid out anew with each row: what it is drawn with does not count."""


class Shown(NamedTuple):
    """Visible characters without space, and of each its styles and its block's kind as a number.

    Links do not count: half a link's words are there before it is one.
    """

    text: str
    looks: str

    def begins(self, other: Shown) -> bool:
        """Whether the other shows this, and perhaps more behind it."""
        return other.text.startswith(self.text) and other.looks.startswith(self.looks)


def shown(source: str) -> Shown:
    """What is seen of it; nothing is seen of nothing."""
    document = parse(source)
    masks = [0] * len(document.text)
    for span in document.spans:
        if span.style in STYLES:
            bit = 1 << STYLES.index(span.style)
            for at in range(span.start, span.end):
                masks[at] |= bit
    texts, looks = [], []
    for block in document.blocks:
        kind = KINDS.index(block.kind) << len(STYLES)
        seen = IN_TABLE if block.kind is Kind.TABLE else SEEN
        for found in seen.finditer(document.text, block.start, block.end):
            texts.append(found.group())
            looks += [chr(kind + mask + 1) for mask in masks[found.start() : found.end()]]
    return Shown("".join(texts), "".join(looks))
