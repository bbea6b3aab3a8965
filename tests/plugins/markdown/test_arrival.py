"""Markdown on every channel: what is sent, read back by each platform's rules, is the document."""

from __future__ import annotations

import random

import pytest
from amounts import drawn
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from seen.checks import CHECKS, check_discord
from seen.generated import documents
from seen.mixed import mixed
from seen.on_discord import reads_exactly
from seen.plans import TEXTS, on_discord

from gateway_core.text import parse


@pytest.mark.parametrize("channel", CHECKS)
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_real_texts_arrive_as_they_were_meant(path, channel):
    for limit in (2000, 900, 500):
        CHECKS[channel](path.read_text(), limit)


@pytest.mark.parametrize("channel", ["telegram", "slack"])
@given(sources=documents, limit=st.integers(160, 500))
@settings(max_examples=drawn(100), deadline=None)
def test_generated_markdown_arrives_as_it_was_meant(channel, sources, limit):
    CHECKS[channel]("\n\n".join(sources), limit)


@pytest.mark.parametrize("channel", ["telegram", "slack"])
def test_mixed_markup_arrives_as_it_was_meant(channel):
    rng = random.Random("mixed")
    for _ in range(drawn(1_000)):
        CHECKS[channel](mixed(rng), rng.choice([170, 400, 2000]))


@given(sources=documents, limit=st.integers(250, 500))
@settings(max_examples=drawn(200), deadline=None)
def test_generated_markdown_reads_the_same_by_discords_grammar(sources, limit):
    source = "\n\n".join(sources)
    assume(reads_exactly(parse(source)))
    check_discord(source, limit)


def test_a_list_that_is_numbered_anew_on_discord_is_text_from_there_on():
    """A client counts on from a list's first number, whatever the others are."""
    [part] = on_discord("1. a\n2. b\n99) c\n100) d\n\ntext\n\n7. e")
    assert "1. a\n2. b\n99\\. c\n100\\. d\n\ntext\n7. e" == part.payload["content"]


@pytest.mark.parametrize("channel", CHECKS)
@pytest.mark.parametrize(
    "piece", ["**a** b ", "[a](http://b.c) ", "- a\n", '`"` ', "😀 & ", "> a\n\nb\n\n"]
)
def test_much_markup_in_little_text_fits(channel, piece):
    """Telegram takes 100 entities, Slack 12,000 characters of blocks, Discord counts each mark."""
    CHECKS[channel](piece * 600, {"telegram": 4096, "slack": 4000, "discord": 2000}[channel])
