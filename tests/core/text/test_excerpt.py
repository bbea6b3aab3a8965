"""Stretches of Markdown that stand by themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from gateway_core.text import Document, excerpt, parse, plan

TEXTS = sorted((Path(__file__).parents[2] / "texts").glob("[0-9]*.md"))


@attrs.frozen
class Bare:
    document: Document

    def cost(self, start: int, end: int) -> int:
        return end - start + len(self.document.header_at(start))

    def payload(self, start: int, end: int) -> Mapping[str, str]:
        return {"text": self.document.text[start:end]}


@pytest.mark.parametrize(
    ("source", "first", "last", "expected"),
    [
        ("one two", "two", "two", ("two", 0)),
        ("**one two three**", "two", "two", ("**two**", 2)),
        ("*a **b c d** e*", "c", "c", ("***c***", 3)),
        ("~~a b~~ c", "b", "c", ("~~b~~ c", 2)),
        ("[one two](http://a.b)", "two", "two](http://a.b)", ("[two](http://a.b)", 1)),
        ("[one two](http://a.b)", "one", "one", ("one](http://a.b)", 0)),
        ("```py\na\nb\nc\n```", "b", "b", ("```py\nb\n```", 6)),
        ("~~~~\na\nb\n~~~~", "b", "b\n~~~~", ("~~~~\nb\n~~~~", 5)),
        ("    a\n    b\n    c", "b", "b", ("```\nb\n```", 4)),
        ("|a|\n|-|\n|1|\n|2|", "|2|", "|2|", ("|a|\n|-|\n|2|", 8)),
        ("> a\n>\n> b", "b", "b", ("> b", 2)),
        ("> ```\n> a\n> b\n> ```", "b", "b\n> ```", ("> ```\n> b\n> ```", 8)),
    ],
)
def test_what_is_open_at_the_ends_is_opened_and_closed(source, first, last, expected):
    start, end = source.index(first), source.rindex(last) + len(last)
    assert expected == excerpt(source, start, end)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_parts_of_real_texts_say_the_same_by_themselves(path):
    source = path.read_text()
    document = parse(source)
    for part in plan(document, Bare, limit=400):
        alone, before = excerpt(source, *part.span)
        assert source[slice(*part.span)].rstrip() in alone[before:]
        seen = words(parse(alone).text)
        assert words(part.payload["text"]) == seen[len(seen) - len(words(part.payload["text"])) :]
