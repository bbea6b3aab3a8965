"""Rich text, read by somebody else's reader of it: the PyPI package markdown-to-slack-blocks."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gateway_core import Secret, Send
from gateway_core.text import Document, Kind, parse
from gateway_plugin_slack.rendering.parts import parts_of
from gateway_plugin_slack.settings import Settings

ROOT = Path(__file__).parents[4]
TEXTS = [
    path.read_text()
    for folder in ("tests/texts", "contrib/src/gateway_contrib/cli/texts")
    for path in sorted((ROOT / folder).glob("[0-9]*.md"))
]
STYLES = ("bold", "italic", "strike", "code", "link")


@pytest.fixture(scope="module")
def reader():
    """The package: blocks to plain text, and back to Markdown."""
    reason = "the PyPI package markdown-to-slack-blocks is not installed"
    return pytest.importorskip("markdown_to_slack_blocks", reason=reason)


def blocks(text: str, part_bytes: int = 4000) -> list[list[dict]]:
    message = Send(instance_id="i", external_room_id="C1", text=text)
    parts = parts_of(Settings(token=Secret("xoxb-1"), part_bytes=part_bytes), message, "as_asked")
    return [part.payload["blocks"] for part in parts]


def letters(text: str) -> str:
    """Signs of lists and escapes are each reader's own."""
    return "".join(sign for sign in text if sign.isalnum())


def styled(document: Document) -> list[tuple[str, frozenset[str]]]:
    """Letters with their styles; code blocks and tables are code."""
    around: list[set[str]] = [set() for _ in document.text]
    for span in document.spans:
        for place in range(span.start, span.end):
            around[place] |= {span.style.value} & set(STYLES)
    for block in document.blocks:
        for place in range(block.body, block.end):
            if block.kind is Kind.HEADING:
                around[place].add("bold")
        if block.kind in (Kind.CODE, Kind.TABLE):
            around[block.start : block.end] = [{"code"}] * (block.end - block.start)
    pairs = zip(document.text, around, strict=True)
    return [(sign, frozenset(names)) for sign, names in pairs if sign.isalnum()]


def test_every_letter_of_real_texts_is_read(reader):
    """In parts of any size; what comes on top is a table's header, repeated."""
    for text in TEXTS:
        assert letters(parse(text).text) == letters(
            "".join(map(reader.blocks_to_plain_text, blocks(text)))
        )
        small = letters("".join(map(reader.blocks_to_plain_text, blocks(text, 500))))
        signs = iter(small)
        assert all(sign in signs for sign in letters(parse(text).text))


def test_styles_are_read_back_as_markdown(reader):
    """Of each text, but where its Markdown cannot say what the blocks say."""
    told = same = 0
    for text in TEXTS:
        again = "\n\n".join(map(reader.blocks_to_markdown, blocks(text)))
        wanted, found = styled(parse(text)), styled(parse(again))
        if [sign for sign, _ in wanted] == [sign for sign, _ in found]:
            told += len(wanted)
            same += sum(one == other for one, other in zip(wanted, found, strict=True))
    assert told > 40_000
    assert same / told > 0.999


def test_mixed_styles_are_read(reader):
    rng = random.Random("slack")
    pieces = [
        "**b**",
        "*i*",
        "~~s~~",
        "`c`",
        "[l](https://x.example)",
        "w",
        "***x***",
        "<@U1>",
        "&",
    ]
    for _ in range(1000):
        text = " ".join(rng.choices(pieces, k=rng.randint(1, 9)))
        (made,) = blocks(text)
        assert letters(parse(text).text) == letters(reader.blocks_to_plain_text(made))
