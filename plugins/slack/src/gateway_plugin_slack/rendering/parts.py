"""A text for Slack: exact, quiet unless asked otherwise, in parts that fit and can be edited.

Markdown and plain texts are rich text (see document.py), with the visible text in `text` for
notifications. A plain text too: chat.update has no `mrkdwn` to switch formatting off, so that an
edited `*text*` would turn bold. Blocks of the caller's own stand behind it.

What was refused is sent as its source, without blocks but its buttons.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import attrs

from gateway_core.authors import Edit, Part, Send
from gateway_core.text import Document, Style, cut, literal, neutral, parse, plan
from gateway_plugin_slack.files.images import size_of_images
from gateway_plugin_slack.ids import locate
from gateway_plugin_slack.rendering.buttons import others_of
from gateway_plugin_slack.rendering.document import MOST_JSON, RichText
from gateway_plugin_slack.rendering.fallback import fallback_of
from gateway_plugin_slack.rendering.mentions import native
from gateway_plugin_slack.rendering.plain import measure, plain
from gateway_plugin_slack.settings import Settings

_SPOILER = Style.SPOILER

STRICTER = 0.5
"""The share of the usual measure that is tried when Slack calls a part too long."""

LEAST_JSON = 3_000
"""What of the space for blocks is left to the text, whatever the caller's own blocks take."""


def parts_of(settings: Settings, envelope: Send | Edit, mode: str) -> Sequence[Part]:
    """The parts of a text; where there is none but blocks or attachments, one part without."""
    fallback = is_fallback(envelope)
    limit = int(settings.part_bytes * (STRICTER if mode == "stricter" and not fallback else 1))
    if envelope.format == "native" or mode == "plain":
        spans = cut(envelope.text, limit=limit, measure=measure)
        write = native if mode != "plain" else plain
        seen = [span for span in spans if neutral(envelope.text[slice(*span)]).strip()]
        parts: Sequence[Part] = [_part(envelope, mode, write, span) for span in seen]
    else:
        parts = _styled(envelope, limit)
    if not parts and (carries_content(envelope.extra) or envelope.files):
        parts = [_wordless(envelope, mode)]
    return [_threaded(part, envelope) for part in parts[:-1]] + [
        attrs.evolve(_threaded(part, envelope), repeated=True) for part in parts[-1:]
    ]


def _wordless(envelope: Send | Edit, mode: str) -> Part:
    """What is blocks, attachments or files alone; blocks bring a text for notifications."""
    part = _part(envelope, mode, plain, (0, 0))
    blocks = (envelope.extra or {}).get("blocks")
    if not blocks or envelope.files:
        return part
    return attrs.evolve(part, payload={**part.payload, "text": fallback_of(blocks)})


def is_fallback(envelope: Send | Edit) -> bool:
    """Whether the text is shown in notifications only: Slack's own way beside blocks but buttons.

    Such a text is never cut smaller.
    """
    return envelope.format == "native" and bool(others_of((envelope.extra or {}).get("blocks")))


def carries_content(extra: Mapping[str, object] | None) -> bool:
    """True where `extra` shows something even without a text."""
    return any((extra or {}).get(field) for field in ("blocks", "attachments"))


def _styled(envelope: Send | Edit, limit: int) -> Sequence[Part]:
    """Markdown, or a plain text, as rich text."""
    blocks = (envelope.extra or {}).get("blocks")
    space = MOST_JSON - (len(json.dumps(blocks, ensure_ascii=False)) if blocks else 0)
    space -= size_of_images(envelope.files)
    document = _unhidden((parse if envelope.format == "markdown" else literal)(envelope.text))

    def fields(text: str) -> Mapping[str, object]:
        return _content(envelope, plain(text, mentions=envelope.mentions))

    def render(document: Document) -> RichText:
        return RichText(document, limit, measure, fields, envelope.mentions, max(space, LEAST_JSON))

    return plan(document, render, limit=limit)


def _unhidden(document: Document) -> Document:
    """Slack hides nothing: a spoiler is reported as shown."""
    places = [span[0] for span in document.spans if span[2] is _SPOILER]
    if not places:
        return document
    shown = [(place, "spoiler shown openly") for place in places]
    return attrs.evolve(document, degraded=(*document.degraded, *shown))


def _part(
    envelope: Send | Edit, mode: str, write: Callable[..., str], span: tuple[int, int]
) -> Part:
    text = write(neutral(envelope.text[slice(*span)]), mentions=envelope.mentions)
    content = _content(envelope, text, mrkdwn=write is native)
    return Part(payload=content, span=span, degraded=_degraded(envelope, mode))


def _content(envelope: Send | Edit, text: str, *, mrkdwn: bool = False) -> Mapping[str, object]:
    return {
        "text": text,
        "mrkdwn": mrkdwn,
        "parse": "none",
        "link_names": False,
        "unfurl_links": envelope.link_previews,
        "unfurl_media": envelope.link_previews,
    }


def _threaded(part: Part, envelope: Send | Edit) -> Part:
    """All parts of a reply stand in its thread, though only the first attempt carries the reply.

    The digest is that of the content alone: an edit of the same text finds it unchanged.
    """
    if isinstance(envelope, Edit) or envelope.thread_id or envelope.reply_to is None:
        return part
    _, ts = locate(envelope.external_room_id, envelope.reply_to)
    payload = {**part.payload, "thread_ts": ts}
    return attrs.evolve(part, payload=payload, digest=part.digest)


def _degraded(envelope: Send | Edit, mode: str) -> tuple[str, ...]:
    """What the reader misses of the asked-for look."""
    lost = ["formatting"] if mode == "plain" and envelope.format != "plain" else []
    extra = envelope.extra or {}
    if mode == "plain" and (others_of(extra.get("blocks")) or extra.get("attachments")):
        lost.append("blocks and attachments")
    return tuple(lost)
