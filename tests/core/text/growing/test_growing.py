"""Laws of growing texts that are drawn: well-formed ones, and such as nobody writes."""

from __future__ import annotations

import sys

import pytest
from amounts import amount
from hypothesis import given, settings
from hypothesis import strategies as st
from shown import shown

from gateway_core.text import healed
from gateway_core.text.growing import heal
from gateway_core.text.growing.leaf import last_leaf
from gateway_core.text.growing.region import last_region

PLAIN = st.lists(
    st.sampled_from(["alpha", "beta", "γάμμα", "漢字", "8", "👩\u200d💻", "don't"]),
    min_size=1,
    max_size=3,
).map(" ".join)
STYLED = st.builds(
    str.format,
    st.sampled_from([
        "**{}**", "*{}*", "~~{}~~", "||{}||", "`{}`", "[{}](http://a.b/c)", "***{}***", "__{}__",
    ]),
    PLAIN,
)  # fmt: skip
NESTED = st.builds(
    str.format,
    st.sampled_from(["**a {} z**", "*a {} z*", "[a {} z](http://b.c/d)"]),
    st.sampled_from(["`x y`", "~~gone~~"]),
)
ODD = st.sampled_from(
    [
        "<http://a.b/c>",
        "http://a.b/__init__.py",
        "http://a.b/_c_/d",
        "a &amp; b",
        "\\*",
        "x_y_z",
        "x",
    ]
)
INLINE = st.one_of(STYLED, NESTED, ODD)
LINE = st.builds(lambda first, rest: " ".join([first, *rest]), PLAIN, st.lists(INLINE, max_size=4))
ITEMS = st.lists(LINE, min_size=1, max_size=3)
FENCE = st.lists(st.sampled_from(["x = 1", "", "  **y**", "| z |"]), max_size=3).map(
    lambda lines: "\n".join(["```py", "a", *lines, "```"])
)
TABLE = st.lists(st.tuples(PLAIN, PLAIN), min_size=1, max_size=3).map(
    lambda rows: "\n".join(["| A | B |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])
)


def bullets(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.split("\n"))


def quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


SIMPLE = st.one_of(LINE, ITEMS.map(bullets), ITEMS.map("\n".join), FENCE, TABLE)
BLOCK = st.one_of(
    SIMPLE,
    LINE.map("## {}".format),
    SIMPLE.map(quoted),
    st.builds(lambda line, inner: f"- {line}\n\n{indented(inner)}", LINE, SIMPLE),
    st.builds(lambda line, inner: f"> - {line}\n{quoted(indented(inner))}", LINE, FENCE),
)
DOCUMENT = st.lists(BLOCK, min_size=1, max_size=4).map("\n\n".join)

HOSTILE = st.lists(
    st.sampled_from([
        "[", "](", "**", "*", "_", "~~", "`", "```\n", "|", "||", "\n", "\n\n", "> ", "- ", "1. ",
        "# ", "\\", "<", "a", "http://a.b/", "\u200d", "\u202e", "\u0301", "🇫", "\ud83d", "word ",
        "|-|-|\n", "&am", "![", "---", "===", "   ", "\t", "[x]: ", "<b>", "~~~\n", "\r\n", "<!--",
    ]),
    max_size=30,
).map("".join)  # fmt: skip


@given(DOCUMENT)
@settings(max_examples=amount("texts that grow"))
def test_what_a_beginning_shows_the_whole_shows(source):
    whole = shown(source)
    for length in range(len(source) + 1):
        beginning = source[:length]
        if not beginning.endswith("]"):
            kept = healed(beginning)
            assert shown(kept).begins(whole), beginning
            assert kept == healed(kept), beginning
    assert shown(healed(source)) == whole


@given(HOSTILE)
def test_any_text_can_be_healed(source):
    kept = healed(source)
    assert kept == kept.rstrip()


@pytest.mark.parametrize("before", ["", "words\n\n", "> | A |\n> |---|\n> | a |\n\n"])
def test_a_heading_without_words_has_no_place(before):
    leaf = last_leaf(f"{before}#")
    assert ("Words", 0, 0) == (leaf.kind, leaf.start, leaf.end)


@given(DOCUMENT, st.data())
def test_the_last_region_is_read_alone_as_among_the_rest(source, data):
    text = source[: data.draw(st.integers(0, len(source)))].rstrip()
    start, fence = last_region(text)
    alone, whole = last_leaf(text[start:]), last_leaf(text)
    assert not fence or (whole.kind, whole.start) == ("CodeBlock", start)
    if not fence and alone.kind:
        moved = tuple((low + start, high + start) for low, high in alone.loose)
        end = alone.end + start if alone.end else 0  # a heading without words has no place
        assert (alone.kind, end, moved) == (whole.kind, whole.end, whole.loose)


@pytest.mark.parametrize("join", ["\n", "\n  - ", "\n> "], ids=ascii)
@given(st.lists(LINE, min_size=2, max_size=6), st.data())
@settings(max_examples=30)
def test_a_long_block_is_healed_as_a_short_one(join, lines, data):
    first = join.replace("  -", "-").strip("\n")
    more = join.join(lines)
    source = first + join.join([more] * (2500 // len(more) + 1))
    source = source[: len(source) - data.draw(st.integers(0, len(more)))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heal, "window", lambda _: None)
        expected = healed(source)
    assert expected == healed(source)


@pytest.mark.parametrize(
    "before", ["", "Words:\n", "- x\n\n  ", "- x\n  - y\n\n    ", "> ", "> - x\n>\n>   "]
)
@pytest.mark.parametrize("half", ["", "| e", "| e |", "| e | f |", "| e | f |\n", "| *e", "|"])
def test_a_long_table_is_healed_as_a_short_one(before, half):
    border = before[before.rfind("\n") + 1 :]
    source = before + f"\n{border}".join(["| a | b |", "|--|--|", *["| c | d |"] * 300, half])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heal, "window", lambda _: None)
        expected = healed(source)
    assert expected == healed(source)
    assert healed(source.removesuffix(half)) == source.removesuffix(half).rstrip("> \n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\n```\nx\n```\nb", (13, False)),
        ("a\n\n```\nx", (3, True)),
        ("a\n\n\t```\nx", (0, False)),  # code by its indentation
        ("<div>\n```\nx", (0, False)),  # HTML, until a blank line
        ("<div>\n\n```\nx", (7, True)),
        ("```\nx\n```\n<div>\n```\ny", (10, False)),
        ("- a\n  ```\n  x\n\nb", (15, False)),  # the fence ends with its list
        ("1. a\n   ```\n   x\n```\ny", (17, True)),  # so this one is another
        ("a\n\n```\n~~~\n\nb", (3, True)),
        ("a\n\n````\n```\n\nb", (3, True)),
        ("a\n\n``` `\n\nb", (10, False)),  # no fence: a backtick behind it
        ("<pre>\n\n- a\n\nb", (0, False)),
        ("- a\n  - b\n- c", (10, False)),
        ("1. a\n2. b", (5, False)),
        ("a\n2. b", (0, False)),
        ("a\n\n  b", (0, False)),
    ],
)
def test_where_the_last_region_begins(text, expected):
    assert expected == last_region(text)


MOST_STEPS = 1_000_000


def steps_of(action, *arguments):
    """How many lines of Python and calls of C the action takes: a clock may be too coarse."""
    count = 0

    def step(*_):
        nonlocal count
        count += 1
        return step

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(step)
    sys.setprofile(step)
    try:
        action(*arguments)
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    return count


SIGNS = [
    "[", "<", "![", "*a_", "[a](", "[a] ", "<a ", " ```\n", "- \n", "> ", "\\", "&am", "*_", "](",
]  # fmt: skip


@pytest.mark.parametrize("length", [400, 1_600, 20_000])
@pytest.mark.parametrize("sign", SIGNS)
def test_signs_alone_take_no_work_without_end(sign, length):
    """Whoever asks a bot for thousands of brackets would stop it for a second at each state."""
    assert 0 < steps_of(healed, sign * (length // len(sign))) < MOST_STEPS


def test_signs_around_a_word_take_no_work_without_end():
    assert 0 < steps_of(healed, "*_" * 400 + "a" + "_*" * 400) < MOST_STEPS


def test_the_work_does_not_grow_with_what_stands_before():
    """A hundred times the text takes less than twice as many steps."""
    end = "- a **bold `co"
    short, long = (("word " * 40 + "\n\n") * paragraphs + end for paragraphs in (4, 400))
    assert healed(long).endswith("`co`**")
    assert 0 < steps_of(healed, long) < 2 * steps_of(healed, short)
