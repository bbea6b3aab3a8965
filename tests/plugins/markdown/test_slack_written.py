"""What a part of a Slack message takes of the elements of the whole, and what it writes anew."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from seen.mixed import mixed
from seen.plans import TEXTS

from gateway_core.text import literal, parse
from gateway_plugin_slack.rendering.plain import measure
from gateway_plugin_slack.rendering.sizes import Tally
from gateway_plugin_slack.rendering.written import Written

REAL = [path.read_text() for path in TEXTS]
LINES = [
    "- a **b**", "  c `d`", "  - e", "    f", "1. g", "2. h", "   i", "> j", "> - k", "> l", "", "",
    "- [ ] m", "# n *o*", "- # p `q`", "---", "  ---", "```", "- ", "  > r",
    "|a|b|\n|-|-|", "|c|d|", "||s **t**||", "[u *v*](https://x.example/a)", "word " * 30,
]  # fmt: skip


def drawn(rng: Random) -> str:
    many = "\n\n".join(mixed(rng) for _ in range(rng.randint(1, 8)))
    lines = "\n".join(rng.choices(LINES, k=rng.randint(1, 40))) + "\nw"
    return rng.choice([many, lines, rng.choice(REAL)]) + rng.choice(["", " <@U1> <!here>"])


@pytest.mark.parametrize("mentions", [False, True])
def test_parts_are_written_as_each_would_be_alone(mentions):
    rng = Random("parts")
    for _ in range(500):
        document = rng.choice([parse, parse, parse, literal])(drawn(rng))
        edges = [0, len(document.text)]
        edges += [rng.choice(document.blocks)[rng.choice((0, 1, 2))] for _ in range(6)]
        edges += [rng.randrange(len(document.text)) for _ in range(rng.randint(0, 3))]
        parts = [*pairwise(sorted({*edges}))]
        if rng.random() < 0.2:
            rng.shuffle(parts)
        writing = Written(document, mentions)
        alone = [Written(document, mentions)._written(start, start, end) for start, end in parts]
        assert alone == [writing.between(start, end) for start, end in parts]


@pytest.mark.parametrize("whole_first", [False, True])
def test_no_list_or_table_is_given_out_twice(whole_first):
    for source in [*REAL, "**bold words**", "> a [link *of* words](http://b.c)"]:
        document = parse(source)
        writing, end = Written(document, mentions=False), len(document.text)
        parts = [(0, end // 2), (end // 2, end), (0, end), (0, end)]
        given = [writing.between(*part) for part in (parts[2:] if whole_first else parts)]
        assert given[-1] == given[-2] == Written(document, mentions=False).between(0, end)
        kept = [containers(elements) for elements in given]
        assert sum(map(len, kept)) == len(set().union(*kept))


def containers(value) -> set[int]:
    """Lists and tables in a value of JSON, by identity; what is there twice is a mistake."""
    if not isinstance(value, dict | list):
        return set()
    inner = [containers(one) for one in (value.values() if isinstance(value, dict) else value)]
    found = {id(value)}.union(*inner)
    assert 1 + sum(map(len, inner)) == len(found)
    return found


def test_a_tally_says_what_counting_all_of_it_would():
    rng = Random("tally")
    text = "".join(rng.choice("aé漢🙂<&>\ud83d\ude42\n") for _ in range(200))
    tally = Tally(text, measure)
    for _ in range(2000):
        start = rng.choice((0, 0, 20, rng.randrange(200)))
        end = rng.randint(start, 200)
        assert measure(text[start:end]) == tally.between(start, end)


def test_a_tally_counts_what_is_new_and_no_more():
    counted = []

    def count(text: str) -> int:
        counted.append(len(text))
        return len(text)

    tally = Tally("a" * 100, count)
    asked = [tally.between(10, end) for end in (90, 11, 80, 85, 84)]
    assert ([80, 1, 70, 75, 74], [80, 1, 10, 5, 1]) == (asked, counted)
