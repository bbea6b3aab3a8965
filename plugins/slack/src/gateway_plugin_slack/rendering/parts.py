"""Plans a text's parts for Slack: exact, quiet unless asked otherwise, and short enough to edit.

Markdown and plain texts are rich text (see document.py), with the visible text in `text` for
notifications. Plain texts are rich text too, because chat.update has no `mrkdwn` to switch
formatting off, so that an edited `*text*` would turn bold. The caller's own blocks follow the text.

A text whose formatting was refused is sent as its source, without blocks except its buttons.
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
"""The share of the usual limit that is tried after Slack has called a part too long."""

LEAST_JSON = 3_000
"""Characters of JSON that the text's blocks may always have, whatever the caller's blocks take."""


def parts_of(settings: Settings, envelope: Send | Edit, mode: str) -> Sequence[Part]:
    """The parts of a text; if there are only blocks, attachments or files, one without a text."""
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
    """The part of a message without text; blocks without files bring a text for notifications."""
    part = _part(envelope, mode, plain, (0, 0))
    blocks = (envelope.extra or {}).get("blocks")
    if not blocks or envelope.files:
        return part
    return attrs.evolve(part, payload={**part.payload, "text": fallback_of(blocks)})


def is_fallback(envelope: Send | Edit) -> bool:
    """Whether Slack shows the text only in notifications: a native text with other blocks.

    Buttons do not count as such blocks. Such a text is never cut smaller.
    """
    return envelope.format == "native" and bool(others_of((envelope.extra or {}).get("blocks")))


def carries_content(extra: Mapping[str, object] | None) -> bool:
    """True if `extra` shows something even without a text."""
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
    """The document with its spoilers reported as degraded: Slack shows them openly."""
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
    """Put every part of a reply into the reply's thread: only the first part's attempt has `reply`.

    The digest is made of the content alone, so that an edit to the same text finds it unchanged.
    """
    if isinstance(envelope, Edit) or envelope.thread_id or envelope.reply_to is None:
        return part
    _, ts = locate(envelope.external_room_id, envelope.reply_to)
    payload = {**part.payload, "thread_ts": ts}
    return attrs.evolve(part, payload=payload, digest=part.digest)


def _degraded(envelope: Send | Edit, mode: str) -> tuple[str, ...]:
    """What is lost of the look that was asked for."""
    lost = ["formatting"] if mode == "plain" and envelope.format != "plain" else []
    extra = envelope.extra or {}
    if mode == "plain" and (others_of(extra.get("blocks")) or extra.get("attachments")):
        lost.append("blocks and attachments")
    return tuple(lost)
