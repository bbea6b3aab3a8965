"""Telegram's text and entities, read back, and what they should be."""

from __future__ import annotations

from collections.abc import Iterator

from seen.plans import Seen, shown

from gateway_core import Part
from gateway_core.text import Document, Kind, Style


def read_telegram(part: Part) -> list[Seen]:
    units = part.payload["text"].encode("utf-16-le")
    styles: list[set[str]] = [set() for _ in range(len(units) // 2)]
    for entity in part.payload.get("entities", []):
        start, end = entity["offset"], entity["offset"] + entity["length"]
        assert 0 <= start < end <= len(styles)
        name = entity["type"]
        for at in range(start, end):
            styles[at].add(f"link {entity['url']}" if name == "text_link" else name)
    seen = []
    at = 0
    for sign in part.payload["text"]:
        seen += shown(sign, frozenset(styles[at]))
        at += 2 if sign > "\uffff" else 1
    return seen


TELEGRAM_NAMES = {Style.STRIKE: "strikethrough", Style.QUOTE: "blockquote"}


def expected_on_telegram(document: Document) -> list[Seen]:
    def styles_of(place: int) -> Iterator[str]:
        for span in document.spans:
            bare = span.value in ("", document.text[span.start : span.end])
            if span.start <= place < span.end and not (span.style is Style.LINK and bare):
                link = f"link {span.value}"
                names = {**TELEGRAM_NAMES, Style.LINK: link}
                yield names.get(span.style, span.style.value)
        block = document.block_at(place)
        if block and place < block.end:
            if block.kind is Kind.HEADING and place >= block.body:
                yield "bold"
                yield from ["underline"] * (block.level == 1)
            if block.kind in (Kind.CODE, Kind.TABLE):
                yield "pre"

    return [
        seen
        for place, sign in enumerate(document.text)
        for seen in shown(sign, frozenset(styles_of(place)))
    ]
