"""What blocks may take, 12,000 characters, is kept to, and is used."""

from __future__ import annotations

import json
from random import Random

import pytest
from seen.mixed import mixed
from seen.plans import TEXTS, on_slack

from gateway_core import Secret, Send
from gateway_core.text import literal, parse
from gateway_plugin_slack.rendering.document import MOST_JSON, RichText
from gateway_plugin_slack.rendering.parts import parts_of
from gateway_plugin_slack.rendering.plain import measure
from gateway_plugin_slack.settings import Settings

LONG = f"https://example.org/{'p' * 900}"


def written(blocks) -> int:
    return len(json.dumps(blocks, ensure_ascii=False))


DENSE = {
    "bold": "**a** b " * 900,
    "code": "`a` b " * 900,
    "links": "[a](http://b.c) " * 900,
    "styles in styles": "***~~`a`~~*** b " * 900,
    "lists in lists": "".join(f"{n}. a\n   - b\n" for n in range(1, 600)),
    "lists in quotes": "".join(f"> {2 * n}. a\n>    - b\n" for n in range(1, 600)),
    "short paragraphs": "a\n\n" * 4000,
    "boxes": "- [ ] a **b**\n" * 900,
    "quotes and code": "> a\n\n```\nb\n```\n\n" * 400,
}


@pytest.mark.parametrize("source", DENSE.values(), ids=DENSE)
def test_dense_markup_fills_its_messages(source):
    """Blocks within their bound, and all but the last fill it or the text's by three quarters."""
    parts = on_slack(source)
    blocks = [written(part.payload["blocks"]) for part in parts]
    texts = [len(part.payload["text"].encode()) for part in parts]
    assert max(blocks) <= MOST_JSON
    filled = [max(size / MOST_JSON, text / 4000) for size, text in zip(blocks, texts, strict=True)]
    assert min(filled[:-1]) > 0.75


def test_an_address_counts_as_often_as_its_words_change_their_style():
    words = " ".join("**a** b" for _ in range(12))
    parts = on_slack(f"[{words}]({LONG})\n\n" * 8)
    assert max(written(part.payload["blocks"]) for part in parts) <= MOST_JSON


@pytest.mark.parametrize("source", ["1. b\n\n*a* c\n\n", "1. b\n\n[a](http://b.c)\n\n"])
def test_a_blank_line_before_a_style_counts_as_the_element_that_it_is(source):
    document = parse(source * 50)
    rich = RichText(document, 4000, measure, lambda text: {"text": text})
    text, end = document.text, len(document.text)
    counted = rich.sizes.between(0, end) + len(text) + text.count("\n")
    assert written(rich.payload(0, end)["blocks"]) <= counted


@pytest.mark.parametrize(
    "text", ["<@U1> " * 900, f"***~~a {'<@U1> b ' * 900}~~***", "- # <@U1> *b*\n" * 400]
)
def test_calls_count_what_they_are_written_as(text):
    where = {"instance_id": "i", "external_room_id": "C1"}
    call = Send(text=text, format="markdown", mentions=True, **where)
    parts = parts_of(Settings(token=Secret("xoxb-1")), call, "as_asked")
    assert max(written(part.payload["blocks"]) for part in parts) <= MOST_JSON


def test_no_stretch_takes_more_than_is_counted():
    rng = Random("sizes")
    real = [path.read_text() for path in TEXTS]
    for _ in range(400):
        source = rng.choice([mixed(rng), "\n\n".join(mixed(rng) for _ in range(5)), *real[:2]])
        document = rng.choice([parse, parse, literal])(source)
        rich = RichText(document, 4000, measure, lambda text: {"text": text}, rng.random() < 0.3)
        start = rng.randrange(len(document.text))
        end = rng.randint(start + 1, len(document.text))
        text = document.header_at(start) + document.text[start:end]
        counted = rich.sizes.between(start, end) + len(text) + sum(map(text.count, '\n\t"\\'))
        assert written(rich.payload(start, end)["blocks"]) <= counted
        longer = min(end + 1, len(document.text))
        assert rich.cost(start, end) <= rich.cost(start, longer)


@pytest.mark.parametrize("mentions", [False, True])
def test_the_whole_takes_what_its_stretches_say(mentions):
    """It is summed up another way, as most texts are asked about as a whole and no further."""
    rng = Random("whole")
    for _ in range(200):
        document = rng.choice([parse, literal])(mixed(rng) + rng.choice(["", " <@U1>", "\n> a"]))
        rich = RichText(document, 4000, measure, lambda text: {"text": text}, mentions)
        end = len(document.text)
        assert rich.sizes.between(0, end) == rich.sizes.before(end)
