"""Plans an envelope's parts: Telegram's content fields with `text`, never with `parse_mode`.

Formatting is sent as `entities`. A plain text has none, and a text whose formatting was refused is
sent as its source. The native markup is Telegram's HTML, which this adapter reads itself. Telegram
cannot switch off notifications: an @name in a text notifies its owner whatever the request says. So
`mentions` decides only about native links to people, and a plain text is sent byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway_core.authors import Edit, Part, Send
from gateway_core.text import Document, cut, parse, plan
from gateway_plugin_telegram.kinds.planning import kind_parts
from gateway_plugin_telegram.media.planning import parts_with_files
from gateway_plugin_telegram.rendering.document import Entities
from gateway_plugin_telegram.rendering.native import read
from gateway_plugin_telegram.rendering.plain import is_blank, utf16_units
from gateway_plugin_telegram.settings import TelegramSettings


def parts_of(settings: TelegramSettings, envelope: Send | Edit, mode: str) -> list[Part]:
    """The plan: files, then texts of at most `text_limit`, then a poll, a sticker or the like.

    Blank stretches of text are left out.

    Telegram's limit counts code points; after a refusal (any mode but `as_asked`) UTF-16 units
    are counted, which are never fewer. Telegram's other limit, 32,768 bytes of text, cannot be
    reached: 4,096 code points have at most 16,384 bytes.
    """
    behind = kind_parts(envelope)
    if envelope.files:
        files = parts_with_files(settings, envelope, lambda limit: _texts(envelope, mode, limit))
        return [*files, *behind]
    return [*_texts(envelope, mode, settings.text_limit), *behind]


def _texts(envelope: Send | Edit, mode: str, limit: int) -> list[Part]:
    """The parts of the text alone."""
    measure: Callable[[str], int] = len if mode == "as_asked" else utf16_units
    fields = _switches(envelope)
    if envelope.format != "plain" and mode != "plain":
        return _styled(envelope, limit, measure, fields)
    lost = ("formatting",) if envelope.format != "plain" else ()
    return [
        Part(payload={"text": envelope.text[start:end], **fields}, span=(start, end), degraded=lost)
        for start, end in cut(envelope.text, limit=limit, measure=measure)
        if not is_blank(envelope.text[start:end])
    ]


def _styled(
    envelope: Send | Edit, limit: int, measure: Callable[[str], int], fields: Mapping[str, object]
) -> list[Part]:
    """Markdown, or Telegram's own HTML, as text and entities."""
    if envelope.format == "markdown":
        document, made = parse(envelope.text), None
    else:
        native = read(envelope.text, mentions=envelope.mentions)
        document, made = native.document, native.entities

    def render(shown: Document) -> Entities:
        return Entities(shown, limit, measure, fields, made if shown is document else None)

    parts = plan(document, render, limit=limit)
    return [part for part in parts if not is_blank(part.payload["text"])]


def _switches(envelope: Send | Edit) -> Mapping[str, object]:
    fields: dict[str, object] = {}
    if not envelope.link_previews:
        fields["link_preview_options"] = {"is_disabled": True}
    if isinstance(envelope, Send) and envelope.silent:
        fields["disable_notification"] = True
    if isinstance(envelope, Edit) and envelope.files == ():
        fields["media"] = []  # not sent: the text shall not become a caption
    return fields
