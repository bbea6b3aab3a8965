"""Telegram's own library, offline: our text and entities are what it makes of equivalent markup."""

from __future__ import annotations

import html
import json
import random
import re
from itertools import groupby

import pytest
from amounts import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from seen.generated import documents
from seen.mixed import mixed
from seen.plans import TEXTS, on_telegram

from gateway_core import Part

TAGS = {
    "bold": "b",
    "italic": "i",
    "strikethrough": "s",
    "underline": "u",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "spoiler": "tg-spoiler",
}
NAMES = {"BlockQuote": "blockquote", "PreCode": "pre", "TextUrl": "link"}


def as_html(seen: list[tuple[str, frozenset[str]]]) -> str:
    """Characters and their styles as the HTML that Telegram's parse mode takes."""
    pieces = []
    for styles, run in groupby(seen, key=lambda pair: pair[1]):
        text = html.escape("".join(sign for sign, _ in run), quote=False)
        for name in sorted(styles):
            tag = TAGS.get(name)
            opened = f"<{tag}>" if tag else f'<a href="{html.escape(name[5:])}">'
            text = f"{opened}{text}</{tag or 'a'}>"
        pieces.append(text)
    return "".join(pieces)


def styled_characters(text: str, entities: list[tuple[str, int, int]]) -> list:
    """Characters with the styles of entities whose places are UTF-16 units."""
    units: list[set[str]] = [set() for _ in range(len(text.encode("utf-16-le")) // 2)]
    for name, offset, length in entities:
        for at in range(offset, offset + length):
            units[at].add(name)
    found, at = [], 0
    for sign in text:
        found.append((sign, frozenset(units[at])))
        at += 2 if sign > "\uffff" else 1
    return found


def ours(part: Part) -> list:
    entities = [
        (f"link {e['url']}" if e["type"] == "text_link" else e["type"], e["offset"], e["length"])
        for e in part.payload.get("entities", [])
    ]
    return styled_characters(part.payload["text"], entities)


def theirs(answer: dict) -> list:
    entities = []
    for entity in answer["entities"]:
        name = entity["type"]["@type"].removeprefix("textEntityType")
        entities.append((NAMES.get(name, name.lower()), entity["offset"], entity["length"]))
    return styled_characters(answer["text"], entities)


@pytest.fixture(scope="module")
def tdlib():
    """Calls Telegram's own library, offline."""
    tdjson = pytest.importorskip("tdjson", reason="the PyPI package tdjson is not installed")

    def call(kind: str, **fields) -> dict:
        answer = json.loads(tdjson.td_execute(json.dumps({"@type": kind, **fields}).encode()))
        assert answer["@type"] != "error", answer
        return answer

    call("setLogVerbosityLevel", new_verbosity_level=0)
    return call


def check_tdlib(tdlib, source: str, limit: int) -> None:
    """Our text and entities are what the platform makes of the same styles written as HTML."""
    for part in on_telegram(source, limit):
        seen = ours(part)
        mode = {"@type": "textParseModeHTML"}
        answer = tdlib("parseTextEntities", text=as_html(seen), parse_mode=mode)
        plain_links = [
            (sign, frozenset(re.sub(r"^link .*", "link", name) for name in styles))
            for sign, styles in seen
        ]
        assert plain_links == theirs(answer)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_telegrams_library_reads_the_same_of_real_texts(path, tdlib):
    for limit in (4096, 700, 300):
        check_tdlib(tdlib, path.read_text(), limit)


@given(sources=documents, limit=st.integers(160, 500))
@settings(max_examples=drawn(300), deadline=None)
def test_telegrams_library_reads_the_same_of_generated_markdown(sources, limit, tdlib):
    check_tdlib(tdlib, "\n\n".join(sources), limit)


def test_telegrams_library_reads_the_same_of_mixed_markup(tdlib):
    rng = random.Random("mixed")
    for _ in range(1500):
        check_tdlib(tdlib, mixed(rng), rng.choice([170, 400, 2000]))


TD_NAMES = {"text_link": "TextUrl", "blockquote": "BlockQuote", "pre": "Pre"}


def as_td(entity: dict) -> dict:
    name = TD_NAMES.get(entity["type"], entity["type"].capitalize())
    kind = {"@type": f"textEntityType{name}"}
    if "url" in entity:
        kind["url"] = entity["url"]
    place = {"offset": entity["offset"], "length": entity["length"]}
    return {"@type": "textEntity", **place, "type": kind}


HOSTS = st.text(alphabet=st.sampled_from("ab.:/?#@[]%-_~\\ é汉😀089"), min_size=1, max_size=12)


@given(host=HOSTS | st.sampled_from(["localhost:80", "db", "x.y:65535", "x.y:65536", "[::1]"]))
@settings(max_examples=drawn(1000), deadline=None)
def test_telegrams_library_takes_every_link_that_we_make(host, tdlib):
    """It refuses a message for one link that is none."""
    for part in on_telegram(f"[here](<http://{host}>)"):
        entities = [as_td(entity) for entity in part.payload.get("entities", [])]
        text = {"@type": "formattedText", "text": part.payload["text"], "entities": entities}
        assert tdlib("getMarkdownText", text=text)["text"]


@given(sources=documents)
@settings(max_examples=drawn(100), deadline=None)
def test_telegrams_library_takes_our_entities(sources, tdlib):
    """It refuses entities outside the text or within a character; ours it can write as Markdown."""
    for part in on_telegram("\n\n".join(sources), 300):
        entities = [as_td(entity) for entity in part.payload.get("entities", [])]
        text = {"@type": "formattedText", "text": part.payload["text"], "entities": entities}
        assert tdlib("getMarkdownText", text=text)["text"]
