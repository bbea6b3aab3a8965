"""Each beginning of each bundled text, healed, shows nothing that the whole does not show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from amounts import amount
from shown import shown

from gateway_core.text import healed, parse

TEXTS = sorted((Path(__file__).parents[3] / "texts").glob("[0-9]*.md"))
GROWN = [path for n, path in enumerate(TEXTS, 1) if n % 3 < amount("of three real texts that grow")]

# What no beginning can tell, by the text that has it: from its first words to its last.
UNKNOWABLE = {
    "16-regex-en": [("2*", "2*3*4")],  # a product, which Markdown takes for italic
    "19-links-and-images-en": [  # what a reference leads to is said at the end of the text
        ("[the glossary][g]", '"A talk"\n'),
    ],
    "20-html-and-odd-en": [
        ("Setext heading", "=============="),  # the line under a heading says that it is one
        ("Another one", "---"),
        ("**bold without end", "(http://\n\n"),  # it never ends
    ],
}
RETRACTED = re.compile(
    r"(?:^|\n)[>\s]*\d+[.)]\Z"  # the number of a first item, which is a number without its stop
    r"|\u200d\Z|[0-9]\ufe0f\Z"  # an emoji that turns out to be the beginning of another
    r"|\n\[\w+\]:\Z"  # the label of a definition
)
"""Beginnings that show less than those before them."""


def unknowable(name: str, source: str) -> set[int]:
    """The lengths of the beginnings that may show what the whole does not."""
    places: set[int] = set()
    for first, last in UNKNOWABLE.get(name, ()):
        start = source.index(first)
        end = source.find(last, start)
        places.update(range(start, (end + len(last) if end >= 0 else len(source)) + 1))
    return places


@pytest.mark.parametrize("path", GROWN, ids=lambda path: path.stem)
def test_what_a_beginning_shows_the_whole_shows_and_it_stays(path):
    """The same characters in the same styles; and it is not changed by being healed again."""
    source = path.read_text()
    whole = shown(source)
    excused = unknowable(path.stem, source)
    before = 0
    for length in range(len(source) + 1):
        beginning = source[:length]
        kept = healed(beginning)
        now = shown(kept)
        assert healed(kept) == kept == kept.rstrip()
        if length not in excused and not beginning.endswith("]"):
            assert now.begins(whole), beginning[-60:]
            is_more = len(now.text) >= before or beginning[-2:-1] == "]"
            assert is_more or RETRACTED.search(beginning), beginning[-60:]
        before = len(now.text)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_a_whole_text_is_shown_as_it_is(path):
    source = path.read_text()
    whole, kept = parse(source.rstrip()), parse(healed(source))
    assert (whole.text, whole.spans, whole.blocks) == (kept.text, kept.spans, kept.blocks)
