"""Converts places in a text's UTF-8, in which the parser counts, to places in code points."""

from __future__ import annotations

from typing import Final

_HIGH: Final = 0xC0
_WITHIN: Final = 0x80
"""`_HIGH` masks an octet's two high bits; all octets of a code point but the first have these."""


class Octets:
    """Counts the code points before an octet, starting from the octet of the last call.

    If the calls come in order, as in a plan, the work is in proportion to the text.
    """

    def __init__(self, text: str) -> None:
        self.octets = text.encode()
        self.same = len(self.octets) == len(text)
        self.last = (0, 0)

    def code_points(self, octet: int) -> int:
        """How many code points begin before `octet`; if it is inside a code point, before that."""
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
