"""Holds what users see besides messages, and until when: typing, drafts, ephemeral answers."""

from __future__ import annotations

import math
from collections.abc import Hashable

import attrs
import trio


@attrs.define(kw_only=True, eq=False)
class Sight:
    """Something that a room's readers see for a while. Times are on the emulator's clock.

    what    `typing`, `draft`, `status`, `ephemeral`, `thinking`, `failed`, `form`
    until   when it disappears; infinity: it stays
    user    the only one who sees it; None: everybody in the room
    """

    what: str
    room: str
    text: str = ""
    thread: str | None = None
    user: str | None = None
    since: float = attrs.field(factory=trio.current_time)
    until: float = math.inf


class Screen:
    """Every sight of an emulator, in the order of appearing."""

    def __init__(self) -> None:
        self._log: list[Sight] = []
        self._open: dict[Hashable, Sight] = {}

    def show(self, key: Hashable, sight: Sight) -> None:
        """Show the sight from its `since` on, in place of the one under the same key."""
        self.hide(key)
        self._log.append(sight)
        self._open[key] = sight

    def hide(self, *keys: Hashable) -> None:
        """Take away the sights under the keys; a sight that has not appeared yet never appears."""
        now = trio.current_time()
        for key in keys:
            sight = self._open.pop(key, None)
            if sight is not None and sight.since > now:
                sight.until = sight.since
                self._log.remove(sight)
            elif sight is not None:
                sight.until = min(sight.until, now)

    def at(self, key: Hashable) -> Sight | None:
        """The sight under the key, if it is seen now."""
        sight = self._open.get(key)
        return sight if sight is not None and _seen(sight, trio.current_time()) else None

    def now(self, room: str | None = None) -> list[Sight]:
        """The sights that are seen at this moment, in one room or in all."""
        moment = trio.current_time()
        return [sight for sight in self.log(room) if _seen(sight, moment)]

    def log(self, room: str | None = None) -> list[Sight]:
        """All sights that have appeared so far, oldest first."""
        moment = trio.current_time()
        there = [sight for sight in self._log if sight.since <= moment]
        there.sort(key=lambda sight: sight.since)
        return [sight for sight in there if room in (None, sight.room)]


def _seen(sight: Sight, moment: float) -> bool:
    return sight.since <= moment < sight.until
