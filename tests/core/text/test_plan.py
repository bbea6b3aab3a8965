"""The planner by itself, with a rendering that any channel could have."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.text import Document, Nesting, Rendering, parse, plan


@attrs.define(eq=False)
class Angled:
    """Each style costs two characters at each end: `<b word b>`; counts what it is asked."""

    document: Document
    asked: list[int] = attrs.field(factory=list)

    def cost(self, start: int, end: int) -> int:
        self.asked.append(end - start)
        spans = self.document.nesting
        marks = spans.begun(start, end) + len(spans.open_at(start))
        return len(self.document.header_at(start)) + end - start + 4 * marks

    def payload(self, start: int, end: int) -> Mapping[str, Any]:
        spans = [[*span] for span in self.document.spans_in(start, end)]
        return {"text": self.document.header_at(start) + self.document.text[start:end], "s": spans}


class Inheriting(Angled, Rendering):
    """The same, as one who lets the type checker look at it writes it."""


def texts(source: str, limit: int) -> list[str]:
    return [part.payload["text"] for part in plan(parse(source), Angled, limit=limit)]


TABLE = "|a|b|\n|-|-|\n|1|2|\n|3|4|\n|5|6|\n|7|8|\n|9|9|"
HEAD = "a | b\n--+--\n"


@pytest.mark.parametrize(
    ("source", "limit", "expected"),
    [
        ("one two\n\nthree", 40, ["one two\n\nthree"]),
        ("one two\n\nthree four five", 16, ["one two", "three four five"]),
        ("- one\n- two\n- three", 14, ["• one\n• two", "• three"]),
        ("introduction words\n\n# Title\n\ntext", 26, ["introduction words", "Title\ntext"]),
        ("one two three four:\n\n- five", 25, ["one two three", "four:\n• five"]),
        ("see all of [the link](http://a.b) now", 20, ["see all of", "the link now"]),
        ("call them for `some code` now", 24, ["call them for", "some code now"]),
        (TABLE, 36, [HEAD + "1 | 2\n3 | 4\n5 | 6\n7 | 8", HEAD + "9 | 9"]),
        ("|aaaa|b|\n|-|-|\n|1|2|\n|3|4|", 24, ["aaaa | b\n-----+--", "1    | 2\n3    | 4"]),
        ("```\nx = 1\n    y = 2\n```", 10, ["x = 1", "    y = 2"]),
        ("", 10, []),
    ],
)
def test_cuts_stand_where_a_reader_would_put_them(source, limit, expected):
    assert expected == texts(source, limit)


def test_a_rendering_may_inherit_what_it_is():
    parts = plan(parse("one **two**"), Inheriting, limit=10)
    assert ["one", "two"] == [part.payload["text"] for part in parts]


def test_a_style_goes_on_in_the_next_part():
    parts = plan(parse("**one two three four**"), Angled, limit=14)
    assert [("one two", [[0, 7, "bold", ""]]), ("three four", [[0, 10, "bold", ""]])] == [
        (part.payload["text"], part.payload["s"]) for part in parts
    ]


def test_parts_tell_where_in_the_source_they_come_from():
    source = "**one** two\n\n- three\n- `four`"
    spans = [part.span for part in plan(parse(source), Angled, limit=14)]
    assert ["**one** two\n\n", "- three\n", "- `four`"] == [source[a:b] for a, b in spans]


@pytest.mark.parametrize("item", ["7. item", "> 7. # long head"])
def test_a_marker_stays_with_the_first_word_behind_it(item):
    for limit in range(8, 40):
        parts = plan(parse(f"words here\n\n{item}"), Angled, limit=limit)
        assert not any(part.payload["text"].endswith("7.") for part in parts)


@pytest.mark.parametrize("lead", ["# " + "head " * 5, "Says:", "- a\n  - b"])
def test_what_announces_a_link_does_not_tear_it(lead):
    """Each holds on to the next: together they may be longer than a part, and the link is not."""
    source = f"{lead}\n\n# {'long ' * 6}\n\n- [some words of a link](http://b.c)"
    for limit in range(50, 90):
        shown = [part.payload["text"] for part in plan(parse(source), Angled, limit=limit)]
        assert 1 == sum("some words of a link" in text for text in shown)


def test_what_is_lost_is_said_where_it_is_lost():
    source = "long paragraph of words\n\n![a](http://b.c)"
    parts = plan(parse(source), Angled, limit=24)
    assert [(), ("image shown as a link",)] == [part.degraded for part in parts]


def test_what_is_lost_right_after_a_cut_is_said_of_the_part_that_shows_it():
    """The words that are written out begin with the white space at the cut."""
    parts = plan(parse(f"See [the report](https://b.c/{'q' * 3000}) now."), Angled, limit=2000)
    assert [(), ("link written out",), ()] == [part.degraded for part in parts]


def test_markup_that_alone_is_over_the_limit_is_left_out():
    parts = plan(parse("a ***b*** c"), Angled, limit=6)
    assert ["a", "b c"] == [part.payload["text"] for part in parts]
    assert "formatting left out where it does not fit" in parts[1].degraded
    assert [] == parts[1].payload["s"]


def test_one_character_over_the_limit_is_refused():
    with pytest.raises(ValueError, match="at 0 alone is over the limit"):
        plan(parse("ab"), Angled, limit=0)


def test_the_work_is_linear():
    """Characters that a rendering is asked to measure: twice the text, about twice as many."""
    work = []
    for times in (200, 400):
        rendering = Angled(parse("Some **words** of a text. " * times))
        plan(rendering.document, lambda _, r=rendering: r, limit=500)
        work.append(sum(rendering.asked))
    assert work[1] <= 2.2 * work[0]
    assert work[1] <= 20 * 400 * 26


@given(st.recursive(st.just([]), lambda inner: st.lists(inner, max_size=4), max_leaves=30))
def test_nesting_finds_what_a_search_finds(tree):
    """Stretches that nest as lists do: each list one, with a character before and after each."""
    found: list[tuple[int, int, int]] = []

    def walk(node: list, start: int, level: int) -> int:
        end = start + 1
        for child in node:
            end = walk(child, end, level + 1) + 1
        found.append((start, end, level))
        return end

    size = walk(tree, 0, 0)
    items = sorted(found, key=lambda item: (item[0], -item[1]))
    nesting = Nesting(items)
    for start, end in pairwise(range(size + 1)):
        touching = [item for item in items if item[0] < end and item[1] > start]
        assert touching == nesting.touching(start, end)
        assert [i for i in items if i[0] < start < i[1]] == nesting.open_at(start)
