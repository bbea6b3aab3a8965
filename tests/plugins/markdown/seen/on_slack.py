"""Slack's rich text, read back, and what it should be."""

from __future__ import annotations

from collections.abc import Iterator

from seen.on_telegram import expected_on_telegram
from seen.plans import Seen, shown

from gateway_core import Part
from gateway_core.text import Document, Kind


def read_slack(part: Part) -> list[Seen]:
    [block] = part.payload["blocks"]
    assert block["type"] == "rich_text"
    return [seen for element in block["elements"] for seen in _rich(element, frozenset())]


def _rich(element: dict, around: frozenset[str]) -> Iterator[Seen]:
    kind = element["type"]
    if kind in ("text", "link"):
        styles = {name for name, on in element.get("style", {}).items() if on}
        if kind == "link" and element["url"] != element["text"]:
            styles.add(f"link {element['url']}")
        assert element["text"]
        yield from shown(element["text"], around | styles)
        return
    assert element["elements"]
    name = {"rich_text_preformatted": "pre", "rich_text_quote": "quote"}.get(kind)
    around |= {name} if name else set()
    around |= {"quote"} if element.get("border") else set()
    for index, inner in enumerate(element["elements"]):
        if kind == "rich_text_list":
            marker = "•" if element["style"] == "bullet" else f"{element['offset'] + index + 1}."
            yield from shown(marker, around)
        yield from _rich(inner, around)


def expected_on_slack(document: Document) -> list[Seen]:
    renamed = {"strikethrough": "strike", "blockquote": "quote"}

    def rename(styles: frozenset[str], place: int) -> frozenset[str]:
        block = document.block_at(place)
        names = {renamed.get(name, name) for name in styles} - {"spoiler"}
        if "pre" in names:
            names &= {"pre", "quote"}
        elif block and block.kind is Kind.HEADING:
            names -= {"underline"}
        return frozenset(names)

    places = [at for at, sign in enumerate(document.text) for _ in shown(sign)]
    pairs = zip(places, expected_on_telegram(document), strict=True)
    return [Seen(seen.sign, rename(seen.styles, place)) for place, seen in pairs]
