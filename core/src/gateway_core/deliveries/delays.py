"""Knows the envelopes that policies delay, and the rooms that wait for them. Sans-I/O."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import attrs

from gateway_core.contract.envelopes import CHANGES, Envelope

Place: TypeAlias = tuple[str, str]
"""An instance and a room of it."""

LONGEST = 30 * 86_400.0
"""Seconds for which an envelope may be delayed, from when it was due."""
SOON = 0.001
"""Seconds until an envelope is looked at again if the one before it is due, but not in its lane."""


def delayed_until(until: float | None, since: float, wall: float) -> float | None:
    """POSIX time until which a policy delays an envelope due at `since`; None: it goes on now."""
    if until is None:
        return None
    until = min(until, since + LONGEST)
    return until if until > wall else None


def in_order(envelope: Envelope) -> bool:
    """Whether the envelope keeps its place in its room, so that later ones wait for it."""
    return envelope.order == "room" and not isinstance(envelope, CHANGES)


def place_of(envelope: Envelope) -> Place:
    """The envelope's instance and room."""
    return envelope.instance_id, envelope.external_room_id


class Held(NamedTuple):
    """A delayed envelope for which its room waits. POSIX times.

    until  it does not go on before this time, for itself or for others of its room
    own    policies delay the envelope itself until then; 0: they do not, or a previous run knew
    """

    until: float
    own: float


@attrs.define(eq=False)
class Delays:
    """The delayed envelopes of one partition whose rooms wait for them.

    held  by room: the envelopes by their ids, in order
    """

    held: dict[Place, dict[str, Held]] = attrs.field(factory=dict, init=False)

    def hold(self, place: Place, envelope_id: str, until: float, own: float | None = None) -> None:
        """Hold the envelope; later ones in its room wait for it. `own`: None leaves it as it is."""
        held = self.held.setdefault(place, {})
        if own is None:
            own = held[envelope_id].own if envelope_id in held else 0.0
        held[envelope_id] = Held(until, own)

    def release(self, place: Place, envelope_id: str) -> str | None:
        """Hold the envelope no longer: it has entered its lane, or ended.

        Returns the envelope that is the first of its room since; None: there is no other first.
        """
        held = self.held.get(place)
        if held is None or envelope_id not in held:
            return None
        was_first = self.first(place) == envelope_id
        del held[envelope_id]
        if not held:
            del self.held[place]
        return self.first(place) if was_first else None

    def until(self, place: Place, wall: float) -> float:
        """When a new envelope is due, after all that are held in its room; 0: at once.

        If an earlier one is held for longer than the last one, `before` says so at that time.
        """
        held = self.held.get(place)
        return 0.0 if held is None else max(next(reversed(held.values())).until, wall + SOON)

    def first(self, place: Place) -> str | None:
        """The first envelope of a room that is held; None: none is."""
        held = self.held.get(place)
        return None if held is None else next(iter(held))

    def before(self, place: Place, envelope_id: str) -> float | None:
        """Until when the first envelope of its room is held; None: none is, or it is the first.

        Held envelopes enter their lanes in order, so each of the others waits only for the first.
        """
        first = self.first(place)
        return None if first is None or first == envelope_id else self.held[place][first].until

    def own(self, place: Place, envelope_id: str, wall: float) -> float | None:
        """POSIX time until which policies delay the envelope itself; None: no longer."""
        held = self.held.get(place, {}).get(envelope_id)
        return held.own if held is not None and held.own > wall else None

    def is_released(self, place: Place, envelope_id: str, wall: float) -> bool:
        """Whether the envelope is the first of its room, and policies no longer delay it."""
        return self.first(place) == envelope_id and self.own(place, envelope_id, wall) is None
