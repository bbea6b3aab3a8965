"""What is painted of a message is what its platform shows: characters, styles, lists, code."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gateway_contrib.cli.painting.drawn import COLUMN, GAP, Bubble, Column, drawn
from gateway_contrib.cli.painting.marked import STYLE, marked
from gateway_contrib.cli.painting.seen import Line, Run
from gateway_contrib.cli.painting.shapes import seen
from gateway_core import Instance, Secret, Send, preview
from gateway_core.text import parse
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.settings import TelegramSettings

TEXTS = sorted((Path(__file__).parents[2] / "texts").glob("[0-9]*.md"))
ACCOUNTS = {
    "telegram": (TelegramSettings(token=Secret("1234567:" + "a" * 35)), "7"),
    "slack": (SlackSettings(token=Secret("xoxb-1")), "C024BE91L"),
    "discord": (DiscordSettings(token=Secret("a.b.c")), "1100000000000000001"),
}
CHANNELS = pytest.mark.parametrize("channel", ACCOUNTS)
SVG = "{http://www.w3.org/2000/svg}"


def painted(channel: str, text: str, **fields) -> list[Line]:
    settings, room = ACCOUNTS[channel]
    message = Send(instance_id="i", external_room_id=room, text=text, **fields)
    ahead = preview(Instance("i", channel, settings), message)
    assert () == ahead.problems
    return [line for part in ahead.parts for line in seen(part.payload)]


def letters(text: str) -> str:
    """What has to be the same everywhere: signs of lists are each platform's own."""
    return "".join(sign for sign in text if sign.isalnum())


@CHANNELS
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_every_character_of_real_texts_is_painted(channel, path):
    source = path.read_text()
    shown = letters("".join(line.text for line in painted(channel, source)))
    document = parse(source)
    expected = letters(document.text)
    signs = iter(shown)
    assert all(sign in signs for sign in expected)
    headers = {len(letters(document.text[b.start : b.body])) for b in document.blocks}
    assert len(shown) - len(expected) in {0, *headers}, "more than a table's header, repeated"


@CHANNELS
def test_styles_are_painted_where_they_are(channel):
    [line] = painted(channel, "a **b** *c* ~~d~~ `e` [f](https://x.example) ***g***")
    styled = {run.text: set(run.styles) for run in line.runs if run.styles}
    assert {
        "b": {"bold"},
        "c": {"italic"},
        "d": {"strike"},
        "e": {"code"},
        "f": {"link"},
        "g": {"bold", "italic"},
    } == styled


@CHANNELS
def test_blocks_of_code_are_apart_and_in_quotes(channel):
    lines = painted(channel, "```py\na\n\nb\n```\n```\nc\n```\n> ```\n> d\n> ```\n\ne")
    assert ["a", "", "b", "c", "d", "e"] == [line.text for line in lines]
    blocks = [line.code for line in lines]
    assert [True] * 5 + [False] == list(map(bool, blocks))
    assert [1, 1, 1, 2] == blocks[:4]
    assert [False, False, False, False, True, False] == [line.quote for line in lines]
    assert ("" if channel == "slack" else "py") == lines[0].language


@CHANNELS
def test_lists_and_quotes_have_their_lines(channel):
    lines = painted(channel, "x\n\n1. a\n   - b\n2. c\n\n> d\n> e\n\nf")
    assert ["x", "1.a", "b", "2.c", "d", "e", "f"] == [
        line.text.replace(" ", "").lstrip("•◦") for line in lines
    ]
    assert ["d", "e"] == [line.text for line in lines if line.quote]


def test_headings_are_larger_on_discord_only():
    lines = painted("discord", "# a\n## b\n### c")
    assert [1, 2, 3] == [line.heading for line in lines if line.text]
    assert [0] == [line.heading for line in painted("telegram", "# a")]


@CHANNELS
def test_spoilers_and_mentions(channel):
    if channel != "slack":
        [line] = painted(channel, "||a||")
        assert {"spoiler"} == set(line.runs[0].styles)
    text = {"slack": "<@U024BE7LH>", "discord": "<@1100000000000000001>"}.get(channel)
    if text:
        [line] = painted(channel, text, mentions=True)
        assert {"mention"} == set(line.runs[0].styles)


def test_a_native_text_is_painted_by_its_own_rules():
    [line] = painted("telegram", "<b>a</b>", format="native")
    assert [Run("a", frozenset({"bold"}))] == list(line.runs)
    [line] = painted("slack", "*a* &amp; b", format="native")
    assert "*a* & b" == line.text


def test_of_an_unknown_channel_the_text_is_painted():
    assert ["a", "b"] == [line.text for line in seen({"text": "a\nb", "colour": 3})]


def test_the_page_s_marks_nest_and_hold_text_only():
    evil = Run("</div><script>", frozenset({"bold", "link"}))
    page = marked([Line((evil,), indent=2, marker="• "), Line((Run("x"),), code=1, language="<")])
    assert "<script" not in page
    root = ET.fromstring(page)  # noqa: S314 - made here
    assert "• </div><script>x" == "".join(root.itertext()).replace("<x", "x")


def test_a_picture_is_well_formed_and_nothing_leaves_its_column():
    words = [Line((Run("word " * 40), Run("w" * 200, frozenset({"code"})))), Line(code=1)]
    evil = Line((Run("<&>\u202e", frozenset({"spoiler", "strike"})),), quote=True)
    columns = [Column("A <b>", [Bubble([*words, evil], "note " * 30)] * 2)] * 2
    root = ET.fromstring(drawn(columns, "a & b"))  # noqa: S314 - made here
    boxes = [box for box in root.iter(f"{SVG}rect") if box.get("x")]
    for box in boxes:
        right = float(box.get("x")) + float(box.get("width"))
        column = int(float(box.get("x")) // (COLUMN + GAP))
        assert right <= (column + 1) * (COLUMN + GAP) + 0.5
    said = [text.text for text in root.iter(f"{SVG}text")]
    assert 4 == sum("<&>" in words for words in said)
    assert 4 * 40 == sum(words.count("word") for words in said)


def test_words_of_a_table_begin_where_their_columns_are():
    """Whatever faces have Latin and Chinese: a viewer's own widths move nothing behind them."""
    rows = [Line((Run(text),), code=1) for text in ("ab   | c", "检索 | d", "👍🏽   | e")]
    root = ET.fromstring(drawn([Column("a", [Bubble(rows, "n")])], "t"))  # noqa: S314 - made here
    places = {text.text: float(text.get("x")) for text in root.iter(f"{SVG}text")}
    width = places["d"] - places["检索"]
    assert 7 * 0.602 * 11.5 == pytest.approx(width, abs=0.1)
    assert places["d"] == places["e"]


def test_what_goes_on_in_an_item_stands_where_its_text_does():
    lines = [Line((Run("a"),), indent=1, marker="• "), Line((Run("b"),), indent=1)]
    root = ET.fromstring(drawn([Column("t", [Bubble(lines, "n")])], "t"))  # noqa: S314 - likewise
    places = {text.text: float(text.get("x")) for text in root.iter(f"{SVG}text")}
    assert places["b"] - places["• a"] == pytest.approx(14)


def test_on_the_page_levels_and_bars_stand_where_a_line_begins_and_code_is_left_to_right():
    """Also in Hebrew and Arabic, whose lines begin on the right."""
    page = marked([Line((Run("שלום"),), indent=2, marker="• ")])
    assert "padding-inline-start:2.4em" in page
    assert "blockquote { border-inline-start" in STYLE
    assert "direction: ltr" in STYLE


def test_the_same_lines_make_the_same_picture():
    columns = [Column("a", [Bubble(painted("slack", TEXTS[0].read_text()), "n")])]
    assert drawn(columns, "t") == drawn(columns, "t")
