"""Decides what a policy may change in an envelope, and which fields a new room drops. Sans-I/O."""

from __future__ import annotations

from typing import Any

import attrs

from gateway_core.contract.envelopes import Call, Edit, Envelope, Grows, Send

REWRITTEN = (Send, Edit, Call)
"""Envelopes that policies may change. A tuple: `isinstance` with a union takes longer."""

WHERE = frozenset({"external_room_id", "thread_id", "reply_to", "interaction", "ephemeral"})
CONTENT = frozenset({"text", "extra", "format", "files", "buttons", "poll", "arguments"})

_OF_ROOM: tuple[tuple[str, object], ...] = (
    ("thread_id", None),
    ("reply_to", None),
    ("interaction", None),
    ("ephemeral", False),
)
"""Fields that are valid in one room only, each with its value in a new room."""

_OF_TEXT = ("broken_off", "stored_as", "elsewhere")
"""A stream's fields that stay valid in any room."""


def rewriting_fault(before: Envelope, after: object) -> str | None:
    """What a hook's answer should have been; None: the answer may replace `before`."""
    if type(after) is not type(before):
        return type(before).__name__
    for field in attrs.fields(type(before)):
        name = field.name
        if name in WHERE or name in CONTENT:
            continue
        old, new = getattr(before, name), getattr(after, name)
        if old is not new and old != new:
            return f"{type(before).__name__} of the same {name}"
    return None


def in_its_room(before: Envelope, after: Any) -> Envelope:
    """The envelope; if it is in another room, without the fields that belong to the original room.

    The thread, the answered message and the interaction are dropped, unless the hook set new ones.
    """
    same: Envelope = after
    if after.external_room_id == before.external_room_id:
        return _of_buttons_still(before, same)
    fields = attrs.fields_dict(type(after))
    changes: dict[str, Any] = {
        name: without
        for name, without in _OF_ROOM
        if name in fields and getattr(after, name) == getattr(before, name)
    }
    grows = getattr(after, "grows", None)
    if isinstance(grows, Grows):
        of_text = {name: getattr(grows, name) for name in _OF_TEXT}
        changes["grows"] = Grows(**of_text)
    return _of_buttons_still(before, attrs.evolve(same, **changes))


def _of_buttons_still(before: Envelope, after: Envelope) -> Envelope:
    """Keep an edit of buttons alone as it is: an added footer would replace the message's text."""
    if not isinstance(before, Edit) or not isinstance(after, Edit) or not before.only_buttons:
        return after
    return attrs.evolve(after, text="", extra=None, files=None)
