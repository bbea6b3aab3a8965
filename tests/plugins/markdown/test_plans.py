"""Plans are the same again: for a longer text, in another process, from a part's own span."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from functools import partial
from itertools import pairwise

import pytest
from amounts import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from seen.generated import documents, sizeable
from seen.plans import PLANS, TEXTS

from gateway_core import Part
from gateway_core.text import Excerpt, Kind, parse


@pytest.mark.parametrize("channel", PLANS)
@given(sources=documents, more=documents, limit=st.integers(160, 400))
@settings(max_examples=drawn(60), deadline=None)
def test_blocks_that_come_later_change_no_part_but_the_last(channel, sources, more, limit):
    plan = partial(PLANS[channel], limit=limit)
    before = plan("\n\n".join(sources))
    after = plan("\n\n".join([*sources, *more]))
    assert [part.payload for part in before[:-1]] == [
        part.payload for part in after[: max(len(before) - 1, 0)]
    ]


GROWING = [p for p in TEXTS if not p.stem.startswith(("19-links", "21-wide", "25-incident"))]
"""Without references that are defined at the end, and tables that grow wider over two parts."""


@pytest.mark.parametrize("channel", PLANS)
@pytest.mark.parametrize("path", GROWING, ids=lambda path: path.stem)
def test_an_answer_that_grows_by_lines_changes_its_last_part_only(path, channel):
    lines = path.read_text().splitlines(keepends=True)
    before: list[Part] = []
    for count in range(1, len(lines) + 1, 3):
        after = PLANS[channel]("".join(lines[:count]), limit=700)
        kept = max(len(before) - 1, 0)
        assert [part.payload for part in before[:-1]] == [part.payload for part in after[:kept]]
        before = after


SHOW_PLANS = """
import sys
from gateway_core import Secret, Send
from gateway_plugin_discord.rendering import parts as discord
from gateway_plugin_slack.rendering import parts as slack
from gateway_plugin_slack.settings import Settings
from gateway_plugin_telegram.rendering import parts as telegram
from gateway_plugin_telegram.settings import TelegramSettings
text = open(sys.argv[1]).read()
send = Send(instance_id="i", external_room_id="1", text=text, format="markdown")
settings = TelegramSettings(token=Secret("1:" + "a" * 35), text_limit=400)
print(telegram.parts_of(settings, send, "as_asked"))
print(slack.parts_of(Settings(token=Secret("xoxb-1"), part_bytes=400), send, "as_asked"))
print(discord.parts_of(send, limit=400))
"""


def test_another_process_plans_the_same(tmp_path):
    """Payloads, spans, digests and degradations, whatever the seed of the process's hashes."""
    source = tmp_path / "all.md"
    source.write_text("\n\n".join(path.read_text() for path in TEXTS))
    shown_by = [
        subprocess.run(
            [sys.executable, "-c", SHOW_PLANS, source],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert shown_by[0] == shown_by[1]
    assert shown_by[0].count(b"Part(") > 100


@pytest.mark.parametrize("channel", PLANS)
@given(sources=documents, limit=st.integers(160, 400))
@settings(max_examples=drawn(40), deadline=None)
def test_planning_twice_gives_the_same_parts_and_spans_cover_the_source(channel, sources, limit):
    source = "\n\n".join(sources)
    parts = PLANS[channel](source, limit=limit)
    assert parts == PLANS[channel](source, limit=limit)
    edges = [place for part in parts for place in part.span]
    assert edges == sorted(edges)
    assert not edges or (0, len(source)) == (edges[0], edges[-1])
    assert all(a.span[1] == b.span[0] for a, b in pairwise(parts))


@pytest.mark.parametrize("channel", PLANS)
@given(sources=documents, limit=st.integers(300, 400))
@settings(max_examples=drawn(60), deadline=None)
def test_a_part_planned_again_from_its_span_looks_the_same(channel, sources, limit):
    """As after a refusal: from the stretch of the source alone, wherever it begins and ends."""
    source = "\n\n".join(sources)
    plan = partial(PLANS[channel], limit=limit)
    for part in plan(source):
        [again] = plan(Excerpt(source, *part.span))
        assert trimmed(part.payload) == trimmed(again.payload)


@pytest.mark.parametrize("channel", PLANS)
@given(sources=sizeable, limit=st.integers(250, 600))
@settings(max_examples=drawn(60), deadline=None)
def test_whatever_is_wider_than_a_part_has_its_place_in_the_source(channel, sources, limit):
    """In rows, fences and links over several parts, each is from somewhere, and from there again.

    Stricter it is the same to read, in as many parts as it takes.
    """
    source = "\n\n".join(sources)
    for part in PLANS[channel](source, limit=limit):
        assert part.span[0] < part.span[1]
        stricter = PLANS[channel](Excerpt(source, *part.span), limit=limit // 2)
        assert read(part) == "".join(map(read, stricter)), part.span


def read(part: Part) -> str:
    """The signs of a part, but rules, headers that are repeated, and what opens and closes."""
    text = part.payload.get("content") or html.unescape(part.payload["text"])
    return re.sub(r"```(?:py)?|Head\d|[\s\u200b\u200e<>*`|\\+-]", "", text)


def trimmed(payload: object) -> object:
    """The last part has the white space behind it, a stretch of it has not."""
    return re.sub(r'(\\n| )+(?=")', "", json.dumps(payload))


@pytest.mark.parametrize("channel", ["telegram", "slack"])
@given(sources=documents, limit=st.integers(160, 400))
@settings(max_examples=drawn(60))
def test_white_space_too_is_lost_at_the_cuts_only(channel, sources, limit):
    source = "\n\n".join(sources)
    document = parse(source)
    texts = [part.payload["text"] for part in PLANS[channel](source, limit=limit)]
    if channel == "slack":
        texts = [html.unescape(text) for text in texts]
    blocks = [block for block in document.blocks if block.kind is Kind.TABLE]
    headers = ["", *(document.text[block.start : block.body] for block in blocks)]
    at = 0
    for text in texts:
        ends = [behind(document.text, at, text.removeprefix(header)) for header in headers]
        assert max(ends) >= 0, text
        at = max(ends)
    assert not document.text[at:].strip()


def behind(whole: str, at: int, text: str) -> int:
    """The end of `text` in `whole`, where nothing but white space is before it; else -1."""
    found = whole.find(text, at)
    return -1 if found < 0 or whole[at:found].strip() else found + len(text)
