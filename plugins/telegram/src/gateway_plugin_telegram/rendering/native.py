"""Reads Telegram's HTML, its own markup; it is sent as text and entities, not with `parse_mode`.

The tags and rules are those of core.telegram.org/bots/api#html-style, as tdlib reads them
(MessageEntity.cpp, parse_html). What tdlib refuses is a problem, reported before acceptance. A
stretch of a text that is planned again may begin or end inside a tag; a tag that is not closed ends
with the stretch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import attrs

from gateway_core.authors import Mentions
from gateway_core.text import Block, Document, Kind, Span, Style, web_address
from gateway_plugin_telegram.rendering.document import Entity, outermost_first
from gateway_plugin_telegram.rendering.tags import Tag, end_at, reference_at, tag_at

_WHOLE = frozenset(("text_link", "custom_emoji", "text_mention", "date_time"))
"""Entities that are never cut in two, if they fit into a part."""

_TOKEN = re.compile(r"[<&]")
_USER = re.compile(
    r"tg:(?://)?user/?\?(?:(?!id[=&])[^&#]*&)*+id=([1-9][0-9]{0,12})(?:[&#].*)?",
    re.ASCII | re.DOTALL | re.IGNORECASE,
)
_USERS = range(1, 2**40)
_NOT_NAMED = "link to a person shown as text"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(?!\d)", re.IGNORECASE)
_OWN_SCHEME = re.compile(r"(?:tg|ton|tonsite)://[\w.-]+(?:[/?#]|\Z)", re.ASCII | re.IGNORECASE)

_EMOJI = re.compile(r"-?[1-9][0-9]{0,18}", re.ASCII)
_SIGNED = range(-(2**63), 2**63)
_SECONDS = re.compile(r"[0-9]{1,20}", re.ASCII)  # what follows the digits is ignored
_TIMES = range(1, 2**31)
_FORMAT = re.compile(r"[rR]|[wWdDtT]*+")


class _Made(NamedTuple):
    """The fields of a tag's entity (None: only the tag's text is used), and what is wrong."""

    fields: Mapping[str, Any] | None
    problem: str = ""


def _plain(kind: str) -> Callable[[Tag], _Made]:
    return lambda _: _Made({"type": kind})


def _span(tag: Tag) -> _Made:
    if tag.value("class", "tg-") == "spoiler":
        return _Made({"type": "spoiler"})
    return _Made(None, 'a span must have the class "tg-spoiler"')


def _quote(tag: Tag) -> _Made:
    return _Made({"type": "expandable_blockquote" if tag.has("expandable") else "blockquote"})


def _emoji(tag: Tag) -> _Made:
    number = tag.value("emoji-id") or ""
    if _EMOJI.fullmatch(number) and int(number) in _SIGNED:
        return _Made({"type": "custom_emoji", "custom_emoji_id": number})
    return _Made(None, "tg-emoji needs its emoji-id, a number")


def _time(tag: Tag) -> _Made:
    """A moment, shown in each reader's local time; without a moment, only the text is used."""
    seconds, look = _SECONDS.match(tag.value("unix") or ""), tag.value("format") or ""
    if not _FORMAT.fullmatch(look):
        return _Made(None, "the format of tg-time is r, or some of w, d, D, t and T")
    if seconds is None or int(seconds[0]) not in _TIMES:
        return _Made(None)
    shown = {"date_time_format": look} if look else {}
    return _Made({"type": "date_time", "unix_time": int(seconds[0]), **shown})


def _code(tag: Tag) -> _Made:
    language = tag.value("class", "language-")
    return _Made({"type": "code", **({"language": language} if language else {})})


def _link(tag: Tag) -> _Made:
    return _Made({"type": "text_link", "url": tag.value("href") or ""})


TAGS: Mapping[str, Callable[[Tag], _Made]] = {
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
    "tg-time": _time,
}
"""Every tag that is read; tdlib refuses any other."""


@attrs.frozen
class Native:
    """What a text in Telegram's HTML says, and what is wrong with it."""

    document: Document
    entities: tuple[Entity, ...]
    problems: tuple[str, ...]


class _Open(NamedTuple):
    """A tag that is not closed yet.

    start    where its text begins; `piece` is the index of its text's first piece
    problem  what is wrong with the tag; reported only if the tag contains text
    """

    name: str
    start: int
    piece: int
    fields: Mapping[str, Any] | None
    problem: str


def read(source: str, *, mentions: Mentions) -> Native:
    """The visible text of `source` and its entities; without `mentions`, no link to a person."""
    reader = _Reader(source, mentions=mentions)
    reader.read()
    text = "".join(reader.pieces)
    whole = [
        Span(entity.start, entity.end, Style.LINK)
        for entity in sorted(reader.entities, key=outermost_first)
        if entity.fields["type"] in _WHOLE
    ]
    document = Document(
        source=source,
        text=text,
        spans=tuple(whole),
        blocks=(Block(0, 0, len(text), Kind.PARAGRAPH),) if text else (),
        degraded=tuple(reader.degraded),
        trace=(reader.places, reader.origins),
    )
    # The entity that closes last is the outermost.
    return Native(document, tuple(reader.entities[::-1]), tuple(reader.problems))


class _Reader:
    """One pass over the source."""

    def __init__(self, source: str, *, mentions: Mentions) -> None:
        self.source = source
        self.mentions = mentions
        self.pieces: list[str] = []
        self.length = 0
        self.places: list[int] = []
        self.origins: list[int] = []
        self.open: list[_Open] = []
        self.entities: list[Entity] = []
        self.degraded: list[tuple[int, str]] = []
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
        """Read the tag or the reference at this place; return where it ends."""
        if self.source[at] == "&":
            shown, end = reference_at(self.source, at)
            self._write(shown, at)
            return end
        ends = self.source.startswith("</", at)
        tag = end_at(self.source, at) if ends else tag_at(self.source, at, TAGS.__contains__)
        if tag.problem:
            self.problems.append(tag.problem)
            self._write(self.source[at : tag.end], at)
        elif ends:
            self._end(tag.name, at)
        else:
            self._begin(tag, at)
        return tag.end

    def _write(self, text: str, origin: int) -> None:
        if text:
            self.places.append(self.length)
            self.origins.append(origin)
            self.pieces.append(text)
            self.length += len(text)

    def _begin(self, tag: Tag, at: int) -> None:
        fields, problem = TAGS[tag.name](tag)
        reported = f"at {at}: {problem}" if problem else ""
        if reported and tag.name == "span":
            self.problems.append(reported)
            reported = ""
        self.open.append(_Open(tag.name, self.length, len(self.pieces), fields, reported))

    def _end(self, name: str, at: int) -> None:
        if not self.open or name not in ("", self.open[-1].name):
            self.problems.append(f"</{name}> at {at} closes nothing")
            return
        self._made(self.open.pop())

    def _made(self, tag: _Open) -> None:
        """Make the entity of a tag that has ended; a tag without text has no entity or problem."""
        if self.length == tag.start:
            return
        if tag.problem:
            self.problems.append(tag.problem)
        if tag.fields is None:
            return
        fields = dict(tag.fields)
        if fields["type"] == "text_link":
            address = fields["url"] or "".join(self.pieces[tag.piece :])
            linked = self._linked(address, tag.start)
            if linked is None:
                return
            fields = linked
        elif fields["type"] == "pre":
            fields |= self._language(tag.start)
        self.entities.append(Entity(tag.start, self.length, fields))

    def _language(self, start: int) -> Mapping[str, str]:
        """The language of a `code` that fills the `pre`, which become one entity; else empty."""
        last = self.entities[-1] if self.entities else None
        if last is None or "language" not in last.fields or last[:2] != (start, self.length):
            return {}
        return {"language": self.entities.pop().fields["language"]}

    def _linked(self, address: str, start: int) -> dict[str, Any] | None:
        """The fields of a link's entity; None: Telegram makes none, or `mentions` allows none."""
        person = _USER.fullmatch(address)
        if person and int(person[1]) in _USERS:
            user = {"id": int(person[1])}
            called = (
                self.mentions if isinstance(self.mentions, bool) else person[1] in self.mentions
            )
            if called:
                return {"type": "text_mention", "user": user}
            self.degraded.append((start, _NOT_NAMED))
            return None
        whole = address if _SCHEME.match(address) else f"http://{address}"
        url = whole if _OWN_SCHEME.match(whole) else web_address(whole)
        return {"type": "text_link", "url": url} if url else None
