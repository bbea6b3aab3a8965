"""Envelopes that policies delay, and the rooms that they hold meanwhile. Sans-I/O."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from gateway_core.contract.envelopes import CHANGES, Envelope

Place: TypeAlias = tuple[str, str]
"""An instance and a room of it."""

LONGEST = 30 * 86_400.0
"""Seconds for which an envelope may be delayed, from when it was due."""
SOON = 0.001
"""Seconds until what comes after a delayed one is looked at that has not entered its lane yet."""


def delayed_until(until: float | None, since: float, wall: float) -> float | None:
    """POSIX time until which a policy delays what was due at `since`; None: it goes on now."""
    if until is None:
        return None
    until = min(until, since + LONGEST)
    return until if until > wall else None


def in_order(envelope: Envelope) -> bool:
    """Whether it keeps its place in its room, so that later ones wait for it."""
    return envelope.order == "room" and not isinstance(envelope, CHANGES)


@attrs.define(eq=False)
class Delays:
    """The delayed envelopes of one partition whose rooms wait for them.

    held  by room, their ids in their order, and until when each is held
    """

    held: dict[Place, dict[str, float]] = attrs.field(factory=dict, init=False)

    def hold(self, place: Place, envelope_id: str, until: float) -> None:
        """What comes later in the room waits until then as well."""
        self.held.setdefault(place, {})[envelope_id] = until

    def release(self, place: Place, envelope_id: str) -> None:
        """It has entered its lane, or ended."""
        held = self.held.get(place)
        if held is not None and held.pop(envelope_id, None) is not None and not held:
            del self.held[place]

    def until(self, place: Place, wall: float) -> float:
        """When one that comes now is due, after all that are held in its room; 0: at once.

        Where those before the last are held for longer, `first` tells it when it is due.
        """
        held = self.held.get(place)
        return 0.0 if held is None else max(next(reversed(held.values())), wall + SOON)

    def first(self, place: Place, envelope_id: str) -> float | None:
        """Until when the first one of its room is held; None: it is that itself, or there is none.

        They enter in their order, so that whoever comes after the first one waits for it alone.
        """
        held = self.held.get(place)
        if held is None:
            return None
        name = next(iter(held))
        return None if name == envelope_id else held[name]
