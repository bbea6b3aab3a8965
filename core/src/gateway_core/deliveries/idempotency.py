"""Knows which envelope an idempotency key stands for. Sans-I/O: the time is passed in."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from functools import cache
from typing import Any

import attrs

from gateway_core.contract.beside.buttons import Button
from gateway_core.contract.beside.polls import Poll
from gateway_core.contract.envelopes import Disposition, Envelope, KeyRef, MessageRef, Receipt, Send
from gateway_core.contract.files import File
from gateway_core.contract.ids import sequence_of
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.remembered import (
    Remembered,
    Scope,
    packed_place,
    packed_receipt,
    unpacked_place,
    unpacked_receipt,
)

FINGERPRINT_VERSION = 1
_ENCODER = json.JSONEncoder(sort_keys=True)
_NOT_CONTENT = frozenset(
    {
        "instance_id", "external_room_id", "key", "ttl", "deadline", "not_before", "priority",
        "order", "on_unknown", "on_conflict", "on_file_error", "interim", "interaction",
    }
)  # fmt: skip
_NOT_CONTENT_OF_STREAMS = _NOT_CONTENT | {"text", "grows"}
"""The text of a stream comes later: two streams with one key are the same, whatever the text."""
_UNDISPATCHED = frozenset(
    {Disposition.SHED, Disposition.EXPIRED, Disposition.EXHAUSTED, Disposition.CANCELLED}
)


def scope_of(envelope: Envelope, asked_room: str | None = None) -> Scope | None:
    """Where the envelope's key is unique; None without a key.

    asked_room  the room that its caller named, if a policy moved the envelope to another room
    """
    if envelope.key is None:
        return None
    room = envelope.external_room_id if asked_room is None else asked_room
    return (envelope.instance_id, room, envelope.operation, envelope.key)


def scope_of_key(key: KeyRef) -> Scope:
    """Where the key of a sent message is unique."""
    return (key.instance_id, key.external_room_id, "send", key.key)


def fingerprint(envelope: Envelope) -> str:
    """What makes two envelopes the same message: their content, without defaults. Versioned."""
    left_out = _NOT_CONTENT
    kind: Any = type(envelope)
    if isinstance(envelope, Send) and envelope.grows is not None:
        left_out = _NOT_CONTENT_OF_STREAMS
    content = {
        name: _plain(value)
        for name, default in _defaults(kind)
        if name not in left_out and (value := getattr(envelope, name)) != default
    }
    text = _ENCODER.encode([FINGERPRINT_VERSION, envelope.operation, content])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@cache
def _defaults(kind: type) -> tuple[tuple[str, object], ...]:
    """The names and defaults of an envelope's fields."""
    return tuple((field.name, _default(field)) for field in attrs.fields(kind))


def _default(field: Any) -> object:
    default = field.default
    return default.factory() if hasattr(default, "factory") else default


def _plain(value: object) -> object:
    if isinstance(value, MessageRef):
        return value.envelope_id or [part.message_id for part in value.parts]
    if isinstance(value, tuple) and value and isinstance(value[0], File):
        return [_file(file) for file in value]
    if isinstance(value, Button):
        return [value.text, value.value, value.url, value.style]
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):  # rows of buttons
        return [list(map(_plain, row)) for row in value]
    if isinstance(value, Poll):
        return attrs.asdict(value)
    return {"key": value.key} if isinstance(value, KeyRef) else value


def _file(file: File) -> object:
    """What makes a file the same: its bytes, or where they are, and how it is shown."""
    return [file.digest or file.url or file.id, file.name, file.alt, file.spoiler, file.as_document]


def frees_its_key(receipt: Receipt) -> bool:
    """Whether the envelope certainly delivered nothing, so that its key may be used again.

    This includes a stream that was broken off and deleted again.
    """
    if receipt.disposition not in _UNDISPATCHED or receipt.possible_duplicate:
        return False
    taken_back = receipt.disposition is Disposition.CANCELLED
    return not any(
        part.outcome in ("delivered", "unknown")
        or (part.outcome == "deleted" and not taken_back)
        or (part.verdict is not None and part.verdict.dispatched == "unknown")
        for part in receipt.parts
    )


@attrs.define(eq=False)
class Known:
    """What a key stands for: a delivery until it ends, then its receipt.

    receipt  None although the delivery ended: a durable outbox has the receipt
    given_sequence  the order of its envelope, as a durable outbox says; None: as ids sort
    """

    fingerprint: str
    envelope_id: str
    since: int
    delivery: Delivery | None = None
    receipt: Receipt | None = None
    given_sequence: int | None = None

    @property
    def room(self) -> str | None:
        """The room to which its envelope goes, perhaps moved by a policy; None: not known."""
        if self.delivery is not None:
            return self.delivery.envelope.external_room_id
        return None if self.receipt is None else self.receipt.external_room_id

    @property
    def sequence(self) -> int:
        """The order of its envelope among all envelopes accepted for its account."""
        if self.delivery is not None:
            return self.delivery.sequence
        return sequence_of(self.envelope_id, self.given_sequence)


class Keys:
    """The keys of one partition, bounded by number and age; those in flight are never dropped.

    newest  how many ended ones are stored as they are, while the others are packed; None: all
    stored  a durable outbox has the receipts: for packed ones, only the envelope's id is remembered
    """

    def __init__(
        self, *, most: int, window: int, newest: int | None = None, stored: bool = False
    ) -> None:
        self._window, self._stored = window, stored
        self._newest = most if newest is None else min(most, newest)
        self._known: OrderedDict[Scope, Known] = OrderedDict()
        left = most - self._newest
        self._older = Remembered(left, window) if left else None

    def __len__(self) -> int:
        return len(self._known) + len(self._older or ())

    def find(self, scope: Scope, now: int) -> Known | None:
        """What the key stands for; None if the key is new, free again, or too old.

        If a durable outbox has the receipts, ask the outbox as well: it knows older keys.
        """
        known = self._known.get(scope)
        if known is None:
            return None if self._stored else self._unpacked(scope, now)
        if known.delivery is None and now - known.since > self._window:
            del self._known[scope]
            return None
        return known

    def named(self, scope: Scope, now: int) -> Known | None:
        """The same as `find`, perhaps without the receipt: it says whose key this is."""
        known = self.find(scope, now)
        return known or (self._unpacked(scope, now) if self._stored else None)

    def begin(self, scope: Scope, delivery: Delivery, print_: str, now: int) -> None:
        """The key stands for `delivery` from now on."""
        self._known[scope] = Known(print_, delivery.id, now, delivery=delivery)
        self._trim(now)

    def remember(
        self, scope: Scope, print_: str, receipt: Receipt, since: int, sequence: int | None = None
    ) -> Known:
        """The key stood for an envelope of a previous process run, or for an older one."""
        known = Known(print_, receipt.envelope_id, since, receipt=receipt, given_sequence=sequence)
        self._known[scope] = known
        self._trim(since)
        return known

    def forget(self, scope: Scope) -> None:
        """The key is free: its envelope was never accepted."""
        self._known.pop(scope, None)

    def leave(self, scope: Scope, delivery: Delivery) -> None:
        """Leave the key to the outbox alone: another process goes on with its delivery."""
        known = self._known.get(scope)
        if known is not None and known.delivery is delivery:
            del self._known[scope]

    def forget_room(self, instance_id: str, room_id: str) -> None:
        """Forget the keys of a room's ended envelopes, if more than their ids is remembered.

        This includes envelopes that were asked for in another room, and went to this one.
        """
        for scope, known in list(self._known.items()):
            of_room = scope[0] == instance_id and room_id in (scope[1], known.room)
            if of_room and known.delivery is None:
                del self._known[scope]

    def end(self, scope: Scope, receipt: Receipt, now: int) -> None:
        """Its delivery ended: remember the receipt, or free the key."""
        known = self._known.get(scope)
        if known is None or known.envelope_id != receipt.envelope_id:
            return
        if frees_its_key(receipt):
            del self._known[scope]
        else:
            if known.delivery is not None:
                known.given_sequence = known.delivery.given_sequence
            known.delivery, known.receipt, known.since = None, receipt, now
            self._known.move_to_end(scope)

    def _trim(self, now: int) -> None:
        """Pack or drop the oldest ended ones, while there are too many or they are too old."""
        looked = 0
        while self._known and looked < 4:  # noqa: PLR2004 - a few at a time
            scope, known = next(iter(self._known.items()))
            old = now - known.since > self._window
            if known.delivery is not None:
                self._known.move_to_end(scope)
                looked += 1
            elif old or len(self._known) > self._newest:
                del self._known[scope]
                if not old:
                    self._pack(scope, known)
            else:
                return

    def _pack(self, scope: Scope, known: Known) -> None:
        if self._older is None or known.receipt is None:
            return
        if self._stored:
            packed = packed_place(known.envelope_id, known.given_sequence)
        else:
            packed = packed_receipt(known.fingerprint, known.receipt)
        self._older.put(scope, packed, known.since)

    def _unpacked(self, scope: Scope, now: int) -> Known | None:
        found = None if self._older is None else self._older.get(scope, now)
        if found is None:
            return None
        packed, since = found
        if self._stored:
            name, sequence = unpacked_place(packed)
            return Known("", name, since, given_sequence=sequence)
        print_, receipt = unpacked_receipt(packed)
        return Known(print_, receipt.envelope_id, since, receipt=receipt)
