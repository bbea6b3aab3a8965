"""Markdown on every channel: what is sent, read back by each platform's rules, is the document."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest
import regex
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway_core import Part, Secret, Send
from gateway_core.text import Document, Excerpt, Kind, Style, parse
from gateway_plugin_discord import markup as discord
from gateway_plugin_slack import markup as slack
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram import markup as telegram
from gateway_plugin_telegram.settings import TelegramSettings

TEXTS = sorted((Path(__file__).parents[1] / "texts").glob("[0-9]*.md"))


class Seen(NamedTuple):
    """One character as a reader sees it."""

    sign: str
    styles: frozenset[str]


def shown(text: str, styles: frozenset[str] = frozenset()) -> Iterator[Seen]:
    """White space is left out: where it may be added or dropped is not what is tested here."""
    return (Seen(sign, styles) for sign in text if not (sign.isspace() or sign == "\u200b"))


def message(source: str) -> Send:
    return Send(instance_id="i", external_room_id="1", text=source, format="markdown")


def on_telegram(source: str, limit: int = 4096) -> list[Part]:
    instance = TelegramSettings(token=Secret("1:" + "a" * 35), text_limit=limit)
    return list(telegram.parts_of(instance, message(source), "as_asked"))


def on_discord(source: str, limit: int = 2000) -> list[Part]:
    return list(discord.parts_of(message(source), limit=limit))


def on_slack(source: str, limit: int = 4000) -> list[Part]:
    instance = SlackSettings(token=Secret("xoxb-1"), part_bytes=limit)
    return list(slack.chunk(instance, message(source), "as_asked"))


# -- Telegram


def read_telegram(part: Part) -> list[Seen]:
    units = part.payload["text"].encode("utf-16-le")
    styles: list[set[str]] = [set() for _ in range(len(units) // 2)]
    for entity in part.payload.get("entities", []):
        start, end = entity["offset"], entity["offset"] + entity["length"]
        assert 0 <= start < end <= len(styles)
        name = entity["type"]
        for at in range(start, end):
            styles[at].add(f"link {entity['url']}" if name == "text_link" else name)
    seen = []
    at = 0
    for sign in part.payload["text"]:
        seen += shown(sign, frozenset(styles[at]))
        at += 2 if sign > "\uffff" else 1
    return seen


TELEGRAM_NAMES = {Style.STRIKE: "strikethrough", Style.QUOTE: "blockquote"}


def expected_on_telegram(document: Document) -> list[Seen]:
    def styles_of(place: int) -> Iterator[str]:
        for span in document.spans:
            bare = span.value in ("", document.text[span.start : span.end])
            if span.start <= place < span.end and not (span.style is Style.LINK and bare):
                link = f"link {span.value}"
                names = {**TELEGRAM_NAMES, Style.LINK: link}
                yield names.get(span.style, span.style.value)
        block = document.block_at(place)
        if block and place < block.end:
            if block.kind is Kind.HEADING and place >= block.body:
                yield "bold"
                yield from ["underline"] * (block.level == 1)
            if block.kind in (Kind.CODE, Kind.TABLE):
                yield "pre"

    return [
        seen
        for place, sign in enumerate(document.text)
        for seen in shown(sign, frozenset(styles_of(place)))
    ]


# -- Slack


def read_slack(part: Part) -> list[Seen]:
    [block] = part.payload["blocks"]
    assert block["type"] == "rich_text"
    return [seen for element in block["elements"] for seen in _rich(element, frozenset())]


def _rich(element: dict, around: frozenset[str]) -> Iterator[Seen]:
    kind = element["type"]
    if kind in ("text", "link"):
        styles = {name for name, on in element.get("style", {}).items() if on}
        if kind == "link" and element["url"] != element["text"]:
            styles.add(f"link {element['url']}")
        assert element["text"]
        yield from shown(element["text"], around | styles)
        return
    assert element["elements"]
    name = {"rich_text_preformatted": "pre", "rich_text_quote": "quote"}.get(kind)
    around |= {name} if name else set()
    around |= {"quote"} if element.get("border") else set()
    for index, inner in enumerate(element["elements"]):
        if kind == "rich_text_list":
            marker = "•" if element["style"] == "bullet" else f"{element['offset'] + index + 1}."
            yield from shown(marker, around)
        yield from _rich(inner, around)


def expected_on_slack(document: Document) -> list[Seen]:
    renamed = {"strikethrough": "strike", "blockquote": "quote"}

    def rename(styles: frozenset[str], place: int) -> frozenset[str]:
        block = document.block_at(place)
        names = {renamed.get(name, name) for name in styles} - {"spoiler"}
        if "pre" in names:
            names &= {"pre", "quote"}
        elif block and block.kind is Kind.HEADING:
            names -= {"underline"}
        return frozenset(names)

    places = [at for at, sign in enumerate(document.text) for _ in shown(sign)]
    pairs = zip(places, expected_on_telegram(document), strict=True)
    return [Seen(seen.sign, rename(seen.styles, place)) for place, seen in pairs]


# -- Discord: its client's grammar, as its open-source descendants have it

INSIDE = r"(?:\[[^\]]*\]|[^\[\]]|\](?=[^\[]*\]))*"
TARGET = r"\s*<?((?:\([^)]*\)|[^\s\\]|\\.)*?)>?(?:\s+['\"]([\s\S]*?)['\"])?\s*"
GRAMMAR = {
    "spoiler": r"\|\|([\s\S]+?)\|\|",
    "heading": r"(#{1,3}) +([^\n]+?)(\n|$)",
    "subtext": r"-# +([^\n]+?)(\n|$)",
    "pre": r"(?i:```(?:([a-z0-9_+\-.#]+?)\n+)?\n*([\s\S]+?)\n*```)",
    "quote": r" *> [^\n]*(?:\n *> [^\n]*)*\n?",
    "escape": r"\\([^0-9A-Za-z\s])",
    "autolink": r"<([^: >]+:/[^ >]+)>",
    "url": r"""(https?://[^\s<]+[^<.,:;"')\]\s])""",
    "link": rf"\[({INSIDE})\]\({TARGET}\)",
    "marks": r"(?=[*_])",
    "strike": r"~~([\s\S]+?)~~(?!_)",
    "code": r"(`+)([\s\S]*?[^`])\1(?!`)",
    "mention": r"<(?:@[!&]?|#)\d+>|@everyone|@here|<a?:\w+:\d+>|<t:-?\d+(?::[tTdDfFR])?>",
    "text": r"[\s\S]+?(?=[^0-9A-Za-z\s\u00c0-\uffff]|\n|\w+:\S|$)",
}
RULES = {name: re.compile(pattern, re.ASCII) for name, pattern in GRAMMAR.items()}
MARKS = {
    "italic": re.compile(
        r"\b_((?:__|\\[\s\S]|[^\\_])+?)_\b"
        r"|\*(?=\S)((?:\*\*|\\[\s\S]|\s+(?:\\[\s\S]|[^\s*\\]|\*\*)|[^\s*\\])+?)\*(?!\*)",
        re.ASCII,
    ),
    "bold": re.compile(r"\*\*((?:\\[\s\S]|[^\\])+?)\*\*(?!\*)"),
    "underline": re.compile(r"__((?:\\[\s\S]|[^\\])+?)__(?!_)"),
}
AT_LINE_START = {"heading", "subtext", "quote"}


def read_discord(part: Part) -> list[Seen]:
    assert {"parse": []} == part.payload["allowed_mentions"]
    return list(_dialect(part.payload["content"], frozenset()))


def _dialect(source: str, styles: frozenset[str]) -> Iterator[Seen]:
    at = 0
    while at < len(source):
        fresh = at == 0 or source[at - 1] == "\n"
        name, found = _first(source, at, fresh=fresh, quoted="quote" in styles)
        yield from _node(name, found, styles, fresh=fresh)
        at = found.end()


def _first(source: str, at: int, *, fresh: bool, quoted: bool) -> tuple[str, re.Match[str]]:
    rest = source[at:]
    for name, rule in RULES.items():
        if (name in AT_LINE_START and not fresh) or (name == "quote" and quoted):
            continue
        if not rule.match(rest):
            continue
        if name != "marks":
            return name, rule.match(source, at)
        matches = [(m.end(), n) for n, r in MARKS.items() if (m := r.match(rest))]
        if matches:
            mark = max(matches)[1]
            found = MARKS[mark].match(source, at)
            return mark, found or pytest.fail("a mark that sees what stands before it")
    return "text", re.compile(r"[\s\S]").match(source, at)


def _node(name, found, styles: frozenset[str], *, fresh: bool) -> Iterator[Seen]:
    groups = [group for group in found.groups() if group is not None]
    if name in ("bold", "italic", "strike", "underline", "spoiler"):
        yield from _dialect(groups[0], styles | {name})
    elif name == "heading":
        yield from _dialect(found[2], styles | {"heading"})
    elif name == "quote":
        yield from _dialect(re.sub(r"(?m)^ *> ?", "", found[0]), styles | {"quote"})
    elif name == "link":
        yield from _dialect(found[1], styles | {f"link {found[2]}"})
    elif name in ("autolink", "url", "escape"):
        yield from shown(found[1], styles)
    elif name == "pre":
        yield from shown(found[2], frozenset({"pre"}) | styles & {"quote"})
    elif name == "code":
        yield from shown(found[2], styles | {"code"})
    elif name == "mention":
        yield from shown(found[0], styles | {"mention"})
    else:
        assert name == "text", name
        yield from shown(found[0], styles)


BULLET = re.compile(r"(?m)^((?:> )? *)- (?![☐☑])")
BOX = re.compile(r"(?m)^((?:> )? *)- (?=[☐☑])")


def with_bullets(part: Part) -> Part:
    """The grammar above has no lists: a marker at a line's start becomes the character shown."""
    pieces = re.split(r"(```[\s\S]*?```)", part.payload["content"])
    pieces[::2] = [BOX.sub(r"\1", BULLET.sub(r"\1• ", piece)) for piece in pieces[::2]]
    return Part(payload={**part.payload, "content": "".join(pieces)})


def test_a_list_that_is_numbered_anew_on_discord_is_text_from_there_on():
    """A client counts on from a list's first number, whatever the others are."""
    [part] = on_discord("1. a\n2. b\n99) c\n100) d\n\ntext\n\n7. e")
    assert "1. a\n2. b\n99\\. c\n100\\. d\n\ntext\n7. e" == part.payload["content"]


LOSE_STYLES = re.compile(r"[*_~|]")


def expected_on_discord(document: Document) -> list[Seen]:
    def rename(seen: Seen, place: int) -> Seen:
        block = document.block_at(place)
        names = {n.replace("strikethrough", "strike") for n in seen.styles}
        names = {n.replace("blockquote", "quote") for n in names}
        if block and block.kind is Kind.HEADING and place < block.end:
            native = block.level <= 3 and not block.depth
            names -= {"underline"} | ({"bold"} if native and not _bold(document, place) else set())
            names |= {"heading"} if native else set()
        if "pre" in names:
            names &= {"pre", "quote"}
        return Seen(seen.sign, frozenset(names))

    places = [at for at, sign in enumerate(document.text) for _ in shown(sign)]
    pairs = zip(places, expected_on_telegram(document), strict=True)
    return [rename(seen, place) for place, seen in pairs]


def _bold(document: Document, place: int) -> bool:
    return any(s.style is Style.BOLD and s.start <= place < s.end for s in document.spans)


def loosened(seen: Seen) -> Seen:
    """Addresses as Discord gets them are escaped; ours are compared without escapes."""
    names = (re.sub(r"^link .*", lambda link: unquote(link[0]), name) for name in seen.styles)
    return Seen(seen.sign, frozenset(names))


# -- what must hold


def agree(document: Document, expected: list[Seen], parts: list[list[Seen]]) -> None:
    """The parts put together are the document, but for table headers that are repeated."""
    headers = {document.text[b.start : b.body] for b in document.blocks if b.kind is Kind.TABLE}
    at, cuts = 0, []
    for part in parts:
        wanted = expected[at : at + len(part)]
        for header in [*headers, ""]:
            repeated = len(list(shown(header)))
            if part != wanted and [s.sign for s in part[:repeated]] == [
                s.sign for s in shown(header)
            ]:
                shorter = part[repeated:]
                if shorter == expected[at : at + len(shorter)]:
                    part, wanted = shorter, shorter  # noqa: PLW2901 - without its header
        assert wanted == part
        at += len(part)
        cuts.append(at)
    assert at == len(expected)
    no_cluster_is_split(document.text, cuts[:-1])


def no_cluster_is_split(text: str, cuts: list[int]) -> None:
    """Each cut, told by how many visible characters stand before it, is between two clusters."""
    places = [at for at, sign in enumerate(text) for _ in shown(sign)]
    edges = {found.end() for found in regex.finditer(r"\X", text)}
    for cut in cuts:
        assert edges & {*range(places[cut - 1] + 1, places[cut] + 1)}


def check_telegram(source: str, limit: int) -> None:
    document = parse(source)
    parts = on_telegram(source, limit)
    assert all(len(part.payload["text"]) <= limit for part in parts)
    assert all(len(part.payload.get("entities", [])) <= 100 for part in parts)
    agree(document, expected_on_telegram(document), [*map(read_telegram, parts)])


def check_slack(source: str, limit: int) -> None:
    document = parse(source)
    parts = on_slack(source, limit)
    for part in parts:
        assert len(part.payload["text"].encode()) <= limit
        assert len(json.dumps(part.payload["blocks"], ensure_ascii=False)) <= 12_000
    agree(document, expected_on_slack(document), [*map(read_slack, parts)])


def check_discord(source: str, limit: int) -> None:
    document = parse(source)
    parts = on_discord(source, limit)
    for part in parts:
        assert len(part.payload["content"].encode("utf-16-le")) // 2 <= limit
        assert part.payload["content"].count("```") % 2 == 0
    read = [[*map(loosened, read_discord(with_bullets(part)))] for part in parts]
    agree(document, [*map(loosened, expected_on_discord(document))], read)


CHECKS = {"telegram": check_telegram, "slack": check_slack, "discord": check_discord}
PLANS = {"telegram": on_telegram, "slack": on_slack, "discord": on_discord}


@pytest.mark.parametrize("channel", CHECKS)
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_real_texts_arrive_as_they_were_meant(path, channel):
    for limit in (2000, 900, 500):
        CHECKS[channel](path.read_text(), limit)


# -- generated Markdown

WORDS = [
    "word", "Sentence.", "snake_case_name", "2*3*4", "x < y", "a & b", "café", "слово", "汉字。",
    "שלום", "👨‍👩‍👧‍👦", "🇫🇷", "क्षि", "e\u0301", "@everyone", "<@U024BE7LH>", ":tada:", "C:\\new",
    "#tag", "1.", "-", "100%", "(paren)", "~", "|", "\\", "\\*", "&amp;", "https://a.bc/d_e?f=g",
    "end_", "_start", "!", "a" * 30,
]  # fmt: skip
words = st.sampled_from(WORDS)
plain = st.lists(words, min_size=1, max_size=6).map(" ".join)
code = st.sampled_from(
    ["x", "a_b", "f(x)", "a*b", "`` ` ``"[3:4] or "y", "**", "[k](v)", "two  sp"]
)
addresses = st.sampled_from(["http://x.yz/a_b", "https://e.org/?q=(1)*2", "https://ü.de/ß"])


def inline(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        inner.map("**{}**".format),
        inner.map("*{}*".format),
        inner.map("~~{}~~".format),
        inner.map("||{}||".format),
        code.map("`{}`".format),
        st.tuples(inner, addresses).map(lambda pair: f"[{pair[0]}]({pair[1]})"),
        st.lists(inner, min_size=2, max_size=4).map(" ".join),
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("\n".join),
    )


inlines = st.recursive(plain, inline, max_leaves=8)
items = st.lists(inlines.map(lambda text: text.replace("\n", " ")), min_size=1, max_size=4)
rows = st.lists(st.lists(plain, min_size=2, max_size=2), min_size=1, max_size=6)


def indented(text: str, prefix: str = "  ") -> str:
    return text.replace("\n", "\n" + prefix)


def table(cells: list[list[str]]) -> str:
    lines = ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in cells]
    return "\n".join([lines[0], "|---|--:|", *lines[1:]])


def block(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        inner.map(lambda text: "> " + indented(text, "> ")),
        inner.map(lambda text: "- " + indented(text)),
        inner.map(lambda text: "7. " + indented(text, "   ")),
        st.lists(inner, min_size=1, max_size=3).map("\n\n".join),
    )


leaves = st.one_of(
    inlines,
    st.tuples(st.integers(1, 6), inlines).map(lambda p: "#" * p[0] + " " + p[1].replace("\n", " ")),
    items.map(lambda texts: "\n".join(f"- {text}" for text in texts)),
    items.map(lambda texts: "\n".join(f"{n}. {text}" for n, text in enumerate(texts, 1))),
    items.map(lambda texts: "\n".join(f"- [x] {text}" for text in texts)),
    st.lists(plain, min_size=1, max_size=8).map(lambda ls: "```py\n" + "\n".join(ls) + "\n```"),
    rows.map(table),
    st.just("---"),
    st.just("<b>raw</b>"),
)
blocks = st.recursive(leaves, block, max_leaves=5)
documents = st.lists(blocks, min_size=1, max_size=5)


@pytest.mark.parametrize("channel", ["telegram", "slack"])
@given(sources=documents, limit=st.integers(160, 500))
@settings(max_examples=100, deadline=None)
def test_generated_markdown_arrives_as_it_was_meant(channel, sources, limit):
    CHECKS[channel]("\n\n".join(sources), limit)


@given(sources=documents, limit=st.integers(250, 500))
@settings(max_examples=200, deadline=None)
def test_generated_markdown_reads_the_same_by_discords_grammar(sources, limit):
    source = "\n\n".join(sources)
    document = parse(source)
    texts = [document.text[s.start : s.end] for s in document.spans if s.style is Style.LINK]
    # Such links are written out, and styles end around code that could close them.
    assume(not any("://" in text or "[" in text or "]" in text for text in texts))
    coded = [document.text[s.start : s.end] for s in document.spans if s.style is Style.CODE]
    assume(not any(LOSE_STYLES.search(text) for text in coded))
    check_discord(source, limit)


@pytest.mark.parametrize("channel", PLANS)
@given(sources=documents, more=documents, limit=st.integers(160, 400))
@settings(max_examples=60, deadline=None)
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
from gateway_plugin_discord import markup as discord
from gateway_plugin_slack import markup as slack
from gateway_plugin_slack.settings import Settings
from gateway_plugin_telegram import markup as telegram
from gateway_plugin_telegram.settings import TelegramSettings
text = open(sys.argv[1]).read()
send = Send(instance_id="i", external_room_id="1", text=text, format="markdown")
settings = TelegramSettings(token=Secret("1:" + "a" * 35), text_limit=400)
print(telegram.parts_of(settings, send, "as_asked"))
print(slack.chunk(Settings(token=Secret("xoxb-1"), part_bytes=400), send, "as_asked"))
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
@settings(max_examples=40, deadline=None)
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
@settings(max_examples=60, deadline=None)
def test_a_part_planned_again_from_its_span_looks_the_same(channel, sources, limit):
    """As after a refusal: from the stretch of the source alone, wherever it begins and ends."""
    source = "\n\n".join(sources)
    document = parse(source)
    tables = [b for b in document.blocks if b.kind is Kind.TABLE]
    # Places within a row have none of their own in the source.
    assume(all(len(document.text[b.start : b.end].split("\n")[0]) < 50 for b in tables))
    plan = partial(PLANS[channel], limit=limit)
    for part in plan(source):
        [again] = plan(Excerpt(source, *part.span))
        assert trimmed(part.payload) == trimmed(again.payload)


def trimmed(payload: object) -> object:
    """The last part has the white space behind it, a stretch of it has not."""
    return re.sub(r'(\\n| )+(?=")', "", json.dumps(payload))


# -- Telegram's own library


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
@settings(max_examples=300, deadline=None)
def test_telegrams_library_reads_the_same_of_generated_markdown(sources, limit, tdlib):
    check_tdlib(tdlib, "\n\n".join(sources), limit)


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
@settings(max_examples=1000, deadline=None)
def test_telegrams_library_takes_every_link_that_we_make(host, tdlib):
    """It refuses a message for one link that is none."""
    for part in on_telegram(f"[here](<http://{host}>)"):
        entities = [as_td(entity) for entity in part.payload.get("entities", [])]
        text = {"@type": "formattedText", "text": part.payload["text"], "entities": entities}
        assert tdlib("getMarkdownText", text=text)["text"]


@given(sources=documents)
@settings(max_examples=100, deadline=None)
def test_telegrams_library_takes_our_entities(sources, tdlib):
    """It refuses entities outside the text or within a character; ours it can write as Markdown."""
    for part in on_telegram("\n\n".join(sources), 300):
        entities = [as_td(entity) for entity in part.payload.get("entities", [])]
        text = {"@type": "formattedText", "text": part.payload["text"], "entities": entities}
        assert tdlib("getMarkdownText", text=text)["text"]
