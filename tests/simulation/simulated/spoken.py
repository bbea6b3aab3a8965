"""What the streams of a world were told to say, and how they ended: as the writers know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from simulated.ledger import Entry

SHORT = 36
"""Characters that fit into one message wherever that is."""
RECORD = 1.0
"""Seconds between two records of a text that grows, at the most."""


@attrs.define(eq=False)
class Spoken:
    """What one stream says.

    scope       its key, with its place; None: it has none
    broken_off  what stands at its end if it is broken off; `on_error`: what then becomes of it
    until       when its writer has said all, if nothing comes in between
    numbers     of all words that may be seen of it: its texts, its status lines, its mark
    states      its text, from which time on
    how         "finished", "mark", "keep", "delete", or "cut" by a kill; None: it is open
    whole       the text that shall stand in the end
    statuses    the words of its status lines, which never do
    ended_at    when that was; `closed`: its gateway closed before
    entry       what was accepted of it; `joins`: the open one whose key it has, so that nothing is
                accepted of it, unless that one leaves nothing
    gone        how often an edit of it found no message any more, in this life
    taken       messages that somebody took away, by their ids
    short       all of it fits into one message
    """

    scope: tuple[str, str, str] | None
    broken_off: str
    on_error: str
    ttl: float | None
    until: float
    numbers: set[int]
    states: list[tuple[float, str]] = attrs.field(factory=list)
    statuses: set[str] = attrs.field(factory=set)
    how: str | None = None
    whole: str = ""
    ended_at: float | None = None
    closed: bool = False
    entry: Entry | None = None
    joins: Spoken | None = None
    gone: int = 0
    taken: set[str] = attrs.field(factory=set)
    short: bool = True

    @property
    def text(self) -> str:
        """What it says now."""
        return self.states[-1][1] if self.states else ""

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        return self.how is None

    def says(self, at: float, text: str) -> None:
        """It says this from now on."""
        self.states.append((at, text))

    def ends(self, at: float, how: str, text: str | None = None) -> None:
        """It grows no more; `text` takes the place of all before."""
        if how == "mark":
            self.whole = self.text.rstrip() + self.broken_off
        else:
            self.whole = self.text if text is None else text
        self.how = how if self.whole.strip() else "delete"
        self.ended_at = at

    def said_by(self, at: float) -> int:
        """How many of its texts it had by then."""
        return sum(when <= at for when, _ in self.states)
