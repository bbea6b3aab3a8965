"""Discord's content, read by its client's grammar as its open-source descendants have it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
from seen.on_telegram import expected_on_telegram
from seen.plans import Seen, shown

from gateway_core import Part
from gateway_core.text import Document, Kind, Style

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


LOSE_STYLES = re.compile(r"[*_~|]")


def reads_exactly(document: Document) -> bool:
    """Whether nothing is shown otherwise on purpose.

    A link whose words hold an address or brackets is written out, and styles end around code that
    could close them.
    """
    texts = [document.text[s.start : s.end] for s in document.spans if s.style is Style.LINK]
    coded = [document.text[s.start : s.end] for s in document.spans if s.style is Style.CODE]
    linked = any("://" in text or "[" in text or "]" in text for text in texts)
    return not linked and not any(map(LOSE_STYLES.search, coded))


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
