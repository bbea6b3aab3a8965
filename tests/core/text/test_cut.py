"""Cutting plain text: the properties, then the breaks that a reader would choose."""

from __future__ import annotations

import pytest
import regex
from amounts import amount
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_core.text import cut

PIECES = [
    "a", "word ", "Sentence. ", "line\n", "paragraph\n\n", "    indented\n", " ", "\n", "\r\n",
    "\t", "é", "e\u0301", " \u0301", "\u0600", "\u0600 ", "👨‍👩‍👧‍👦", "🇫🇷", "🇩", "👍🏽",
    "क्षि", "한", "각",
    "汉字。", "かな！", "」", "שלום ", "\u200d", "\u200b", "\u2028", "\u00a0", "😀", "\u0301" * 9,
    "&<",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=60).map("".join)
limits = st.integers(min_value=6, max_value=40)


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def escaped(text: str) -> int:
    return len(text) + 4 * text.count("&") + 3 * text.count("<")


def octets(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


measures = st.sampled_from([len, utf16, escaped, octets])


@given(texts, limits, measures)
@settings(max_examples=amount("examples of a law of cuts"))
def test_spans_fit_in_order_and_leave_out_only_white_space(text, limit, measure):
    spans = cut(text, limit=limit, measure=measure)
    before = 0
    for start, end in spans:
        assert measure(text[start:end]) <= limit
        assert not text[start:end].isspace()
        assert start < end
        assert start >= before
        assert not text[before:start].strip()
        before = end
    assert not text[before:].strip()


@given(texts, limits, measures)
@settings(max_examples=amount("examples of a law of cuts"))
def test_no_cluster_is_split_unless_one_alone_is_over_the_limit(text, limit, measure):
    spans = cut(text, limit=limit, measure=measure)
    places = {place for span in spans for place in span}
    for found in regex.finditer(r"\X", text):
        if measure(found.group()) <= limit and not found.group().isspace():
            assert places.isdisjoint(range(found.start() + 1, found.end()))


@given(texts, texts, limits, measures)
@settings(max_examples=amount("examples of a law of cuts"))
def test_a_growing_text_keeps_all_spans_but_the_last(text, more, limit, measure):
    before = cut(text, limit=limit, measure=measure)
    after = cut(text + more, limit=limit, measure=measure)
    assert before[:-1] == after[: max(len(before) - 1, 0)]


@given(texts, limits, measures)
def test_cutting_twice_is_the_same(text, limit, measure):
    assert cut(text, limit=limit, measure=measure) == cut(text, limit=limit, measure=measure)


@given(texts)
def test_a_text_that_fits_is_one_span(text):
    expected = [(0, len(text))] if text.strip() else []
    assert expected == cut(text, limit=4096)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("one two\n\nthree four", 15, ["one two", "three four"]),
        ("one two\nthree four", 15, ["one two", "three four"]),
        ("One two. Three four", 15, ["One two.", "Three four"]),
        ("one two three four", 15, ["one two three", "four"]),
        ("one two three", 7, ["one two", "three"]),
        ("onetwothree", 7, ["onetwot", "hree"]),
        ("def f():\n    return 1\n", 12, ["def f():", "    return 1"]),
        ("你好吗。我很好。谢谢你", 6, ["你好吗。", "我很好。", "谢谢你"]),
        ("你好。你好", 3, ["你好。", "你好"]),
        ("你好你。好", 3, ["你好你", "。好"]),
        ("ab👨‍👩‍👧‍👦cd", 8, ["ab", "👨‍👩‍👧‍👦c", "d"]),
        ("🇫🇷🇩🇪🇮🇹", 3, ["🇫🇷", "🇩🇪", "🇮🇹"]),
        ("short\n\nlong " + "x" * 20, 24, ["short\n\nlong", "x" * 20]),
        (" " * 50 + "word", 10, ["word"]),
        ("word" + " " * 50, 10, ["word"]),
        ("ab \u0301cd", 3, ["ab", " \u0301c", "d"]),
        ("ab  \u0301cd", 3, ["ab", " \u0301c", "d"]),
        ("a\u0600 \n", 3, ["a\u0600 "]),
        ("", 5, []),
        (" \n\t", 2, []),
    ],
)
def test_cuts_stand_where_a_reader_would_put_them(text, limit, expected):
    assert expected == [text[start:end] for start, end in cut(text, limit=limit)]


def test_a_cluster_over_the_limit_is_cut_inside():
    text = "a" + "\u0301" * 9
    assert [(0, 4), (4, 8), (8, 10)] == cut(text, limit=4)


def test_a_limit_below_one_character_is_refused():
    with pytest.raises(ValueError, match="at 1 alone is over the limit"):
        cut("a😀", limit=1, measure=utf16)


WORST = {
    "words": "word " * 40_000,
    "one line": "x" * 200_000,
    "spaces": "a" + " " * 200_000 + "b",
    "flags": "🇫🇷" * 100_000,
    "joiners": "👨\u200d" * 100_000,
    "accents": "e" + "\u0301" * 200_000,
    "closers": "」" * 200_000,
    "line feeds": "\n" * 200_000 + "x",
    "escapes": "&" * 200_000,
}


@pytest.mark.parametrize("name", WORST)
@pytest.mark.parametrize("measure", [len, escaped, octets])
def test_the_work_is_linear(name, measure):
    """What is measured is counted in characters: twice the text, at most 2.2 times the work."""
    seen = 0

    def counted(text: str) -> int:
        nonlocal seen
        seen += len(text)
        return measure(text)

    work = []
    for size in (len(WORST[name]) // 2, len(WORST[name])):
        seen = 0
        cut(WORST[name][:size], limit=4096, measure=counted)
        work.append(seen)
    assert work[1] <= 2.2 * work[0] + 70_000
    assert work[1] <= 20 * len(WORST[name])
