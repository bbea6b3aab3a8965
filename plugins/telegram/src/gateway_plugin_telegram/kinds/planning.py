"""The part that such a message is, behind those of a text. Sans-I/O.

None of these has a caption, so a text beside one goes before it, in messages of its own. `extra`
stands on the last part: buttons are under the location, and not under the text.
"""

from __future__ import annotations

from gateway_core.authors import Edit, Part, Send
from gateway_plugin_telegram.kinds.polls import poll_of
from gateway_plugin_telegram.kinds.table import KINDS, Kind, kinds_in


def has_kind(envelope: Send | Edit) -> bool:
    """Whether one of its messages needs no text, since it is of such a kind."""
    return isinstance(envelope, Send) and (
        envelope.poll is not None or bool(kinds_in(envelope.extra))
    )


def kind_parts(envelope: Send | Edit) -> list[Part]:
    """The part of the poll, or of the kind that `extra` names; none where there is neither."""
    if not isinstance(envelope, Send):
        return []
    if envelope.poll is not None:
        return [_part(envelope, KINDS["poll"], poll_of(envelope.poll))]
    extra = envelope.extra or {}
    return [_part(envelope, kind, kind.given(extra[kind.name])) for kind in kinds_in(extra)]


def _part(envelope: Send, kind: Kind, fields: object) -> Part:
    """It stands where the text ends."""
    quiet = {"disable_notification": True} if envelope.silent else {}
    end = len(envelope.text)
    return Part(payload={kind.name: fields, **quiet}, span=(end, end), fixed=True)
