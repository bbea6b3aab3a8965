"""Tables as aligned monospace."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.text import Kind, healed, parse, settled
from gateway_core.text.reading import events
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


def filled(columns: int, rows: int, row: str = "|b") -> str:
    """A table whose rows have one cell each, which the parser fills with empty ones."""
    return "|a" * columns + "\n" + "|-" * columns + f"\n{row}" * rows


def kinds(source: str) -> list[Kind]:
    return [block.kind for block in parse(source).blocks]


@pytest.mark.parametrize(
    "source",
    [
        filled(1000, 255),
        filled(500, 540),  # the parser gives up, and what follows is a paragraph in the table
        filled(40, 300, "b"),
        filled(1000, 255).replace("\n", "\r"),
        filled(2, 1000) + "\n\n" + filled(200, 200),
        filled(2, 270_000, "c"),
    ],
    ids=["wide", "given up", "no bars", "returns", "second", "long"],
)
def test_a_table_of_far_more_cells_than_its_text_could_hold_is_shown_as_its_lines(source):
    document = parse(source)
    assert source.replace("\r", "\n") == document.text
    assert {Kind.PARAGRAPH} == {block.kind for block in document.blocks}


@pytest.mark.parametrize(
    "source",
    [
        filled(64, 63),  # 4096 cells with the header
        filled(100, 95, "|" + "b" * 100),
        filled(150, 150, "|" * 151),
    ],
    ids=["few", "long cells", "all written"],
)
def test_a_table_that_its_text_can_hold_is_a_table(source):
    assert [Kind.TABLE] == kinds(source)


@given(columns=st.integers(1, 90), rows=st.integers(0, 90), before=st.sampled_from(["", "> "]))
def test_a_table_whose_rows_are_all_written_out_is_always_a_table(columns, rows, before):
    lines = ["|a" * columns, "|-" * columns, *["|" * (columns + 1)] * rows]
    assert [Kind.TABLE] == kinds("\n".join(before + line for line in lines))


@pytest.mark.parametrize("row", ["|b", "b|", "b"])
@pytest.mark.parametrize("shown", [healed, settled])
def test_no_more_cells_are_read_of_an_answer_that_grows(monkeypatch, shown, row):
    """The parser is asked again and again, and each time it would give a quarter of a million."""
    read, parser = [], events._WITH_TABLES

    class Counted:
        def events_with_range(self, source):
            read.append(0)
            for told in parser.events_with_range(source):
                read[-1] += told[0] == {"Start": "TableCell"}
                yield told

    monkeypatch.setattr(events, "_WITH_TABLES", Counted())
    shown(filled(180, 240, row))
    assert max(read) == events.FEW + 1
