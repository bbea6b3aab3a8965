"""Plans the parts of an envelope's text: the content of messages, as it is sent. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import attrs

from gateway_core.authors import Edit, Part, Send
from gateway_core.text import Document, cut, is_prose, neutral, parse, plan
from gateway_plugin_discord.beside.polls import with_poll
from gateway_plugin_discord.methods import (
    SENDER_FIELDS,
    SUPPRESS_EMBEDS,
    SUPPRESS_NOTIFICATIONS,
)
from gateway_plugin_discord.rendering.document import Dialect
from gateway_plugin_discord.rendering.plain import escape, length


def parts_of(envelope: Send | Edit, *, limit: int, styled: bool = True) -> tuple[Part, ...]:
    """The plan: the text in parts of at most `limit` characters each, measured as sent.

    The last part has the poll.

    styled  write Markdown in Discord's dialect; False: show its source
    """
    parts = _texts(envelope, limit=limit, styled=styled)
    return (*parts[:-1], with_poll(envelope, parts[-1])) if parts else ()


def _texts(envelope: Send | Edit, *, limit: int, styled: bool) -> tuple[Part, ...]:
    if styled and envelope.format == "markdown" and (envelope.text or not _is_more(envelope)):
        return _styled(envelope, limit)
    text = envelope.text

    def write(piece: str) -> str:
        piece = neutral(piece)
        return (
            piece
            if envelope.format == "native"
            else escape(piece, mentions=bool(envelope.mentions))
        )

    spans = cut(text, limit=limit, measure=lambda piece: length(write(piece)))
    shown = [_shown(text, start, end) for start, end in spans]
    parts = tuple(_plain(envelope, write(text[a:b]), (a, b)) for a, b in shown if a < b)
    return parts if parts or not _is_more(envelope) else (_plain(envelope, "", (0, 0)),)


def _is_more(message: Send | Edit) -> bool:
    """Whether there would be a message even without a text."""
    poll = message.poll if isinstance(message, Send) else None
    return bool(message.extra or message.files or poll)


def _styled(envelope: Send | Edit, limit: int) -> tuple[Part, ...]:
    """Markdown in Discord's own dialect. Most messages are a line of words, which is unchanged."""
    text = envelope.text
    if len(text) <= limit and is_prose(text) and length(text) <= limit:
        return (_plain(envelope, text, (0, len(text))),)
    document = parse(text)
    fields = partial(_fields, envelope)
    calls = bool(envelope.mentions)  # the request says whom
    whole = Dialect(document, fields, envelope.link_previews, calls)
    lost = (*document.degraded, *whole.lost)
    known = attrs.evolve(document, degraded=lost) if whole.lost else document

    def render(shown: Document) -> Dialect:
        if shown is known:
            return whole
        return Dialect(shown, fields, envelope.link_previews, calls)

    return tuple(_part(envelope, part) for part in plan(known, render, limit=limit))


def _shown(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends, which Discord removes from a message.

    Empty if the span has nothing else.
    """
    piece = text[start:end]
    if not neutral(piece).strip():
        return start, start
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def _plain(envelope: Send | Edit, content: str, span: tuple[int, int]) -> Part:
    return _part(envelope, Part(payload=_fields(envelope, content), span=span))


def _fields(envelope: Send | Edit, content: str) -> Mapping[str, object]:
    look: dict[str, object] = {"content": content} if content else {}
    if envelope.mentions is not True:
        look["allowed_mentions"] = _allowed(envelope.mentions or ())
    return {**look, "flags": 0 if envelope.link_previews else SUPPRESS_EMBEDS}


def _allowed(named: Sequence[str]) -> Mapping[str, object]:
    """Whom the text may notify: users by their ids, roles by `&` and their ids.

    Source: discord.com/developers/docs/resources/message#allowed-mentions-object.
    """
    users = [name for name in named if not name.startswith("&")]
    roles = [name.removeprefix("&") for name in named if name.startswith("&")]
    lists = {"users": users, "roles": roles}
    return {"parse": [], **{name: ids for name, ids in lists.items() if ids}}


def _part(envelope: Send | Edit, part: Part) -> Part:
    """The part as it is sent; the digest leaves out what concerns only the sending.

    These are `silent`, and the sender that a webhook's message names. Core gives `extra` to the
    last part only, but every part names the sender.
    """
    if not isinstance(envelope, Send) or not (envelope.silent or envelope.extra):
        return part
    extra = envelope.extra or {}
    added = {name: extra[name] for name in SENDER_FIELDS & extra.keys()}
    if envelope.silent:
        added["flags"] = part.payload["flags"] | SUPPRESS_NOTIFICATIONS
    return attrs.evolve(part, payload={**part.payload, **added}, digest=part.digest)
