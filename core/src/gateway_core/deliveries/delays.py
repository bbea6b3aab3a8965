"""Knows the envelopes that policies delay, and the rooms that wait for them. Sans-I/O."""

from __future__ import annotations

from typing import TypeAlias

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


@attrs.define(eq=False)
class Delays:
    """The delayed envelopes of one partition whose rooms wait for them.

    held  by room: the envelopes' ids in order, and the time until which each is held
    """

    held: dict[Place, dict[str, float]] = attrs.field(factory=dict, init=False)

    def hold(self, place: Place, envelope_id: str, until: float) -> None:
        """Hold the envelope; later ones in its room wait until then as well."""
        self.held.setdefault(place, {})[envelope_id] = until

    def release(self, place: Place, envelope_id: str) -> None:
        """Hold the envelope no longer: it has entered its lane, or ended."""
        held = self.held.get(place)
        if held is not None and held.pop(envelope_id, None) is not None and not held:
            del self.held[place]

    def until(self, place: Place, wall: float) -> float:
        """When a new envelope is due, after all that are held in its room; 0: at once.

        If an earlier one is held for longer than the last one, `first` says so at that time.
        """
        held = self.held.get(place)
        return 0.0 if held is None else max(next(reversed(held.values())), wall + SOON)

    def first(self, place: Place, envelope_id: str) -> float | None:
        """Until when the first envelope of its room is held; None: none is, or it is the first.

        Held envelopes enter their lanes in order, so each of the others waits only for the first.
        """
        held = self.held.get(place)
        if held is None:
            return None
        name = next(iter(held))
        return None if name == envelope_id else held[name]
