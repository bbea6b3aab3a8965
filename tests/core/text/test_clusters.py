"""Boundaries of clusters, found near a place as they would be from the beginning."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.text.clusters import boundary_before, is_boundary

PIECES = [
    "a",
    " ",
    "é",
    "\r\n",
    "\r",
    "\n",
    "\u0301",
    "\u200d",
    "🇫",
    "👩",
    "\U0001f3fd",
    "각",
    "ᄀ",
    "क्षि",
]


def slowly(text: str, end: int) -> int:
    """The last boundary up to `end`, where all clusters are looked at."""
    ends = [0, *(found.end() for found in regex.finditer(r"\X", text))]
    return max(place for place in ends if place <= end)


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.integers(1, 90)), max_size=6), st.data())
def test_a_boundary_is_where_it_would_be_from_the_beginning(runs, data):
    text = "".join(piece * count for piece, count in runs)
    end = data.draw(st.integers(0, len(text)))
    assert slowly(text, end) == boundary_before(text, 0, end)
    assert (slowly(text, end) == end) == is_boundary(text, 0, end)


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("a" + "\u0301" * 100 + "b", 64, 0),
        ("a" + "\u0301" * 100 + "b", 101, 101),
        ("ab\r\nc", 3, 2),
        ("🇫🇷" * 100, 101, 100),
        ("👩\u200d" * 50, 99, 0),
        ("abc", 9, 9),
    ],
)
def test_runs_that_are_longer_than_a_look(text, end, expected):
    assert expected == boundary_before(text, 0, end)
