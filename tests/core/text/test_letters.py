"""What is surely seen of a text is never more than what its document shows."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.text import literal, parse
from gateway_core.text.reading.letters import letters

PIECES = (
    *"ab7. \n\t\r>#-*+_~`|[]()<>!\\&;:\"'=^/%@",
    *(
        "\n\n",
        "- ",
        "1. ",
        "007) ",
        "> ",
        "    ",
        "```",
        "~~~",
        "`` ",
        "**",
        "||",
        "|-|",
        "\n|-|\n",
    ),
    *("](", "](<", '](u "', "]: ", "[a]: /u 'title", "[a]", "[a][b]", "![c](d)", "<http://e.f>"),
    *("&amp;", "&#65;", "&nbsp;", "&notin", "<b>", "<!-- g -->", "[x] ", "- [ ] ", "\n---\n"),
    *("\u00e4", "\u6f22", "\U0001f600", "\u200b", "\u3000", "\u0301", "\u2028", "\ud800"),
    *("a | b | c\n", "---|---\n", "|x|\n", "a\n=\n", "\n[b]: c\n(d\ne)\n", "http://h.i/j "),
)
SOURCES = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


def seen(text: str) -> int:
    return sum(not sign.isspace() for sign in text)


@given(SOURCES)
def test_no_more_is_surely_seen_of_markdown_than_its_document_shows(source: str) -> None:
    assert letters(source, markdown=True) <= seen(parse(source).text)


@given(SOURCES)
def test_no_more_is_surely_seen_of_a_plain_text_than_it_shows(source: str) -> None:
    assert letters(source, markdown=False) <= seen(literal(source).text)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# a\n" * 10, 10),
        ("- a\n" * 10, 10),
        ("> " * 5 + "abc", 3),
        ("1. ab\n2. cd", 6),
        ("1. " * 10, 10),
        ("007) [x] a", 2),
        ("**a** _b_ `c` ~~d~~ ||e||", 5),
        ("[ab](http://c.d) ef", 4),
        ("[ab](http://c.d 'title') ef\n\ngh", 4),
        ("[ab]: http://c.d\n\nef", 2),
        ("```python\nab\n```\ncd", 4),
        ("|ab|cd|\n|-|-|\n|ef|gh|", 4),
        ("a|b", 2),
        ("fish &amp; chips, please.", 17),
        ("[a](\n~~~ b\nc", 2),
        ("\u6f22\u5b57 \U0001f600", 3),
    ],
)
def test_of_a_usual_text_its_letters_are_counted(source: str, expected: int) -> None:
    assert expected == letters(source, markdown=True)


@pytest.mark.parametrize(
    "piece",
    [
        "[a](b ",
        "[a]: b '",
        "[",
        "[a\\",
        "](",
        "] ( ",
        "```",
        "|a",
        "|-|\n",
        "&",
        "&a",
        "1",
        "<\n(",
        "\n \n",
    ],
)
def test_the_work_grows_with_the_length_alone(piece: str) -> None:
    """A pass that began again at each piece would take hours."""
    assert 0 <= letters(piece * (1_000_000 // len(piece)), markdown=True) <= sys.maxsize
