"""Hostile Markdown on every channel: no exception, nothing over a limit, nothing blank.

Some hundred inputs; as many as `GATEWAY_FUZZ` says, of the seed `GATEWAY_FUZZ_SEED`. 100,000 of all
formats on all channels, which takes about five minutes of a processor:

    make test ARGS="tests/plugins/markdown/test_hostile.py -k breaks" GATEWAY_FUZZ=100000

`python -m bench.text --fuzz N` also holds them against the clock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import attrs
import pytest
from amounts import amount

from gateway_core import Secret, Send
from gateway_core.text import Document, Rendering, parse, plan
from gateway_plugin_discord.rendering import dialect, runs, written
from gateway_plugin_discord.rendering import parts as discord
from gateway_plugin_discord.rendering.document import Dialect
from gateway_plugin_slack.rendering import parts as slack
from gateway_plugin_slack.rendering.document import RichText
from gateway_plugin_slack.rendering.plain import measure
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.rendering import parts as telegram
from gateway_plugin_telegram.rendering.document import Entities
from gateway_plugin_telegram.settings import TelegramSettings

INPUTS = int(os.environ.get("GATEWAY_FUZZ", "300"))
SEED = os.environ.get("GATEWAY_FUZZ_SEED", "hostile")
LIMIT = 200
PIECES = [
    "[", "]", "(", ")", "](", "![", "**", "*", "_", "__", "~~", "~", "`", "``", "```", "```py\n",
    "|", "||", "\n", "\n\n", "> ", ">", "- ", "1. ", "- [x] ", "# ", "    ", "\t", "\\", "<", ">",
    "\n  > ", "\n  - ", "\n  # ", "\n  <p>\n",
    "<b>", "</b>", "<!--", "-->", "&amp;", "&#0;", "http://", "https://a.b/c_d*", "://",
    "@everyone",
    "<@U1>", ":a:", "\u200d", "\u202e", "\u2028", "\ufeff", "\u0301", "👨‍👩‍👧", "🇫🇷", "🇩", "\ud83d",
    "\udc00", "\x00", "\x1f", "\r", "\r\n", "a", "word ", "漢", "א", "|-|-|\n", "|a|b|\n", "---\n",
    "===\n", "[a]: b\n", " ", "  \n",
]  # fmt: skip


def hostile(random: Random) -> str:
    """A few pieces, each repeated once or many times."""
    few = random.sample(PIECES, random.randint(1, 12))
    drawn = (random.choice(few) for _ in range(random.randint(1, 60)))
    return "".join(
        piece * random.choice((1, 1, 1, 2, 3, random.randint(1, 120))) for piece in drawn
    )


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


TELEGRAM = TelegramSettings(token=Secret("1:" + "a" * 35), text_limit=LIMIT)
SLACK = SlackSettings(token=Secret("xoxb-1"), part_bytes=LIMIT)


def on_telegram(message: Send) -> list[int]:
    parts = telegram.parts_of(TELEGRAM, message, "as_asked")
    for part in parts:
        for entity in part.payload.get("entities", []):
            assert 0 <= entity["offset"] < entity["offset"] + entity["length"]
            assert entity["offset"] + entity["length"] <= utf16(part.payload["text"])
    return [len(part.payload["text"]) for part in parts]


def on_discord(message: Send) -> list[int]:
    return [utf16(part.payload["content"]) for part in discord.parts_of(message, limit=LIMIT)]


def on_slack(message: Send) -> list[int]:
    parts = slack.parts_of(SLACK, message, "as_asked")
    return [len(part.payload["text"].encode()) for part in parts]


@pytest.mark.parametrize("channel", [on_telegram, on_discord, on_slack])
@pytest.mark.parametrize("text_format", ["markdown", "plain", "native"])
def test_no_text_breaks_a_plan(channel, text_format):
    random = Random(SEED)
    for _ in range(INPUTS):
        source = hostile(random)
        if text_format != "markdown":
            # Lone surrogates are refused at the door in other formats; Markdown replaces them.
            source = source.encode("utf-8", "replace").decode()
        where = {"instance_id": "i", "external_room_id": "1"}
        sizes = channel(Send(text=source, format=text_format, **where))
        assert all(0 < size <= LIMIT for size in sizes), source


CHANNELS = [on_telegram, on_discord, on_slack]
LINE = amount("characters on one line")


@pytest.mark.parametrize("piece", ["a", "word ", "[", "`", "**a** ", "\u200d", "\u202e", "\ud83d"])
def test_a_long_line_is_planned(piece):
    message = Send(text=piece * (LINE // len(piece)), instance_id="i", external_room_id="1")
    for channel in CHANNELS:
        assert all(0 < size <= LIMIT for size in channel(message))


@attrs.define(eq=False)
class Counted:
    """A rendering that counts the characters which it is asked about."""

    rendering: Rendering
    work: list[int]

    def cost(self, start: int, end: int) -> int:
        self.work.append(end - start)
        return self.rendering.cost(start, end)

    def payload(self, start: int, end: int) -> Mapping[str, Any]:
        self.work.append(end - start)
        return self.rendering.payload(start, end)


def fields(text: str) -> Mapping[str, Any]:
    return {"text": text}


RENDERINGS: dict[str, Callable[[Document], Rendering]] = {
    "telegram": lambda document: Entities(document, LIMIT, len, {}),
    "slack": lambda document: RichText(document, LIMIT, measure, fields),
    "discord": lambda document: Dialect(document, fields),
}


@pytest.mark.parametrize("channel", RENDERINGS)
@pytest.mark.parametrize(
    "piece", ["word ", "**a** ", "- a\n", "`a` ", "[a](http://b.c) ", "|a|b|\n"]
)
def test_twice_the_text_is_twice_the_work(piece, channel):
    """In characters measured or written; and each is looked at a few times at the most."""
    work: list[list[int]] = [[], []]
    for asked, times in zip(work, (1_000, 2_000), strict=True):
        document = parse("|a|b|\n|-|-|\n" * (piece[0] == "|") + piece * times)
        plan(document, lambda d, a=asked: Counted(RENDERINGS[channel](d), a), limit=LIMIT)
    once, twice = map(sum, work)
    assert twice <= 2.2 * once
    assert twice <= 30 * 2_000 * len(piece)


def test_the_rest_of_a_line_is_not_written_for_each_of_its_parts(monkeypatch):
    """Discord escapes what a part holds, a few times, and not all that follows it."""
    size, counted = 20_000, []

    def counting(**asked: bool) -> Callable[[str], str]:
        escape = dialect.escaping(**asked)
        return lambda text: counted.append(len(text)) or escape(text)

    monkeypatch.setattr(runs, "escaping", counting)
    monkeypatch.setattr(written, "escaping", counting)
    parts = plan(parse("[" * size), RENDERINGS["discord"], limit=LIMIT)
    assert size // (LIMIT // 2) == len(parts)
    assert size <= sum(counted) <= 30 * size


@pytest.mark.parametrize(("columns", "rows"), [(1000, 255), (500, 540)])
@pytest.mark.parametrize("channel", CHANNELS)
def test_empty_cells_that_a_parser_adds_are_not_sent(channel, columns, rows):
    """Rows of one cell each; the parser adds 250,000, and after some more it adds none."""
    source = "|a" * columns + "\n" + "|-" * columns + "\n" + "|b\n" * rows
    sizes = channel(Send(text=source, instance_id="i", external_room_id="1"))
    assert sum(sizes) <= 2 * len(source)
