"""What core itself asks of an envelope, whatever its channel. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from math import isfinite

from gateway_core.envelopes import Call, Delete, Edit, Envelope, KeyRef, MessageRef, Send
from gateway_core.errors import Problem

DEEPEST = 32
MOST = 100
"""Problems that are told of one envelope; a value that holds itself twice has billions."""
_UNSENDABLE = "has a lone surrogate or NUL"


def problems_of(envelope: object, *, max_text: int) -> list[Problem]:
    """Every mistake: wrong types, texts that cannot be sent, values that are not plain JSON."""
    if type(envelope) is Send and _plainly_fine(envelope, max_text):
        return []
    return list(islice(_problems(envelope, max_text), MOST))


def _plainly_fine(send: Send, max_text: int) -> bool:
    """The common case in a few comparisons: nothing that the full look could object to."""
    text, room, instance = send.text, send.external_room_id, send.instance_id
    names_only = send.ttl is None and send.not_before is None and not send.extra
    return (
        names_only
        and send.thread_id is None
        and send.reply_to is None
        and send.key is None
        and type(text) is str
        and type(room) is str
        and type(instance) is str
        and 0 < len(text) <= max_text
        and text.isascii()
        and "\x00" not in text
        and not text.isspace()
        and room.isalnum()
        and room.isascii()
        and instance.isalnum()
        and instance.isascii()
    )


def _problems(envelope: object, max_text: int) -> Iterator[Problem]:
    if not isinstance(envelope, Send | Edit | Delete | Call):
        yield Problem("envelope", f"must be a Send, Edit, Delete or Call, not {envelope!r}")
        return
    names = ("instance_id", "external_room_id", "key", "thread_id", "reply_to", "method")
    for name in names:
        value = getattr(envelope, name, None)
        if value is not None and name not in _optional_empty(envelope):
            yield from _name(name, value)
    yield from _times(envelope)
    if isinstance(envelope, Send | Edit):
        yield from _text(envelope.text, max_text)
        yield from _extra(envelope.extra)
    if isinstance(envelope, Edit | Delete):
        yield from _target(envelope)
    if isinstance(envelope, Call):
        yield from _json("arguments", envelope.arguments)


def _optional_empty(envelope: Envelope) -> tuple[str, ...]:
    """A call may have no room: some methods concern none."""
    return ("external_room_id",) if _roomless(envelope) else ()


def _roomless(envelope: Envelope) -> bool:
    return isinstance(envelope, Call) and envelope.external_room_id == ""


def _name(place: str, value: object) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem(place, f"must be a text, not {type(value).__name__}")
    elif not value:
        yield Problem(place, "is empty")
    elif not _sendable(value):
        yield Problem(place, _UNSENDABLE)
    elif any(ord(c) < 32 for c in value):  # noqa: PLR2004 - C0 controls
        yield Problem(place, "has a control character")


def _text(text: object, max_text: int) -> Iterator[Problem]:
    if not isinstance(text, str):
        yield Problem("text", f"must be a text, not {type(text).__name__}")
    elif not text.strip():
        yield Problem("text", "is empty")
    elif len(text) > max_text:
        yield Problem("text", f"has {len(text)} characters, at most {max_text}")
    elif not _sendable(text):
        yield Problem("text", _UNSENDABLE)


def _extra(extra: object) -> Iterator[Problem]:
    if extra is None or isinstance(extra, Mapping):
        yield from _json("extra", extra)
    else:
        yield Problem("extra", f"must be a table, not {type(extra).__name__}")


def _times(envelope: Envelope) -> Iterator[Problem]:
    for place, value in (("ttl", envelope.ttl), ("not_before", envelope.not_before)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value)
        ):
            yield Problem(place, f"must be a finite number of seconds, not {value!r}")


def _target(envelope: Edit | Delete) -> Iterator[Problem]:
    target: object = envelope.target
    if not isinstance(target, MessageRef | KeyRef):
        yield Problem("target", f"must be a MessageRef or a KeyRef, not {type(target).__name__}")
        return
    for name in ("instance_id", "external_room_id"):
        if getattr(target, name) != getattr(envelope, name):
            yield Problem(f"target.{name}", "differs from the envelope's")
    if isinstance(target, MessageRef) and not target.parts and not target.envelope_id:
        yield Problem("target", "names no message")


def _sendable(text: str) -> bool:
    """Whether UTF-8 and every platform can carry it."""
    if "\x00" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json(  # noqa: C901 - one branch for each kind of JSON value
    place: str, value: object, depth: int = 0
) -> Iterator[Problem]:
    """Whether the value is plain JSON, by the place of each mistake."""
    if depth > DEEPEST:
        yield Problem(place, f"is nested deeper than {DEEPEST}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not _sendable(key):
                yield Problem(place, f"key {key!a} is no text that can be sent")
            else:
                yield from _json(f"{place}.{key}", item, depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _json(f"{place}.{index}", item, depth + 1)
    elif isinstance(value, str):
        if not _sendable(value):
            yield Problem(place, _UNSENDABLE)
    elif isinstance(value, float) and not isfinite(value):
        yield Problem(place, "must be a finite number")
    elif value is not None and not isinstance(value, bool | int | float):
        yield Problem(place, f"is no plain JSON: {type(value).__name__}")
