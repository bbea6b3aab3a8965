"""Records what the streams of a world say and how they ended, as their writers know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from simulated.ledger import Entry

SHORT = 36
"""Characters that fit into one message on every platform."""
RECORD = 1.0
"""Seconds between two records of a text that grows, at the most."""


@attrs.define(eq=False)
class Spoken:
    """The texts of one stream, and its end.

    scope       its key, with its place; None: it has none
    broken_off  the mark at its end if it is broken off; `on_error`: what then becomes of it
    until       when its writer has said all, if nothing comes in between
    numbers     the numbers of all its words that may be seen: texts, status lines, mark
    states      its texts, each with the time from which it had the text
    how         "finished", "mark", "keep", "delete", or "cut" by a kill; None: it is open
    whole       the text that shall stand in the end
    statuses    the words of its status lines, which must not stand in the end
    ended_at    when it ended; `closed`: its gateway closed before that
    entry       its accepted envelope; `joins`: the open stream with the same key, so that nothing
                of this stream is accepted, unless that one leaves nothing
    gone        how often an edit found that its message was gone, in this life
    taken       the ids of its messages that somebody deleted
    short       whether its whole text fits into one message
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
        """Its present text."""
        return self.states[-1][1] if self.states else ""

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        return self.how is None

    def says(self, at: float, text: str) -> None:
        """Set its text from now on."""
        self.states.append((at, text))

    def ends(self, at: float, how: str, text: str | None = None) -> None:
        """End its growth; `text` replaces all earlier text."""
        if how == "mark":
            self.whole = self.text.rstrip() + self.broken_off
        else:
            self.whole = self.text if text is None else text
        self.how = how if self.whole.strip() else "delete"
        self.ended_at = at

    def said_by(self, at: float) -> int:
        """How many texts it had had by then."""
        return sum(when <= at for when, _ in self.states)
