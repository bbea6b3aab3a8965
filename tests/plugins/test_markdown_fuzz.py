"""Hostile Markdown on every channel: no exception, nothing over a limit, nothing blank.

As many inputs as `GATEWAY_FUZZ` says; some hundred without it. `python -m bench.text --fuzz N`
also holds them against the clock.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from gateway_core import Secret, Send
from gateway_plugin_discord import markup as discord
from gateway_plugin_slack import markup as slack
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram import markup as telegram
from gateway_plugin_telegram.settings import TelegramSettings

INPUTS = int(os.environ.get("GATEWAY_FUZZ", "300"))
LIMIT = 200
PIECES = [
    "[", "]", "(", ")", "](", "![", "**", "*", "_", "__", "~~", "~", "`", "``", "```", "```py\n",
    "|", "||", "\n", "\n\n", "> ", ">", "- ", "1. ", "- [x] ", "# ", "    ", "\t", "\\", "<", ">",
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
    parts = slack.chunk(SLACK, message, "as_asked")
    return [len(part.payload["text"].encode()) for part in parts]


@pytest.mark.parametrize("channel", [on_telegram, on_discord, on_slack])
@pytest.mark.parametrize("text_format", ["markdown", "plain"])
def test_no_text_breaks_a_plan(channel, text_format):
    random = Random("hostile")
    for _ in range(INPUTS):
        source = hostile(random)
        if text_format == "plain":
            # Lone surrogates are refused at the door in a plain text; Markdown replaces them.
            source = source.encode("utf-8", "replace").decode()
        where = {"instance_id": "i", "external_room_id": "1"}
        sizes = channel(Send(text=source, format=text_format, **where))
        assert all(0 < size <= LIMIT for size in sizes), source
