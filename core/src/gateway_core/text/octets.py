"""Places in a text's UTF-8, in which its parser counts, as places in its code points."""

from __future__ import annotations

from typing import Final

_HIGH: Final = 0xC0
_WITHIN: Final = 0x80
"""An octet's two high bits, and how they are in all of a code point's octets but its first."""


class Octets:
    """Counts the code points before an octet, from the last one that was asked for.

    Places that are asked for in order, as a plan does, take work in proportion to the text.
    """

    def __init__(self, text: str) -> None:
        self.octets = text.encode()
        self.same = len(self.octets) == len(text)
        self.last = (0, 0)

    def code_points(self, octet: int) -> int:
        """How many code points begin before `octet`; inside of one, before that one."""
        if self.same:
            return octet
        while octet < len(self.octets) and self.octets[octet] & _HIGH == _WITHIN:
            octet -= 1
        last, count = self.last
        if octet >= last:
            count += len(self.octets[last:octet].decode())
        else:
            count -= len(self.octets[octet:last].decode())
        self.last = (octet, count)
        return count
