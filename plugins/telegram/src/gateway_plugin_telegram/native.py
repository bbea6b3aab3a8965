"""Telegram's own markup, its HTML, read here: it is sent as text and entities, never with a mode.

The tags and rules are those of core.telegram.org/bots/api#html-style, as tdlib reads them
(MessageEntity.cpp, parse_html). What tdlib refuses is a problem, told before acceptance; a stretch
of a text, planned again, may begin or end inside a tag: what is not closed ends with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import attrs

from gateway_core.text import Block, Document, Kind, Span, Style, web_address
from gateway_plugin_telegram.entities import Entity, outermost_first

_TAG = re.compile(r"""<(/?)([^\s<>]*)((?:[^<>"']++|"[^"]*+"|'[^']*+')*+)>""")
_ATTRIBUTE = re.compile(
    r"""\s*+([^\s=]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([A-Za-z0-9.-]++)))?+(?=\s|\Z)"""
)
_TOKEN = re.compile(r"[<&]")
_REFERENCE = re.compile(r"&(?:#(x[0-9a-fA-F]{1,6}|[0-9]{1,7})|(lt|gt|amp|quot)(?![A-Za-z]));?")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_LAST = 0x10FFFF
_USER = re.compile(r"tg://user\?id=([0-9]{1,19})", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(?!\d)", re.IGNORECASE)
_OWN_SCHEME = re.compile(r"(?:tg|ton|tonsite)://[\w.-]+(?:[/?#]|\Z)", re.ASCII | re.IGNORECASE)

Attributes = Mapping[str, str]


class _Made(NamedTuple):
    """What a tag means: the entity's fields (none: only its text counts), and what is wrong."""

    fields: Mapping[str, Any] | None
    problem: str = ""


def _plain(kind: str) -> Callable[[Attributes], _Made]:
    return lambda _: _Made({"type": kind})


def _span(attributes: Attributes) -> _Made:
    if attributes.get("class") == "tg-spoiler":
        return _Made({"type": "spoiler"})
    return _Made(None, 'a span must have the class "tg-spoiler"')


def _quote(attributes: Attributes) -> _Made:
    return _Made({"type": "expandable_blockquote" if "expandable" in attributes else "blockquote"})


def _emoji(attributes: Attributes) -> _Made:
    number = attributes.get("emoji-id", "")
    if number.isascii() and number.isdigit():
        return _Made({"type": "custom_emoji", "custom_emoji_id": number})
    return _Made(None, "tg-emoji needs its emoji-id, a number")


def _code(attributes: Attributes) -> _Made:
    name = attributes.get("class", "")
    language = name.removeprefix("language-") if name.startswith("language-") else ""
    return _Made({"type": "code", **({"language": language} if language else {})})


def _link(attributes: Attributes) -> _Made:
    return _Made({"type": "text_link", "url": attributes.get("href", "")})


TAGS: Mapping[str, Callable[[Attributes], _Made]] = {
    **dict.fromkeys(("b", "strong"), _plain("bold")),
    **dict.fromkeys(("i", "em"), _plain("italic")),
    **dict.fromkeys(("u", "ins"), _plain("underline")),
    **dict.fromkeys(("s", "strike", "del"), _plain("strikethrough")),
    "tg-spoiler": _plain("spoiler"),
    "span": _span,
    "a": _link,
    "code": _code,
    "pre": _plain("pre"),
    "blockquote": _quote,
    "tg-emoji": _emoji,
}
"""Every tag that is read; tdlib refuses any other."""


@attrs.frozen
class Native:
    """What a text in Telegram's HTML says, and what is wrong with it."""

    document: Document
    entities: tuple[Entity, ...]
    problems: tuple[str, ...]


class _Open(NamedTuple):
    """A tag that is not closed yet: where its text begins, and the first piece of that."""

    name: str
    start: int
    piece: int
    fields: Mapping[str, Any] | None


def read(source: str, *, mentions: bool) -> Native:
    """The visible text of `source` and its entities; without `mentions`, no link to a person."""
    reader = _Reader(source, mentions=mentions)
    reader.read()
    text = "".join(reader.pieces)
    kept = [
        Span(entity.start, entity.end, Style.LINK)
        for entity in sorted(reader.entities, key=outermost_first)
        if entity.fields["type"] in ("text_link", "custom_emoji", "text_mention")
    ]
    document = Document(
        source=source,
        text=text,
        spans=tuple(kept),
        blocks=(Block(0, 0, len(text), Kind.PARAGRAPH),) if text else (),
        marks=((0, 0), *reader.marks),
    )
    # What closes last is the outermost.
    return Native(document, tuple(reader.entities[::-1]), tuple(reader.problems))


class _Reader:
    """One pass over the source."""

    def __init__(self, source: str, *, mentions: bool) -> None:
        self.source = source
        self.mentions = mentions
        self.pieces: list[str] = []
        self.length = 0
        self.marks: list[tuple[int, int]] = []
        self.open: list[_Open] = []
        self.entities: list[Entity] = []
        self.problems: list[str] = []

    def read(self) -> None:
        at = 0
        while found := _TOKEN.search(self.source, at):
            self._write(self.source[at : found.start()], at)
            at = self._token(found.start())
        self._write(self.source[at:], at)
        while self.open:
            self.problems.append(f"<{self.open[-1].name}> is not closed")
            self._made(self.open.pop())

    def _token(self, at: int) -> int:
        """Read the tag or the reference at this place; where it ends."""
        pattern = _TAG if self.source[at] == "<" else _REFERENCE
        found = pattern.match(self.source, at)
        if found is None:
            if pattern is _TAG:
                self.problems.append(f"the < at {at} begins no tag; write &lt; for the sign")
            self._write(self.source[at], at)
            return at + 1
        if pattern is _REFERENCE:
            self._write(_character(found), at)
        elif found[1]:
            self._end(found[2].lower() if not found[3].strip() else found[3], at)
        else:
            self._begin(found[2].lower(), found[3], at)
        return found.end()

    def _write(self, text: str, origin: int) -> None:
        if text:
            self.marks.append((self.length, origin))
            self.pieces.append(text)
            self.length += len(text)

    def _begin(self, name: str, rest: str, at: int) -> None:
        if name not in TAGS:
            self.problems.append(f"<{name}> at {at} is no tag of Telegram's")
            return
        attributes = _attributes(rest)
        if attributes is None:
            self.problems.append(f"the attributes of <{name}> at {at} cannot be read")
            attributes = {}
        made = TAGS[name](attributes)
        if made.problem:
            self.problems.append(f"at {at}: {made.problem}")
        self.open.append(_Open(name, self.length, len(self.pieces), made.fields))

    def _end(self, name: str, at: int) -> None:
        if not self.open or name not in ("", self.open[-1].name):
            self.problems.append(f"</{name}> at {at} closes nothing")
            return
        self._made(self.open.pop())

    def _made(self, tag: _Open) -> None:
        """A tag has ended: it is an entity where it holds anything."""
        if tag.fields is None or self.length == tag.start:
            return
        fields = dict(tag.fields)
        if fields["type"] == "text_link":
            linked = self._linked(fields["url"] or "".join(self.pieces[tag.piece :]))
            if linked is None:
                return
            fields = linked
        elif fields["type"] == "pre":
            fields |= self._language(tag.start)
        self.entities.append(Entity(tag.start, self.length, fields))

    def _language(self, start: int) -> Mapping[str, str]:
        """That of a code which fills the pre: the two are one entity. Elsewhere it has none."""
        last = self.entities[-1] if self.entities else None
        if last is None or "language" not in last.fields or last[:2] != (start, self.length):
            return {}
        return {"language": self.entities.pop().fields["language"]}

    def _linked(self, address: str) -> dict[str, Any] | None:
        """The entity of a link; None where Telegram makes none of it."""
        person = _USER.fullmatch(address)
        if person:
            user = {"id": int(person[1])}
            return {"type": "text_mention", "user": user} if self.mentions else None
        whole = address if _SCHEME.match(address) else f"http://{address}"
        url = whole if _OWN_SCHEME.match(whole) else web_address(whole)
        return {"type": "text_link", "url": url} if url else None


def _attributes(text: str) -> Attributes | None:
    """By name, the last of each; None where they cannot be read."""
    found: dict[str, str] = {}
    at, end = 0, len(text.rstrip())
    while at < end:
        one = _ATTRIBUTE.match(text, at)
        if one is None:
            return None
        value = next((value for value in one.groups()[1:] if value is not None), "")
        found[one[1].lower()] = _REFERENCE.sub(_character, value)
        at = one.end()
    return found


def _character(found: re.Match[str]) -> str:
    """What a reference stands for; itself where it is none."""
    number, name = found[1], found[2]
    if name:
        return _NAMED[name]
    code = int(number[1:], 16) if number[0] == "x" else int(number)
    valid = 0 < code < _LAST and not 0xD800 <= code <= 0xDFFF  # noqa: PLR2004 - surrogates
    return chr(code) if valid else found[0]
