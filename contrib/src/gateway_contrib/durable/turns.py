"""Decides which member's turn is next in a group. Sans-I/O."""

from __future__ import annotations

import attrs

from gateway_contrib.durable.rows import Row, encode
from gateway_core.outboxes import OutboxError


@attrs.define(eq=False)
class Turns:
    """The turns of one group, within one transaction.

    next, returned, erased  as in the table of groups
    """

    seq: int
    id: str
    size: int
    next: int
    taken: int
    returned: list[int]
    erased: list[int]
    cancelled: bool

    @property
    def following(self) -> int:
        """The lowest number of a member that has no entry."""
        return min(self.returned, default=self.next)

    def refusal(self, turn: int) -> OutboxError | None:
        """Why it is not that number's turn now; None: it is."""
        if self.cancelled:
            return OutboxError(f"group {self.id} was cancelled")
        if turn != self.following or turn >= self.size:
            return OutboxError(f"of group {self.id} the next turn is {self.following}, not {turn}")
        return None

    def erase(self, gone: set[int]) -> int:
        """Let these numbers have no turn any more; returns how many still waited for theirs."""
        ahead = {turn for turn in gone if turn >= self.next}
        back = gone.intersection(self.returned)
        self.returned = [turn for turn in self.returned if turn not in back]
        self.erased += sorted(ahead)
        self.pass_erased()
        return len(ahead) + len(back)

    def take(self) -> None:
        """Give the next member its turn."""
        self.taken += 1
        if self.returned:
            self.returned.remove(self.following)
        else:
            self.next += 1
            self.pass_erased()

    def pass_erased(self) -> None:
        """Skip numbers that were erased, which have no turn."""
        while self.next in self.erased:
            self.erased.remove(self.next)
            self.next += 1

    def left(self) -> int:
        """How many members have no entry yet."""
        return self.size - self.next - len(self.erased) + len(self.returned)

    def row(self) -> Row:
        """The values that are written to the table."""
        returned, erased = encode(self.returned), encode(self.erased)
        return (self.next, self.taken, returned, erased, int(self.cancelled), self.seq)
