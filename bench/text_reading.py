"""Reads what a reader sees of a message, as words with styles: the same measure for all libraries.

Only letters and digits count, so that no library is judged by bullets, spacing or table lines. The
styles are bold, italic, strike, code (spans and blocks alike) and link. Words in headings and
tables may have any style, since platforms have neither, and libraries show them differently.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from html.parser import HTMLParser
from typing import Any

from gateway_core.text import Document, Kind, Style, parse

Seen = list[tuple[str, frozenset[str]]]
"""Characters, each with its styles."""

ANY = frozenset({"any"})
_WORD = re.compile(r"[\u0e00-\u0eff\u2e80-\uffef]|[^\W_\u0e00-\u0eff\u2e80-\uffef]+")
_UNSEEN = frozenset("\u200b\u200c\u200d\u2060\ufeff")
_NAMES = {Style.BOLD: "bold", Style.ITALIC: "italic", Style.STRIKE: "strike", Style.CODE: "code"}


def of_document(document: Document) -> Seen:
    """What a reader should see: the whole Markdown text, parsed."""
    styles: list[set[str]] = [set() for _ in document.text]
    for span in document.spans:
        bare = span.value == document.text[span.start : span.end]
        name = "link" if span.style is Style.LINK and not bare else _NAMES.get(span.style)
        for at in range(span.start, span.end if name else span.start):
            styles[at].add(name or "")
    for block in document.blocks:
        for at in range(block.start, block.end):
            if block.kind in (Kind.HEADING, Kind.TABLE):
                styles[at].add("any")
            elif block.kind is Kind.CODE:
                styles[at].add("code")
    return [(sign, frozenset(names)) for sign, names in zip(document.text, styles, strict=True)]


def of_entities(text: str, entities: Iterable[tuple[str, int, int]]) -> Seen:
    """What a reader sees of Telegram's text with entities, which count in UTF-16 units."""
    names = {"strikethrough": "strike", "pre": "code", "text_link": "link"}
    units: list[set[str]] = [set() for _ in range(len(text.encode("utf-16-le")) // 2 + 1)]
    for kind, offset, length in entities:
        for at in range(offset, min(offset + length, len(units))):
            units[at].add(names.get(kind, kind))
    found: Seen = []
    at = 0
    for sign in text:
        found.append((sign, frozenset(units[at])))
        at += 2 if sign > "\uffff" else 1
    return found


class _Html(HTMLParser):
    """Parses Telegram's HTML."""

    names = {  # noqa: RUF012 - never changed
        "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "s": "strike",
        "del": "strike", "code": "code", "pre": "code", "a": "link",
    }  # fmt: skip

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: Seen = []
        self.stack: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002 - the parser's
        self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.stack:
            self.stack.remove(tag)

    def handle_data(self, data: str) -> None:
        styles = frozenset(self.names[tag] for tag in self.stack if tag in self.names)
        self.seen += [(sign, styles) for sign in data]


def of_html(markup: str) -> Seen:
    """What a reader sees of a text in Telegram's HTML mode."""
    reader = _Html()
    reader.feed(markup)
    reader.close()
    return reader.seen


_MRKDWN = re.compile(
    r"```(?P<pre>[\s\S]*?)```|`(?P<code>[^`\n]+)`|<(?P<url>https?:[^|>\s]+)\|(?P<link>[^>\n]+)>"
    r"|<(?P<bare>[^|>\s]+)>|(?<![^\W_])(?P<mark>[*_~])(?=\S)(?P<styled>[^\n]*?\S)(?P=mark)(?![^\W_])"
)
_MARKS = {"*": "bold", "_": "italic", "~": "strike"}


def of_mrkdwn(text: str, styles: frozenset[str] = frozenset()) -> Seen:
    """What a reader sees of Slack's own markup, whose marks have an effect only at words' edges."""
    seen: Seen = []
    last = 0
    for found in _MRKDWN.finditer(text):
        seen += [(sign, styles) for sign in html.unescape(text[last : found.start()])]
        last = found.end()
        if found["styled"]:
            seen += of_mrkdwn(found["styled"], styles | {_MARKS[found["mark"]]})
        elif found["link"]:
            seen += of_mrkdwn(found["link"], styles | {"link"})
        else:
            name = frozenset({"code"} if found["pre"] or found["code"] else set())
            inner = found["pre"] or found["code"] or found["bare"] or ""
            seen += [(sign, styles | name) for sign in html.unescape(inner)]
    return seen + [(sign, styles) for sign in html.unescape(text[last:])]


def of_rich_text(blocks: Any) -> Seen:
    """What a reader sees of Slack's rich_text blocks."""
    return [pair for block in blocks for pair in _element(block, frozenset())]


def _element(element: Any, styles: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    if element["type"] in ("text", "link"):
        own = set(element.get("style", {}))
        if element["type"] == "link" and element["url"] != element["text"]:
            own.add("link")
        yield from ((sign, styles | own) for sign in element["text"])
        return
    around = styles | ({"code"} if element["type"] == "rich_text_preformatted" else set())
    for number, inner in enumerate(element["elements"], element.get("offset", 0) + 1):
        if element.get("style") == "ordered":
            yield from ((sign, around) for sign in f"{number}. ")
        yield from _element(inner, around)
    yield "\n", around


def of_chunks(chunks: Iterable[str]) -> Seen:
    """What a reader sees of Markdown that is cut into chunks, each parsed by itself."""
    return [pair for chunk in chunks for pair in [*of_document(parse(chunk)), ("\n", frozenset())]]


def compare(wanted: Seen, seen: Seen) -> tuple[int, int]:
    """How many characters are lost, and how many have another style than asked for."""
    ours, theirs = _words(wanted), _words(seen)
    matcher = SequenceMatcher(None, [w for w, _ in ours], [w for w, _ in theirs], autojunk=False)
    kept = wrong = 0
    for a, b, size in matcher.get_matching_blocks():
        for (word, styles), (_, got) in zip(ours[a : a + size], theirs[b : b + size], strict=True):
            kept += len(word)
            wrong += sum(
                one != two for one, two in zip(styles, got, strict=True) if "any" not in one
            )
    return sum(len(word) for word, _ in ours) - kept, wrong


def _words(seen: Seen) -> list[tuple[str, list[frozenset[str]]]]:
    """The visible words; in scripts without spaces, single characters."""
    visible = [pair for pair in seen if pair[0] not in _UNSEEN]
    text = "".join(sign for sign, _ in visible)
    kept = {"bold", "italic", "strike", "code", "link", "any"}
    styles = [names & kept for _, names in visible]
    return [(m.group(), styles[m.start() : m.end()]) for m in _WORD.finditer(text)]
