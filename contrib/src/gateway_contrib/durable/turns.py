"""Whose turn is next in a group. Sans-I/O."""

from __future__ import annotations

import attrs

from gateway_contrib.durable.rows import Row, encode
from gateway_core.outboxes import OutboxError


@attrs.define(eq=False)
class Turns:
    """Whose turn is next in one group, within one transaction.

    next, returned, erased  as the table has them
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
        """The lowest number that has no entry."""
        return min(self.returned, default=self.next)

    def refusal(self, turn: int) -> OutboxError | None:
        """Why that number has no turn now; None: it has."""
        if self.cancelled:
            return OutboxError(f"group {self.id} was cancelled")
        if turn != self.following or turn >= self.size:
            return OutboxError(f"of group {self.id} the next turn is {self.following}, not {turn}")
        return None

    def erase(self, gone: set[int]) -> int:
        """These numbers have no turn any more; how many of them had none yet."""
        ahead = {turn for turn in gone if turn >= self.next}
        back = gone.intersection(self.returned)
        self.returned = [turn for turn in self.returned if turn not in back]
        self.erased += sorted(ahead)
        self.pass_erased()
        return len(ahead) + len(back)

    def take(self) -> None:
        """The next one has its turn."""
        self.taken += 1
        if self.returned:
            self.returned.remove(self.following)
        else:
            self.next += 1
            self.pass_erased()

    def pass_erased(self) -> None:
        """What was erased has no turn."""
        while self.next in self.erased:
            self.erased.remove(self.next)
            self.next += 1

    def left(self) -> int:
        """How many have no entry."""
        return self.size - self.next - len(self.erased) + len(self.returned)

    def row(self) -> Row:
        """What is written of it."""
        returned, erased = encode(self.returned), encode(self.erased)
        return (self.next, self.taken, returned, erased, int(self.cancelled), self.seq)
