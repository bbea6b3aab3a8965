"""Whose turn is next in a group. Sans-I/O."""

from __future__ import annotations

import attrs

from gateway_contrib.durable.rows import Row, encode


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
