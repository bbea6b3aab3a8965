"""Sends everything to one room, for a staging system that must not write to customers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import attrs

from gateway_contrib.policies.arguments import names
from gateway_contrib.policies.places import named_in
from gateway_core import Call, Delete, Edit, Envelope, MessageRef, Receipt, Send
from gateway_core.authors import Problem, hookimpl
from gateway_core.settings import all_of, flag, mapping_of, must_be

START, END = "[for ", "]\n\n"
"""Around the original room, above a text."""
REMEMBERED = 10_000
"""How many labelled messages are remembered, the newest ones."""

_a_room_each = all_of(
    mapping_of(str, bool, "ids of instances"),
    must_be("a table of ids of rooms, none of them empty", lambda rooms: all(rooms.values())),
)


def _keep(values: Iterable[str]) -> frozenset[str]:
    return names("keep", "ids of rooms", values)


def _calls(values: Iterable[str]) -> frozenset[str]:
    return names("calls", "methods", values)


@attrs.define(eq=False)
class Redirection:
    """Sends messages, edits and calls of each instance to one room, whatever room was asked for.

    rooms     the room of each instance, by its id; other instances are left alone
    keep      rooms that are not redirected
    labelled  name the original room above each text, except for streams, whose text grows. An edit
              by ref has the label if this process run sent the message, and if it is one of the
              newest 10,000
    calls     methods that may be called even if their path or arguments name a room or a person,
              for example `answerCallbackQuery`

    A call is refused with `Invalid` if its path or its arguments, at any depth, could name a room
    or a person, whichever room is named. A message that was sent earlier can be edited only in such
    a room; otherwise `edit` raises `Invalid`. Deletions, and calls without a room, are not changed.
    Typing indicators and acknowledgements of interactions are not redirected.
    """

    rooms: Mapping[str, str] = attrs.field(validator=_a_room_each)
    keep: frozenset[str] = attrs.field(default=frozenset(), kw_only=True, converter=_keep)
    labelled: bool = attrs.field(default=False, kw_only=True, validator=flag)
    calls: frozenset[str] = attrs.field(default=frozenset(), kw_only=True, converter=_calls)
    _labels: OrderedDict[str, str] = attrs.field(factory=OrderedDict, init=False)

    @hookimpl
    def rewrite(self, envelope: Envelope) -> Envelope | None:
        """The envelope, addressed to its instance's room."""
        room, asked = self.rooms.get(envelope.instance_id), envelope.external_room_id
        if asked == room and isinstance(envelope, Edit) and isinstance(envelope.target, MessageRef):
            label = self._labels.get(envelope.target.envelope_id)
            return None if label is None else _with(label, envelope)
        if room is None or asked in (room, *self.keep):
            return None
        if isinstance(envelope, Delete) or (isinstance(envelope, Call) and not asked):
            return None
        moved = attrs.evolve(envelope, external_room_id=room)
        if self.labelled and isinstance(moved, Send | Edit):
            return _with(_label(asked), moved) or moved
        return moved

    @hookimpl
    def validate(self, envelope: Envelope) -> Sequence[Problem] | None:
        """Refuse a call that could name a room or a person by itself."""
        redirected = envelope.instance_id in self.rooms
        if not redirected or not isinstance(envelope, Call) or envelope.method in self.calls:
            return None
        return tuple(named_in(envelope))

    @hookimpl
    def after_disposition(self, envelope: Envelope, receipt: Receipt) -> None:
        """Remember the label of a message, for edits that name only the room where it stands."""
        if not (self.labelled and isinstance(envelope, Send)):
            return
        head, end, _ = envelope.text.partition(END)
        if end and head.startswith(START) and envelope.external_room_id in self.rooms.values():
            self._labels[receipt.envelope_id] = head + end
            if len(self._labels) > REMEMBERED:
                self._labels.popitem(last=False)


def _label(room: str) -> str:
    return f"{START}{room}{END}"


def _with(label: str, envelope: Send | Edit) -> Send | Edit | None:
    """The envelope with the label above its text; None: it is there, or has no place there."""
    grows = isinstance(envelope, Send) and envelope.grows is not None
    keeps_text = isinstance(envelope, Edit) and envelope.only_buttons
    if grows or keeps_text or envelope.text.startswith(label):
        return None
    return attrs.evolve(envelope, text=label + envelope.text)
