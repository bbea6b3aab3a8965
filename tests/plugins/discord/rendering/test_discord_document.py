"""A document is written once; what parts take from that is what their lines are by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.text import Document, parse
from gateway_plugin_discord.rendering.dialect import APIECE, escaping, units, wide
from gateway_plugin_discord.rendering.document import Dialect
from gateway_plugin_discord.rendering.lines import Line

TEXTS = [path.read_text() for path in sorted((Path(__file__).parents[3] / "texts").glob("*.md"))]
PIECES = [
    "**a**", "*i*", "***x***", "~~s~~", "||p||", "`c`", "`a_b`", "`` ` ``", "**`a` b *c***",
    "[w](https://x.example/a_b)", "[**b** `c`](https://x.example/c)", "https://a.example/c_d",
    "~~`a~b`~~", "**", "*", "_", "~~", "`", "||", "|", "[", "](", "<", "<@1>", "@everyone", "\\",
    ":a:", "word", "word ", " ", "a. ", "🙂", "é", "\u0301", "&#32;", "&#10;", "\n", "\n", "  \n",
    "\n\n", "\n\n", "> ", "- ", "- [ ] ", "1. ", "7. ", "# ", "#### ", "#### **b** ", "```py\n",
    "```\n", "---\n", "|a|b|\n|-|-:|\n|c_d|e|\n",
]  # fmt: skip


def generated(random: Random) -> str:
    few = random.sample(PIECES, random.randint(2, 12))
    return "".join(random.choice(few) for _ in range(random.randint(1, 60)))


def content(text: str) -> dict[str, str]:
    return {"content": text}


def lines_from(rendering: Dialect, start: int, end: int) -> Iterator[Line]:
    """The lines of a part, of which the first is the one behind the line feed at its start."""
    line = rendering.lines.at(start)
    if start >= line.end and line.following <= len(rendering.document.text):
        line = rendering.lines.at(line.following)
    yield line
    while line.following < end:
        line = rendering.lines.at(line.following)
        yield line


def anew(rendering: Dialect, start: int, end: int) -> str:
    """A part that is made of its lines alone."""
    document, written = rendering.document, ""
    before: Line | None = None
    for line in lines_from(rendering, start, end):
        low = start if before is None else line.start
        header = document.header_at(start) if before is None else ""
        if before is not None:
            written += between(document, before.end, line.start)
        written += line.written(low, min(max(line.end, start), end), header)
        before = line
    return written


def between(document: Document, end: int, start: int) -> str:
    """Two line feeds in a quote have one more of its signs between them."""
    one, other = document.block_at(end - 1 if end else 0), document.block_at(start)
    assert one is not None
    assert other is not None
    gap = start - end
    return "\n> \n" if gap > 1 and one.quote and one.quote == other.quote else "\n" * gap


def stretches(random: Random, document: Document) -> Iterator[tuple[int, int]]:
    """Any, and those that begin and end where lines and blocks do."""
    text = document.text
    places = [place for place, character in enumerate(text) if character == "\n"]
    places += [edge for block in document.blocks for edge in block[:3]]
    places += [edge for span in document.spans for edge in span[:2]]
    for _ in range(40):
        start, end = sorted(
            random.choice((random.choice(places), random.randint(0, len(text)))) for _ in "ab"
        )
        if start < end:
            yield start, end


@pytest.mark.parametrize("seed", range(200))
def test_what_a_part_takes_from_the_whole_is_what_its_lines_are_alone(seed):
    random = Random(seed)
    source = random.choice(TEXTS) if seed % 20 == 0 else generated(random)
    document = parse(source)
    rendering = Dialect(document, content, random.random() < 0.3, random.random() < 0.3)
    for start, end in stretches(random, document):
        expected = anew(rendering, start, end)
        assert expected == rendering.payload(start, end)["content"]
        assert units(expected) == rendering.cost(start, end)


STRETCHES = st.lists(st.text(st.sampled_from("ab1.-+#> \t~|<@:/(]([*_`\\\u00a0")), min_size=1)


@given(STRETCHES, st.booleans(), st.booleans(), st.sampled_from(["\n", APIECE]))
def test_stretches_are_escaped_together_as_each_would_be_alone(several, mentions, struck, apart):
    escape = escaping(mentions=mentions, struck=struck)
    assert [escape(stretch) for stretch in several] == escape(apart.join(several)).split(apart)


@given(st.text())
def test_wide_characters_are_those_of_two_units(text):
    text = text.encode(errors="ignore").decode()
    assert [at for at, character in enumerate(text) if units(character) == 2] == wide(text)
