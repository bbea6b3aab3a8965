"""What the characters of a stretch count, asked again and again for one that begins alike. Pure."""

from __future__ import annotations

from collections.abc import Callable


class Tally:
    """What `count` says of stretches of a text; of two texts together it says the sum.

    Invariant: `known` is that of `start..end`, which was asked about before. A search asks about
    stretches that begin there too and end nearby: the difference alone is counted.
    """

    def __init__(self, text: str, count: Callable[[str], int]) -> None:
        self.text, self.count = text, count
        self.start = self.end = self.known = 0

    def between(self, start: int, end: int) -> int:
        """What the characters of `start..end` count."""
        if start != self.start:
            self.start = self.end = start
            self.known = 0
        if end - start < self.end - end:
            return self.count(self.text[start:end])
        if end < self.end:
            self.known -= self.count(self.text[end : self.end])
        else:
            self.known += self.count(self.text[self.end : end])
        self.end = end
        return self.known
