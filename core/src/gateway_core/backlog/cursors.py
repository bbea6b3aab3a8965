"""What an instance has outside memory: how far it was brought in, and which rooms are behind. Pure.

Within a room everything enters memory strictly by its position, so a room of which something is
outside is *behind*: what is accepted for it meanwhile stays outside as well, until its turn.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import attrs

MOST_BEHIND = 10_000
"""Rooms of an instance that are remembered as behind; with more, the instance waits as a whole."""


@attrs.define(eq=False)
class RoomCursor:
    """A room of which something is outside: loaded up to one position, there up to another.

    passed  below what was left since the last look back: a page that was asked for before may
            reach beyond it, where its append took longer than the way in of later ones
    """

    loaded: int
    newest: int
    passed: float = math.inf

    def leave(self, position: int) -> None:
        """Something more stays outside."""
        self.passed = min(self.passed, position - 1)
        self.newest = max(self.newest, position)

    def look_back(self) -> None:
        """What was passed over has its turn."""
        if self.passed < self.loaded:
            self.loaded = int(self.passed)
        self.passed = math.inf


@attrs.define(eq=False)
class InstanceCursor:
    """What an instance has outside.

    cursor  everything up to here is in memory or in a room that is behind
    done    nothing is beyond the cursor but what is accepted from now on
    grown   something was left beyond the cursor since the last page was asked for
    passed  below what was left so: that page may reach beyond it, and not hold it
    """

    cursor: int = -1
    done: bool = False
    grown: bool = False
    passed: float = math.inf
    behind: OrderedDict[str, RoomCursor] = attrs.field(factory=OrderedDict)

    @property
    def idle(self) -> bool:
        """Whether nothing is outside."""
        return self.done and not self.behind

    @property
    def crowded(self) -> bool:
        """Whether no more rooms can be remembered as behind."""
        return len(self.behind) >= MOST_BEHIND

    def holds(self, room: str) -> bool:
        """Whether what is accepted for the room must stay outside."""
        return not self.done or room in self.behind

    def leave(self, room: str, position: int) -> None:
        """Something at `position` stays outside."""
        behind = self.behind.get(room)
        if behind is not None:
            behind.leave(position)
        elif not self.crowded or (position <= self.cursor and not self.done):
            loaded = position - 1 if self.done else min(self.cursor, position - 1)
            self.behind[room] = RoomCursor(loaded, position)
        elif self.done:
            self.done, self.grown, self.cursor = False, True, position - 1
        else:
            self.grown = True
            self.passed = min(self.passed, position - 1)

    def look_back(self) -> None:
        """What the last page passed over has its turn."""
        if self.passed < self.cursor:
            self.cursor = int(self.passed)
        self.passed = math.inf

    def pass_by(self, room: str, position: int) -> None:
        """What stands at `position` has no place: its room goes on later, the others now."""
        self.behind[room] = RoomCursor(position - 1, position)

    def ended(self) -> None:
        """There was nothing beyond the cursor when the last page was asked for."""
        if not self.grown:
            self.done = True
            for room in [r for r, b in self.behind.items() if b.loaded >= b.newest]:
                del self.behind[room]
