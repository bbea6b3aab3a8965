"""Plans the part of a poll, or of a kind that `extra` names, after the text's parts. Sans-I/O.

The envelope's text is never the caption of such a part: it is sent before, in messages of its own.
`extra` belongs to the last part, so buttons are under the location, not under the text.
"""

from __future__ import annotations

from gateway_core.authors import Edit, Part, Send
from gateway_plugin_telegram.kinds.polls import poll_of
from gateway_plugin_telegram.kinds.table import KINDS, Kind, kinds_in


def has_kind(envelope: Send | Edit) -> bool:
    """Whether the envelope has a poll, or names a kind, so that it needs no text."""
    return isinstance(envelope, Send) and (
        envelope.poll is not None or bool(kinds_in(envelope.extra))
    )


def kind_parts(envelope: Send | Edit) -> list[Part]:
    """The part of the poll, or of the kind that `extra` names; empty if there is neither."""
    if not isinstance(envelope, Send):
        return []
    if envelope.poll is not None:
        return [_part(envelope, KINDS["poll"], poll_of(envelope.poll))]
    extra = envelope.extra or {}
    return [_part(envelope, kind, kind.given(extra[kind.name])) for kind in kinds_in(extra)]


def _part(envelope: Send, kind: Kind, fields: object) -> Part:
    """The part; its place is the end of the text."""
    quiet = {"disable_notification": True} if envelope.silent else {}
    end = len(envelope.text)
    return Part(payload={kind.name: fields, **quiet}, span=(end, end), fixed=True)
