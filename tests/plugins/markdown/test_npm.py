"""Discord's content, read by a parser that others wrote: npm's discord-markdown-parser.

It runs where node finds the parser: after `npm install discord-markdown-parser`, with NODE_PATH set
to that `node_modules`.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from amounts import amount
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from seen.checks import agree
from seen.generated import documents
from seen.mixed import mixed
from seen.on_discord import expected_on_discord, loosened, reads_exactly, with_bullets
from seen.plans import TEXTS, Seen, on_discord, shown

from gateway_core.text import parse

DRAWN = amount("drawn texts read by npm's parser")
MIXED = amount("mixed texts read by npm's parser")
READER = Path(__file__).parent / "seen/npm.js"


def read(contents: Sequence[str]) -> list[list[Seen]]:
    lines = "\n".join(map(json.dumps, contents))
    command = ["node", READER]
    answer = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return [[*_seen(json.loads(line))] for line in answer.stdout.splitlines()]


def _seen(pairs: list[tuple[str, list[str]]]) -> Iterator[Seen]:
    for sign, styles in pairs:
        yield from map(loosened, shown(sign, frozenset(styles)))


@pytest.fixture(scope="module")
def _parser() -> None:
    node = shutil.which("node")
    ask = [node or "", "-e", "require('discord-markdown-parser')"]
    if node is None or subprocess.run(ask, capture_output=True, check=False).returncode:
        pytest.skip("node does not find npm's discord-markdown-parser: see this module's docstring")


def check(cases: Sequence[tuple[str, int]]) -> None:
    plans = [
        [with_bullets(part).payload["content"] for part in on_discord(*case)] for case in cases
    ]
    seen = iter(read([content for plan in plans for content in plan]))
    for (source, _), plan in zip(cases, plans, strict=True):
        document = parse(source)
        expected = [*map(loosened, expected_on_discord(document))]
        agree(document, expected, [next(seen) for _ in plan])


@pytest.mark.usefixtures("_parser")
def test_another_parser_reads_the_same_of_real_texts():
    check([(path.read_text(), limit) for path in TEXTS for limit in (2000, 900, 500)])


@pytest.mark.usefixtures("_parser")
def test_another_parser_reads_the_same_of_generated_markdown():
    cases: list[tuple[str, int]] = []

    @given(sources=documents, limit=st.integers(250, 500))
    @settings(
        max_examples=DRAWN,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
        database=None,
    )
    def draw(sources, limit):
        source = "\n\n".join(sources)
        if reads_exactly(parse(source)):
            cases.append((source, limit))

    draw()
    assert len(cases) > 0.4 * DRAWN
    check(cases)


@pytest.mark.usefixtures("_parser")
def test_another_parser_reads_the_same_of_mixed_markup():
    rng = random.Random("mixed")
    cases = [(mixed(rng), rng.choice([200, 2000])) for _ in range(MIXED)]
    whole = [case for case in cases if not told(*case)]
    assert len(whole) > MIXED / 2
    check(whole)


def told(source: str, limit: int) -> bool:
    """Whether a link or a style is left out, and the plan says so."""
    lost = [words for part in on_discord(source, limit) for words in part.degraded]
    return any(words.startswith(("link written out", "style left off")) for words in lost)
