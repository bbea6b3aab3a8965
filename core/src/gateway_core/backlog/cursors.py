"""How far the spilled envelopes of an instance were loaded, and which rooms are behind. Sans-I/O.

Within a room everything enters memory strictly by its position. So a room of which something is
spilled is *behind*: what is accepted for it meanwhile is spilled as well.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import attrs

MOST_BEHIND = 10_000
"""Rooms of an instance that are remembered as behind; with more, the instance waits as a whole."""


@attrs.define(eq=False)
class Cursor:
    """How far something was loaded.

    loaded  the position up to which nothing has to be loaded any more
    passed  the position below the first envelope that was spilled since the last look back: a
            page that was requested before may reach beyond that envelope without showing it
    """

    loaded: int
    passed: float = attrs.field(default=math.inf, init=False)

    def note_passed(self, position: int) -> None:
        """The page that is being read may miss the envelope at `position`."""
        self.passed = min(self.passed, position - 1)

    def look_back(self) -> None:
        """Go back to the first envelope that was passed over."""
        if self.passed < self.loaded:
            self.loaded = int(self.passed)
        self.passed = math.inf


@attrs.define(eq=False)
class RoomCursor(Cursor):
    """A room that is behind; `newest` is the position of its last spilled envelope."""

    newest: int


@attrs.define(eq=False)
class InstanceCursor(Cursor):
    """How far an instance was loaded: rooms that are behind are loaded by cursors of their own.

    done    nothing is stored beyond the cursor, except what is accepted from now on
    grown   something was spilled beyond the cursor since the last page was requested
    behind  the rooms that are behind, by id
    """

    loaded: int = -1
    done: bool = False
    grown: bool = False
    behind: OrderedDict[str, RoomCursor] = attrs.field(factory=OrderedDict)

    @property
    def idle(self) -> bool:
        """Whether nothing is spilled."""
        return self.done and not self.behind

    @property
    def crowded(self) -> bool:
        """Whether no more rooms can be remembered as behind."""
        return len(self.behind) >= MOST_BEHIND

    def holds(self, room: str) -> bool:
        """Whether what is accepted for the room must be spilled."""
        return not self.done or room in self.behind

    def spill(self, room: str, position: int) -> None:
        """Note that the envelope at `position` is spilled."""
        behind = self.behind.get(room)
        if behind is not None:
            behind.note_passed(position)
            behind.newest = max(behind.newest, position)
        elif not self.crowded or (position <= self.loaded and not self.done):
            loaded = position - 1 if self.done else min(self.loaded, position - 1)
            self.behind[room] = RoomCursor(loaded, position)
        elif self.done:
            self.done, self.grown, self.loaded = False, True, position - 1
        else:
            self.grown = True
            self.note_passed(position)

    def pass_by(self, room: str, position: int) -> None:
        """Let the room be behind from `position` on, which finds no slot; go on with others."""
        self.behind[room] = RoomCursor(position - 1, position)

    def ended(self) -> None:
        """The page that was requested last is empty: nothing was stored beyond the cursor."""
        if not self.grown:
            self.done = True
            for room in [r for r, b in self.behind.items() if b.loaded >= b.newest]:
                del self.behind[room]
