"""A line of words is known for one, and read as any other text would be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.text import Excerpt, is_prose, parse
from gateway_core.text.reading.parse import read

PROSE = st.from_regex(re.compile(r"[a-zß-öА-я漢字][\wא-ת ,.!?'()%/+=;-]{0,60}"), fullmatch=True)
ANY = st.text(st.sampled_from("aZ9é漢 .,!?'()%/+=;-_*`~|<>[]:@#&\\\n\t\u200d\u202e"), max_size=30)


@given(st.one_of(PROSE, ANY).filter(is_prose))
def test_prose_is_read_as_it_would_be_otherwise(source):
    quick, whole = parse(source), read(source)
    assert (source, (), ()) == (quick.text, quick.spans, quick.degraded)
    assert (whole.text, whole.spans, whole.blocks) == (quick.text, quick.spans, quick.blocks)
    places = range(len(source) + 1)
    assert [*map(whole.source_at, places)] == [*map(quick.source_at, places)]


@pytest.mark.parametrize("source", ["The build passed, 12 of 12 (100%)!", "a", "Straße 5", "a - b"])
def test_a_line_of_words_is_prose(source):
    assert is_prose(source)


@pytest.mark.parametrize(
    "source",
    [
        "", " a", "a ", "1. a", "- a", "+ a", "a\nb", "a_b", "*a*", "a: b", "a@b", "@everyone",
        "https://a.b", "a & b", "a\tb", "a\u202eb", "a\u200db", "[a](b)", "a | b", "# a", "> a",
        "a\\b", "`a`", "~a", "\ud83d", "a\x00", "===", "🎉",
    ],
    ids=ascii,
)  # fmt: skip
def test_whatever_could_be_markup_is_not(source):
    assert not is_prose(source)


def test_an_excerpt_looks_as_in_its_whole():
    assert not is_prose(Excerpt("- words", 2, 7))
