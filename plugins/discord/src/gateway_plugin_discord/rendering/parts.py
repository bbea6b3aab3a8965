r"""Text as Discord shows it: escaping for its Markdown dialect, measuring, cutting. Pure.

The dialect is the one that its clients parse (a descendant of simple-markdown): what they would
take for markup gets a backslash, and nothing else does. An address (`https://…`) is the one place
where a backslash would be seen: it is left as it is, and so what stands before one and could be
closed by a character inside it is escaped instead. An address that touches what must be escaped
is no address any more: its own colon gets the backslash.

Invariant: `length(escape(text))` never shrinks as `text` grows at its end, which cutting relies on
(by one at most, where `https://_` or `https://\.` grows on: no cut falls there).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

import attrs

from gateway_core import Edit, Part, Send
from gateway_core.text import Document, cut, is_prose, neutral, parse, plan
from gateway_plugin_discord.rendering.document import Dialect

SUPPRESS_EMBEDS = 1 << 2
SUPPRESS_NOTIFICATIONS = 1 << 12
"""Message flags (discord.com/developers/docs/resources/message#message-object-message-flags)."""

_TAIL = r"""[.,:;"'\]]"""
_URL = rf"""https?://[^\s<]+[^\s<{_TAIL[1:]}"""
_MARKUP = re.compile(
    rf"""
      (?P<last>https?)(?P<rest>://[`*\[]{_TAIL}*\Z)
    | (?P<glued>https?(?=://(?:[^\s<]+<(?![ >]|\Z) | [`*_\[\\]{_TAIL}*(?:[\s<]|\Z))))
    | (?P<url>{_URL})
    | (?P<line>^[^\S\n]*+(?:[0-9]++(?=\.\s) | (?=-\#?\s | \#{{1,3}}\s | >\s | >>>)))
    | (?P<mention><@[!&]?[0-9]++> | @everyone | @here)
    | (?P<mark>
        [`]
      | (?<!\S[ ])\*  | \*(?![ ])       # a star between two spaces means itself
      | _(?![0-9A-Za-z])                # no underscore before a letter closes anything
      | \\(?![0-9A-Za-z \n\r\t]|\Z)     # a backslash that would be taken for an escape
      | ~(?=~) | \|(?=\|)
      | <(?=[@\#:/+] | [\w+.%-]+[:@])
      | (?<=\])\(
      | :(?=[\w+-]+:)
      )
    | (?P<opener> [_\[] | <(?![ >]|\Z))
    """,
    re.MULTILINE | re.VERBOSE,
)


def escape(text: str, *, mentions: bool = False) -> str:
    """`text` with a backslash before each character that Discord would take for markup.

    With `mentions`, those of people, roles, `@everyone` and `@here` stay what they are.
    """
    live = _live_openers(text)
    verbatim = ("url", "mention") if mentions else ("url",)

    def replace(found: re.Match[str]) -> str:
        kind, whole = found.lastgroup, found[0]
        if kind == "rest":
            # The end of the message: what stands here opens nothing any more.
            return f"{found['last']}\\{found['rest']}"
        if kind in verbatim or (kind == "opener" and whole not in live):
            return whole
        return f"{whole}\\" if kind in ("line", "glued") else f"\\{whole}"

    return _MARKUP.sub(replace, text)


def _live_openers(text: str) -> frozenset[str]:
    """The openers that something in an address may close, where no backslash can stop it."""
    if ":/" not in text:
        return frozenset()
    addresses = re.findall(_URL, text)
    closed = {"_": "_", "[": "]("}
    return frozenset(o for o, end in closed.items() if any(end in url for url in addresses)) | {"<"}


def length(content: str) -> int:
    """Characters of a message, in code points or UTF-16 units, whichever are more.

    Which one Discord counts is not documented. There are never fewer UTF-16 units.
    """
    return len(content) + sum(character > "\uffff" for character in content)


def parts_of(envelope: Send | Edit, *, limit: int, styled: bool = True) -> tuple[Part, ...]:
    """The plan: the text in parts of at most `limit` characters each, measured as sent.

    styled  write Markdown in Discord's dialect; False: show its source
    """
    if styled and envelope.format == "markdown":
        return _styled(envelope, limit)
    text = envelope.text

    def write(piece: str) -> str:
        piece = neutral(piece)
        return piece if envelope.format == "native" else escape(piece, mentions=envelope.mentions)

    spans = cut(text, limit=limit, measure=lambda piece: length(write(piece)))
    shown = [_shown(text, start, end) for start, end in spans]
    parts = tuple(_plain(envelope, write(text[a:b]), (a, b)) for a, b in shown if a < b)
    return parts if parts or not envelope.extra else (_plain(envelope, "", (0, 0)),)


def _styled(envelope: Send | Edit, limit: int) -> tuple[Part, ...]:
    """Markdown in Discord's own dialect. Most messages are a line of words, and stay what it is."""
    text = envelope.text
    if len(text) <= limit and is_prose(text) and length(text) <= limit:
        return (_plain(envelope, text, (0, len(text))),)
    document = parse(text)
    fields = partial(_fields, envelope)
    whole = Dialect(document, fields, envelope.link_previews, envelope.mentions)
    lost = (*document.degraded, *whole.lost)
    told = attrs.evolve(document, degraded=lost) if whole.lost else document

    def render(shown: Document) -> Dialect:
        if shown is told:
            return whole
        return Dialect(shown, fields, envelope.link_previews, envelope.mentions)

    return tuple(_part(envelope, part) for part in plan(told, render, limit=limit))


def _shown(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends, which Discord takes off a message.

    Empty where nothing else is in it.
    """
    piece = text[start:end]
    if not neutral(piece).strip():
        return start, start
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def _plain(envelope: Send | Edit, content: str, span: tuple[int, int]) -> Part:
    return _part(envelope, Part(payload=_fields(envelope, content), span=span))


def _fields(envelope: Send | Edit, content: str) -> Mapping[str, object]:
    look: dict[str, object] = {"content": content} if content else {}
    if not envelope.mentions:
        look["allowed_mentions"] = {"parse": []}
    return {**look, "flags": 0 if envelope.link_previews else SUPPRESS_EMBEDS}


def _part(envelope: Send | Edit, part: Part) -> Part:
    """The part as it is sent. Silence belongs to the sending: it is no part of the digest."""
    if not isinstance(envelope, Send) or not envelope.silent:
        return part
    flags = part.payload["flags"] | SUPPRESS_NOTIFICATIONS
    return attrs.evolve(part, payload={**part.payload, "flags": flags}, digest=part.digest)
