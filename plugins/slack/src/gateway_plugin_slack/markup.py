"""A text for Slack: escaped, quiet unless asked otherwise, in parts that fit and can be edited.

Slack takes `&`, `<` and `>` as control characters; escaped they are shown as they are, and no
`<!channel>` or `<@U…>` notifies anybody (docs.slack.dev, formatting message text). A part's measure
is the UTF-8 bytes of its escaped text: chat.postMessage advises 4,000 characters and chat.update
fails near 4,000 bytes, and bytes are never fewer than characters, so whatever was sent can be
edited to the same text. Markdown is sent as rich text (see rich_text.py) with its visible text in
`text`; a Markdown text that was refused is sent as its source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from gateway_core import Edit, Part, Send
from gateway_core.text import Document, cut, parse, plan
from gateway_plugin_slack.rich_text import RichText
from gateway_plugin_slack.rooms import locate
from gateway_plugin_slack.settings import Settings

STRICTER = 0.5
"""The share of the usual measure that is tried when Slack calls a part too long."""

_PING = r"@[UW][A-Z0-9]+|!(?:channel|here|everyone|subteam\^S[A-Z0-9]+)"
_ESCAPED_PING = re.compile(rf"&lt;({_PING})(\|[^|&]{{0,80}})?&gt;")
_NATIVE_PING = re.compile(r"<(?P<call>[@!](?!date\^)[^<>\n]*+)(?P<end>>?)")


def escape(text: str) -> str:
    """The text with Slack's three control characters made harmless."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def measure(text: str) -> int:
    """UTF-8 bytes of the escaped text: what any of its written forms measures at most."""
    octets = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return octets + 4 * text.count("&") + 3 * text.count("<") + 3 * text.count(">")


def plain(text: str, *, mentions: bool) -> str:
    """A plain text as it is sent; with `mentions`, `<@U…>` and `<!here>` stay what they are."""
    escaped = escape(text)
    return _ESCAPED_PING.sub(r"<\1\2>", escaped) if mentions else escaped


def native(text: str, *, mentions: bool) -> str:
    """Slack's own markup as it is sent; without `mentions`, those in it are shown, not called."""
    return text if mentions else _NATIVE_PING.sub(_silenced, text)


def _silenced(found: re.Match[str]) -> str:
    return f"&lt;{found['call']}{escape(found['end'])}"


def chunk(settings: Settings, envelope: Send | Edit, mode: str) -> Sequence[Part]:
    """The parts of a text; where there is none but blocks or attachments, one part without.

    A text beside blocks is never cut smaller: Slack shows it in notifications only.
    """
    full = carries_content(envelope.extra)
    stricter = mode == "stricter" and not full
    limit = int(settings.part_bytes * (STRICTER if stricter else 1))
    if envelope.format == "markdown" and mode != "plain" and not carries_blocks(envelope.extra):
        return _styled(envelope, limit)
    spans = cut(envelope.text, limit=limit, measure=measure)
    if not spans and full:
        spans = [(0, 0)]
    write = native if envelope.format == "native" and mode != "plain" else plain
    return [_part(envelope, mode, write, span) for span in spans]


def carries_blocks(extra: Mapping[str, object] | None) -> bool:
    """True where `extra` has blocks of its own, which stand in place of the text's."""
    return bool((extra or {}).get("blocks"))


def carries_content(extra: Mapping[str, object] | None) -> bool:
    """True where `extra` shows something even without a text."""
    return any((extra or {}).get(field) for field in ("blocks", "attachments"))


def _styled(envelope: Send | Edit, limit: int) -> Sequence[Part]:
    """Markdown as rich text."""

    def fields(text: str) -> Mapping[str, object]:
        return _content(envelope, plain(text, mentions=envelope.mentions))

    def render(document: Document) -> RichText:
        return RichText(document, limit, measure, fields, envelope.mentions)

    parts = plan(parse(envelope.text), render, limit=limit)
    return [_threaded(part, envelope) for part in parts]


def _part(
    envelope: Send | Edit, mode: str, write: Callable[..., str], span: tuple[int, int]
) -> Part:
    text = write(envelope.text[slice(*span)], mentions=envelope.mentions)
    content = _content(envelope, text, mrkdwn=write is native)
    return _threaded(Part(payload=content, span=span, degraded=_degraded(envelope, mode)), envelope)


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
    return Part(payload=payload, span=part.span, digest=part.digest, degraded=part.degraded)


def _degraded(envelope: Send | Edit, mode: str) -> tuple[str, ...]:
    """What the reader misses of the asked-for look."""
    if mode != "plain":
        return ("markdown shown as plain text",) if envelope.format == "markdown" else ()
    lost = ["formatting"] if envelope.format != "plain" else []
    if carries_content(envelope.extra):
        lost.append("blocks and attachments")
    return tuple(lost)
