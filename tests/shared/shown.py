"""What a reader sees of a Markdown text, character by character, for comparing it while it grows."""

from __future__ import annotations

from gateway_core.text import Kind, Style, parse

Sign = tuple[str, frozenset[str], str]
"""A character, its styles, the kind of its block."""
_LAYOUT = frozenset(" |+-\u200e")
"""What a table is drawn with: its columns are laid out anew with each row."""


def shown(text: str) -> list[Sign]:
    """The visible characters with their styles. Links do not count, and neither does space."""
    if not text:
        return []
    document = parse(text)
    styles: list[set[str]] = [set() for _ in document.text]
    for span in document.spans:
        for at in range(span.start, span.end if span.style is not Style.LINK else span.start):
            styles[at].add(span.style.value)
    return [
        (sign, frozenset(styles[at]), block.kind.value)
        for block in document.blocks
        for at, sign in enumerate(document.text[block.start : block.end], block.start)
        if not (sign.isspace() or (block.kind is Kind.TABLE and sign in _LAYOUT))
    ]
