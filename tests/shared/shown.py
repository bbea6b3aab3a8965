"""Computes what a reader sees of a Markdown text, to compare states of a growing text."""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway_core.text import Kind, Style, parse

STYLES = [style for style in Style if style is not Style.LINK]
KINDS = list(Kind)
SEEN = re.compile(r"\S+")
IN_TABLE = re.compile(r"[^\s|+\u200e-]+")
"""The characters of a table that count: its lines do not, since each new row changes them."""


class Shown(NamedTuple):
    """The visible characters without space, and for each its styles and its block's kind.

    Links do not count as a style, since half of a link's words appear before it becomes a link.
    """

    text: str
    looks: str

    def begins(self, other: Shown) -> bool:
        """Whether the other text shows all of this one, and perhaps more after it."""
        return other.text.startswith(self.text) and other.looks.startswith(self.looks)


def shown(source: str) -> Shown:
    """What a reader sees of a Markdown text; nothing for an empty text."""
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
