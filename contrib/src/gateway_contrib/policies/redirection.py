"""Sends everything to one room, for a staging system that must not write to customers."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from gateway_core import Call, Delete, Envelope, Send
from gateway_core.authors import hookimpl
from gateway_core.settings import flag, mapping_of


@attrs.define(eq=False)
class Redirection:
    """Sends messages, edits and calls of each instance to one room, whatever room was asked for.

    rooms     the room of each instance, by its id; other instances are left alone
    keep      rooms that are not redirected
    labelled  name the original room above each text, except for streams, whose text grows

    A message that was sent earlier can be edited only in such a room; otherwise `edit` raises
    `Invalid`. Deletions, and calls that name no room, are not changed.
    """

    rooms: Mapping[str, str] = attrs.field(validator=mapping_of(str, bool, "ids of instances"))
    keep: frozenset[str] = attrs.field(default=frozenset(), kw_only=True, converter=frozenset)
    labelled: bool = attrs.field(default=False, kw_only=True, validator=flag)

    @hookimpl
    def rewrite(self, envelope: Envelope) -> Envelope | None:
        """The envelope, addressed to its instance's room."""
        room, asked = self.rooms.get(envelope.instance_id), envelope.external_room_id
        if room is None or asked in (room, *self.keep):
            return None
        if isinstance(envelope, Delete) or (isinstance(envelope, Call) and not asked):
            return None
        moved = attrs.evolve(envelope, external_room_id=room)
        if self.labelled and isinstance(moved, Send) and moved.grows is None:
            return attrs.evolve(moved, text=f"[for {asked}]\n\n{moved.text}")
        return moved
