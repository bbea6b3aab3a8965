"""Tables as aligned monospace."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.text.tables import aligned, display_width


def test_columns_are_as_wide_as_their_widest_cell():
    rows = [["a", "b", "c"], ["long", "x", "é"], ["汉字", "xyz", ""]]
    assert [
        "a    |   b | c",
        "-----+-----+--",
        "long |   x | é",
        "汉字 | xyz |",
    ] == aligned(rows, ["None", "Right", "Center"])


def test_the_middle_is_nearer_to_the_left():
    assert [" a", "----", "word"] == aligned([["a"], ["word"]], ["Center"])


def test_a_cell_wider_than_any_screen_stands_out_of_its_column():
    """The others are not padded to it: that would be messages of spaces and dashes."""
    header, rule, long, short = aligned(
        [["a", "b", "c"], ["x" * 900, "y", "z"], ["1", "2", "3"]], ["None"] * 3
    )
    assert ("x" * 900 + " | y | z", 64) == (long, short.index(" | 2"))
    assert len(rule) == len(header) == len(short)


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("ab", 2),
        ("é", 1),
        ("e\u0301", 1),
        ("汉", 2),
        ("👩", 2),
        ("слово", 5),
        ("a\u200db", 2),
        ("👨‍👩‍👧‍👦", 2),
        ("👍🏽", 2),
        ("👩🏽‍🚀", 2),
        ("🏳️‍🌈", 2),
        ("❤️", 2),
        ("⭐️", 2),
        ("1️⃣", 2),
        ("🇫🇷", 2),
    ],
)
def test_the_width_of_a_text(text, width):
    assert width == display_width(text)


@pytest.mark.parametrize("word", ["שלום", "سلام"])
def test_cells_from_right_to_left_stay_in_their_columns(word):
    """A left-to-right mark before each line and gap keeps them where the columns are."""
    mixed = aligned([["Name", "n"], [word, "12"]], ["None", "Right"])
    assert ["\u200eName\u200e |  n", "-----+---", f"\u200e{word}\u200e | 12"] == mixed
    assert "\u200e" not in "".join(aligned([["имя", "n"], ["汉字", "12"]], ["None", "None"]))


@given(st.characters())
def test_characters_that_are_taken_for_narrow_are(sign):
    known = unicodedata.category(sign) != "Cn"
    wide = unicodedata.east_asian_width(sign) in ("W", "F")
    unseen = unicodedata.category(sign) in ("Cf", "Me", "Mn")
    if known and not unicodedata.combining(sign):
        assert (0 if unseen else 1 + wide) == display_width(sign)
