"""What cannot be accepted because of its size is refused with little work, on every channel."""

from __future__ import annotations

import sys

import pytest

from gateway_core import GatewayConfig, Instance, Problem, Secret, Send, preview
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings
from gateway_plugin_telegram.settings import TelegramSettings

CHANNELS = {
    "telegram": (TelegramSettings(token=Secret("1:" + "a" * 35)), "7"),
    "slack": (Settings(token=Secret("xoxb-1")), "C024BE91L"),
    "discord": (DiscordSettings(token=Secret("a." + "b" * 30)), "1" * 18),
}
SIZE = 1_000_000
SHAPES = {
    "headings": "# a\n",
    "lists": "- a\n",
    "quotes": "> abc\n\n",
    "nested": "> > - - abc\n",
    "code": "x = 1\n",
    "emoji": "\U0001f600",
    "words": "lorem ipsum ",
    "links": "[lorem ipsum dolor](http://b.c) sit amet ",
    "unclosed": "**ab ",
    "unclosed links": "[abcd",
    "spoilers": "||ab|| ",
    "tables": "|abcd|b|\n|-|-|\n",
}


class TooMuchWork(Exception):
    """More calls than one for five characters."""


def previewed(channel, text, most=50):
    settings, room = CHANNELS[channel]
    envelope = Send(instance_id="bot", external_room_id=room, text=text, format="markdown")
    config = GatewayConfig(max_parts=most)
    return preview(Instance("bot", channel, settings), envelope, config=config)


def within_bounds(work):
    """What it answers, if it calls few enough Python functions."""
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event == "call"
        if count > SIZE / 5:
            raise TooMuchWork

    sys.setprofile(note)
    try:
        result = work()
    finally:
        sys.setprofile(None)
    return result


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_million_characters_are_refused_with_little_work(channel, shape):
    """A plan takes a call and more a character of these; a callback a line is what is allowed."""
    piece = SHAPES[shape]
    text = piece * (SIZE // len(piece))
    previewed(channel, "warm")
    found = within_bounds(lambda: previewed(channel, text))
    [problem] = found.problems
    assert "text" == problem.place
    assert problem.text.startswith("needs at least")
    assert problem.text.endswith("messages, at most 50 (`max_parts`)")


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_it_refuses_nothing_that_could_be_planned(channel, shape):
    """With so many parts as its plan has it is accepted, with one less it is not."""
    piece = SHAPES[shape]
    text = piece * (9_000 // len(piece))
    parts = len(previewed(channel, text, most=10_000).parts)
    assert () == previewed(channel, text, most=parts).problems
    [problem] = previewed(channel, text, most=parts - 1).problems
    assert Problem("text", problem.text) == problem
