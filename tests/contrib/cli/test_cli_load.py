"""What the demo delivers, and how it is compared with what arrived: the pure parts."""

from __future__ import annotations

import io
import unicodedata
from itertools import pairwise
from random import Random

import imagesize
import pytest

from gateway_contrib.cli.demo.bounds import Writes, shortest
from gateway_contrib.cli.demo.findings import Findings, examine, skeleton
from gateway_contrib.cli.demo.load import CHANNELS, Line, RoomPlan, in_turn, plan
from gateway_contrib.cli.demo.pictures import picture_for
from gateway_contrib.cli.demo.texts import Text, bundled, long, medium, short
from gateway_contrib.emulators.files.store import File as StoredFile
from gateway_contrib.emulators.rooms import Message

TEXTS = bundled()
SCRIPTS = (
    "ARABIC",
    "ARMENIAN",
    "CJK",
    "CYRILLIC",
    "DEVANAGARI",
    "ETHIOPIC",
    "GEORGIAN",
    "GREEK",
    "HANGUL",
    "HEBREW",
    "HIRAGANA",
    "LATIN",
    "TAMIL",
    "THAI",
)


def test_the_texts_are_a_few_dozen_of_every_length():
    assert 36 <= len(TEXTS)
    assert all(len(kind(TEXTS)) >= 6 for kind in (long, medium, short))
    assert len(TEXTS) == len({text.words for text in TEXTS})


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_texts_are_in_many_scripts(script):
    names = (unicodedata.name(c, "") for text in TEXTS for c in text.words)
    assert any(name.startswith(script) for name in names)


@pytest.mark.parametrize(
    "sign", ["```python", "| --- |", "- [ ]", "> ", "~~", "**", "👩🏽‍💻", "🏳️‍🌈"]
)
def test_the_texts_have_code_tables_lists_and_emoji(sign):
    assert any(sign in text.words for text in TEXTS)


def test_there_are_600_texts_for_60_rooms_the_same_for_the_same_seed():
    rooms = plan("5")
    assert rooms == plan("5")
    assert rooms != plan("6")
    assert (60, 600) == (len(rooms), sum(len(room.lines) for room in rooms))
    assert 60 == len({(room.channel, room.room) for room in rooms})
    assert [20, 20, 20] == [sum(room.channel == c for room in rooms) for c in CHANNELS]


def test_a_room_has_one_edit_of_an_earlier_message_and_no_text_twice():
    for room in plan("5"):
        edits = [(n, line) for n, line in enumerate(room.lines) if line.edits is not None]
        [(place, edit)] = edits
        assert edit.edits < place
        assert room.lines[edit.edits].text is edit.text
        assert edit.words.startswith(edit.text.words)
        assert edit.words != edit.text.words
        assert 9 == len({line.text.name for line in room.lines})


def test_a_room_has_one_picture_of_its_own_beside_a_short_text_that_is_not_edited():
    for room in plan("5"):
        [(place, line)] = [(n, each) for n, each in enumerate(room.lines) if each.picture]
        assert (None, True) == (line.edits, line.text in short(TEXTS))
        assert place != room.edit.edits
    one, other = picture_for("one"), picture_for("other")
    assert (one, False) == (picture_for("one"), one == other)
    assert (40, 40) == imagesize.get(io.BytesIO(one))
    assert 2_000 < len(one) < 8_000


def test_rooms_take_turns_at_random_and_keep_their_own_order():
    rooms = plan("5")
    turns = list(in_turn(rooms, "5"))
    assert turns == list(in_turn(rooms, "5"))
    for room in rooms:
        assert list(range(10)) == [place for other, place in turns if other is room]
    assert sum(a[0] is not b[0] for a, b in pairwise(turns)) > 500


# -- what arrived


A = Text("a", "Alpha **one** `two`", "Later three")
B = Text("b", "Beta four", "")
PLAN = RoomPlan("slack", "C1", (Line(A), Line(B), Line(A, edits=0)))


def message(number: str, text: str, *earlier: str) -> Message:
    return Message(id=number, room="C1", text=text, revisions=list(earlier))


EDITED = message("1", "Alpha one two\n\nLater three", "Alpha one two")


def test_a_whole_conversation_has_nothing_to_find():
    assert Findings() == examine(PLAN, [EDITED, message("2", "Beta four")])


def test_a_picture_that_is_missing_is_lost():
    wanted = RoomPlan("slack", "C1", (*PLAN.lines[:1], Line(B, picture="b.png"), *PLAN.lines[2:]))
    seen = StoredFile(name="b.png")
    bare = message("2", "Beta four")
    assert Findings(lost=1) == examine(wanted, [EDITED, bare])
    bare.files = (seen,)
    assert Findings(pictures=1) == examine(wanted, [EDITED, bare])


def test_parts_make_a_whole():
    parts = [EDITED, message("2", "Beta"), message("3", "four")]
    assert Findings() == examine(PLAN, parts)


TWICE = ("Beta", "Beta", "four", "four")
"""A text in two messages, each of which is there twice."""


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [
        ([], Findings(lost=3)),
        ([EDITED], Findings(lost=1)),
        ([EDITED, message("2", "Beta")], Findings(lost=1)),
        ([message("1", "Alpha one two"), message("2", "Beta four")], Findings(lost=1)),
        ([message("2", "Beta four"), EDITED], Findings(late=1)),
        ([EDITED, message("2", "four"), message("3", "Beta")], Findings(late=1)),
        (
            [EDITED, message("2", "Beta four"), message("3", "Beta four")],
            Findings(duplicated=1, copied=1),
        ),
        (
            [message("0", "Alpha one two"), EDITED, message("2", "Beta four")],
            Findings(duplicated=1, copied=1),
        ),
        (
            [EDITED, *(message(str(n), said) for n, said in enumerate(TWICE, 2))],
            Findings(duplicated=2, copied=1),
        ),
        ([EDITED, message("2", "Beta four"), message("3", "spam")], Findings(strange=1)),
        ([EDITED, message("2", "Beta four"), message("3", "!")], Findings(strange=1)),
    ],
)
def test_what_is_wrong_is_found_in_the_store(conversation, expected):
    assert expected == examine(PLAN, conversation)


def test_findings_add_up():
    one = Findings(lost=1, duplicated=2, late=3, strange=4)
    assert Findings(lost=2, duplicated=4, late=6, strange=8) == one + one


def test_what_is_said_is_what_a_reader_sees_without_the_markup():
    markdown = "- [x] done\n\n```python\ncode = 1\n```\n[name](https://example.org/a_b) ❤️"
    assert "donecode1name" == skeleton(markdown, markdown=True)
    assert "donecode1name" == skeleton("☑ done\ncode = 1\nname ❤️")


# -- the shortest time


@pytest.mark.parametrize(
    ("channel", "rooms", "seconds"),
    [
        ("telegram", [Writes("7", 10, 1)], 10.0),  # 11 writes, one a second
        ("telegram", [Writes("-7", 20, 0)], 19.0),  # within the group's minute
        ("telegram", [Writes("-7", 20, 1)], 60.0),  # the 21st waits for the next
        ("telegram", [Writes(str(n), 1, 0) for n in range(1, 601)], 19.0),  # (600 - 30) / 30
        ("slack", [Writes("C1", 10, 1)], 9.0),  # edits are no posts
        ("slack", [Writes(f"C{n}", 1, 1) for n in range(51)], 60.0),  # 50 edits a minute
        ("discord", [Writes("1", 10, 1)], 5.0),  # 5 + 5
        ("discord", [Writes("1", 11, 1)], 10.0),  # 5 + 5 + 1
        ("discord", [Writes(str(n), 5, 0) for n in range(120)], 11.0),  # 600 at 50 a second
        *[(channel, [], 0.0) for channel in CHANNELS],
    ],
)
def test_the_bound_is_what_the_limits_leave(channel, rooms, seconds):
    assert seconds == shortest(channel, Random(1).sample(rooms, len(rooms)))
