"""Places in a text's UTF-8, in which its parser counts, as places in its code points."""

from __future__ import annotations

from itertools import accumulate

_STEP = 1024
_CONTINUING = bytes(range(0x80, 0xC0))


class Octets:
    """Counts the code points before an octet: by steps that are counted once, and the rest."""

    def __init__(self, text: str) -> None:
        self.octets = text.encode()
        self.same = len(self.octets) == len(text)
        places = () if self.same else range(0, len(self.octets), _STEP)
        self.sums = [0, *accumulate(self._count(place, place + _STEP) for place in places)]

    def _count(self, start: int, end: int) -> int:
        return len(self.octets[start:end].translate(None, _CONTINUING))

    def code_points(self, octet: int) -> int:
        """How many code points begin before `octet`."""
        if self.same:
            return octet
        step = octet // _STEP
        return self.sums[step] + self._count(step * _STEP, octet)
