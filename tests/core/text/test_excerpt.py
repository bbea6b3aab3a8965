"""Stretches of Markdown that look as they do among the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from gateway_core.text import Document, Excerpt, parse, plan

TEXTS = sorted((Path(__file__).parents[2] / "texts").glob("[0-9]*.md"))


@attrs.frozen
class Bare:
    document: Document

    def cost(self, start: int, end: int) -> int:
        return end - start + len(self.document.header_at(start))

    def payload(self, start: int, end: int) -> Mapping[str, Any]:
        text = self.document.header_at(start) + self.document.text[start:end]
        spans = [[*span] for span in self.document.spans_in(start, end)]
        return {"text": text, "spans": spans}


def texts(source: str, limit: int) -> list[str]:
    return [part.payload["text"] for part in plan(parse(source), Bare, limit=limit)]


def test_as_a_string_it_is_the_stretch():
    assert "two" == Excerpt("one two three", 4, 7)


@pytest.mark.parametrize(
    ("source", "stretch", "expected"),
    [
        ("one two", "two", ["two"]),
        ("- a\n  - b\n    1. c\n", "1. c\n", ["    1. c"]),
        ("```py\na\nb\nc\n```", "b\n", ["b"]),
        ("|a|\n|-|\n|1|\n|2|", "|2|", ["a\n-\n2"]),
        ("> - one\n>\n>   two\n\nend", "two\n\n", ["  two"]),
    ],
)
def test_it_is_shown_as_it_stands_in_the_whole(source, stretch, expected):
    start = source.index(stretch)
    assert expected == texts(Excerpt(source, start, start + len(stretch)), 40)


def test_its_parts_tell_their_places_in_the_stretch():
    stretch = Excerpt("zero\n\n**one two three**\n\nfour", 6, 23)
    parts = plan(parse(stretch), Bare, limit=8)
    assert ["one two", "three"] == [part.payload["text"] for part in parts]
    assert ["**one two ", "three**"] == [stretch[slice(*part.span)] for part in parts]
    assert all([[0, len(p.payload["text"]), "bold", ""]] == p.payload["spans"] for p in parts)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("limit", [250, 400])
def test_a_part_planned_again_is_the_same_part(path, limit):
    source = path.read_text()
    for part in plan(parse(source), Bare, limit=limit):
        [again] = plan(parse(Excerpt(source, *part.span)), Bare, limit=limit)
        assert part.payload["spans"] == again.payload["spans"]
        assert part.payload["text"].rstrip() == again.payload["text"].rstrip()


@pytest.mark.parametrize("before", range(60, 110))
def test_a_part_that_ends_behind_a_tables_first_row_is_that_part_again(before):
    """What announces a table holds on to it; a short row stays whole: its middle is no place."""
    source = f"{'w' * before}:\n\n| first | b |\n|-|-|\n| c | d |\n| wider than these | e |"
    for part in plan(parse(source), Bare, limit=130):
        again = texts(Excerpt(source, *part.span), 130)
        assert "".join(part.payload["text"].split()) == "".join("".join(again).split())


@pytest.mark.parametrize(
    "source",
    [
        f"|a|b|\n|-|-:|\n|{'x  **y** &amp; z ' * 40}|1|\n|2|{'w ' * 90}|",
        "|a|b|c|\n|-|-|-|\n" + f"|{'x' * 90}|\n|y|\n" * 6,
        "```\n" + "\tfunc()\t\tx\r\n" * 60 + "```",
        "one\u2028two\r\n" * 60,
    ],
    ids=["row", "short rows", "tabs", "dropped"],
)
def test_what_is_longer_or_shorter_than_its_source_is_found_in_it(source):
    """Columns add spaces, a tab is four, separators are dropped: each part is still from there."""
    whole = "".join(texts(source, 10_000))
    parts = plan(parse(source), Bare, limit=250)
    again = [texts(Excerpt(source, *part.span), 250) for part in parts]
    assert [[part.payload["text"].strip()] for part in parts] == [
        [t.strip() for t in x] for x in again
    ]
    assert "".join(whole.split()) == "".join("".join(map("".join, again)).split())
