"""Discord's messages, read by somebody else's parser of its dialect: npm's discord-markdown-parser.

`npm install discord-markdown-parser@1.3.1` anywhere, and its `node_modules` in NODE_PATH.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway_core import Part, Send
from gateway_core.text import Document, Kind, parse
from gateway_plugin_discord.markup import parts_of

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TEXTS = [
    path.read_text()
    for folder in ("tests/texts", "contrib/src/gateway_contrib/cli/texts")
    for path in sorted((ROOT / folder).glob("[0-9]*.md"))
]
MIXED = 3000
NAMES = {
    "strong": "bold",
    "em": "italic",
    "strikethrough": "strike",
    "underline": "underline",
    "spoiler": "spoiler",
    "link": "link",
    "autolink": "link",
    "url": "link",
    "blockQuote": "quote",
    "inlineCode": "code",
    "codeBlock": "code",
    "heading": "heading",
}
SIGNS = re.compile(r"[•◦\-]")


class Seen(NamedTuple):
    """A character as a reader sees it."""

    sign: str
    styles: frozenset[str]


def shown(text: str, styles: frozenset[str]) -> Iterator[Seen]:
    """White space and the signs of lists are left out: the parser knows no lists."""
    for sign in text:
        if not (sign.isspace() or sign == "\u200b" or SIGNS.match(sign)):
            yield Seen(sign, styles)


def read(nodes: str | Sequence[dict], styles: frozenset[str] = frozenset()) -> Iterator[Seen]:
    if isinstance(nodes, str):
        yield from shown(nodes, styles)
        return
    for node in nodes:
        kind = node["type"]
        if kind == "text":
            yield from shown(node["content"], styles)
        elif kind == "twemoji":
            yield from shown(node["name"], styles)
        elif kind in NAMES:
            yield from read(node["content"], styles | {NAMES[kind]})
        elif kind != "br":
            pytest.fail(f"a {kind} that nobody wrote: {node}")


def expected(document: Document) -> list[Seen]:
    around: list[set[str]] = [set() for _ in document.text]
    for span in document.spans:
        for place in range(span.start, span.end):
            around[place].add(span.style.value)
    for block in document.blocks:
        names = {"code"} if block.kind in (Kind.CODE, Kind.TABLE) else set()
        if block.kind is Kind.HEADING:
            native = block.level <= 3 and not block.depth and not block.marker
            names = {"heading"} if native else {"bold"}
        for place in range(block.body, block.end):
            around[place] |= names
        if block.kind is Kind.TABLE:
            for place in range(block.start, block.body):
                around[place].add("code")
    pairs = zip(document.text, around, strict=True)
    return [seen for sign, names in pairs for seen in shown(sign, frozenset(names))]


@pytest.fixture(scope="module")
def grammar():
    """Parses contents, all in one process."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    command = [node, str(HERE / "discord_grammar.cjs")]

    def parsed(parts: Sequence[Part]) -> list[list[Seen]]:
        said = "\n".join(json.dumps(part.payload["content"]) for part in parts)
        result = subprocess.run(command, input=said, capture_output=True, text=True, check=False)
        if "Cannot find module 'discord-markdown-parser'" in result.stderr:
            pytest.skip("npm's discord-markdown-parser is not in NODE_PATH")
        assert result.returncode == 0, result.stderr
        return [list(read(json.loads(line))) for line in result.stdout.splitlines()]

    return parsed


def planned(text: str, limit: int) -> list[Part]:
    message = Send(instance_id="i", external_room_id="1", text=text)
    return list(parts_of(message, limit=limit))


def lost(parts: Sequence[Part]) -> set[str]:
    return {words for part in parts for words in part.degraded}


def agree(document: Document, parts: list[list[Seen]]) -> None:
    """All characters in order; what comes on top is a table's header, repeated."""
    wanted = expected(document)
    read_back = [seen for part in parts for seen in part]
    left = iter(read_back)
    for one in wanted:
        for seen in left:
            if seen.sign == one.sign:
                break
        else:
            pytest.fail(f"{one} is missing in {document.source[:60]!r}")
    headers = {len(list(shown(document.header_at(b.body), frozenset()))) for b in document.blocks}
    more = len(read_back) - len(wanted)
    assert more == 0 or any(more % length == 0 for length in headers if length)


@pytest.mark.parametrize("limit", [2000, 500])
def test_every_character_of_real_texts_is_seen(grammar, limit):
    plans = [planned(text, limit) for text in TEXTS]
    read_back = iter(grammar([part for parts in plans for part in parts]))
    for text, parts in zip(TEXTS, plans, strict=True):
        agree(parse(text), [next(read_back) for _ in parts])


def test_styles_of_real_texts_are_seen_where_they_are(grammar):
    """In one message each, so that no header is repeated; what is lost of them is told."""
    plans = [planned(text, 10**6) for text in TEXTS]
    assert all(len(parts) == 1 for parts in plans)
    read_back = grammar([parts[0] for parts in plans])
    for text, parts, seen in zip(TEXTS, plans, read_back, strict=True):
        wanted = expected(parse(text))
        told = "style left off code" in lost(parts)
        assert [loose(one, told=told) for one in wanted] == [loose(one, told=told) for one in seen]


def loose(seen: Seen, *, told: bool) -> Seen:
    """Code without the styles around it, where it is told that it has lost them."""
    return Seen(seen.sign, frozenset({"code"})) if told and "code" in seen.styles else seen


PIECES = [
    "**bold**", "*it*", "~~gone~~", "`co*de`", "||no||", "snake_case_word", "2*3*4", "x < y > z",
    "a\\*b", "[a](https://x.example/a_(b))", "https://x.example/a_b?c=d", "<https://y.example>",
    "@everyone", "<@123456789012345678>", "<#1>", ":tada:", "<t:1:R>", "# no", "- no", "> no",
    "1. no", "**a *b* c**", "***both***", "_under_ __score__", "``a`b``", "汉字**强调**文字",
    "שלום", "👨‍👩‍👧", "e\u0301",
    "~", "|", "||", "**", "*", "_", "`", "[", "](", "\\", "<", ">", "&amp;", "!",
]  # fmt: skip
FRAMES = [
    "{}",
    "{}",
    "{}",
    "> {}",
    "- {}",
    "1. {}",
    "## {}",
    "- [x] {}",
    "```py\n{}\n```",
    "|a|b|\n|-|-|\n|{}|c|",
]


def mixed(rng: random.Random) -> str:
    def words() -> str:
        return rng.choice([" ", " ", ""]).join(rng.choices(PIECES, k=rng.randint(1, 7)))

    return "\n\n".join(rng.choice(FRAMES).format(words()) for _ in range(rng.randint(1, 4)))


def test_every_character_of_mixed_markup_is_seen(grammar):
    rng = random.Random("mixed")
    texts = [mixed(rng) for _ in range(MIXED)]
    plans = [planned(text, 2000) for text in texts]
    read_back = iter(grammar([part for parts in plans for part in parts]))
    for text, parts in zip(texts, plans, strict=True):
        found = [next(read_back) for _ in parts]
        if "link written out" not in lost(parts):
            agree(parse(text), found)
