"""Estimates how wide characters are, well enough to wrap lines where a client would.

Widths are in thousandths of the font's size, for a common sans-serif font. A picture stretches
every run to the width given here, so that another font moves nothing.
"""

from __future__ import annotations

from gateway_core.text import display_width

_WIDTHS = {
    222: "ijl'", 278: " !,./:;I[]\\ft|", 333: '()-r`{}"', 389: "*", 469: "^", 500: "Jckvsxyz",
    556: "0123456789?#$_abdeghnopqu", 584: "+<=>~", 611: "FTZ", 667: "ABEKPSVXY&",
    722: "CDHNRUw", 778: "GOQ", 833: "Mm", 889: "%", 944: "W", 1015: "@",
    350: "•◦▪", 860: "☐☑",
}  # fmt: skip
_BY_SIGN = {sign: width for width, signs in _WIDTHS.items() for sign in signs}
_OTHER = 560
_WIDE = 1000
_BOLDER = 1.07
MONOSPACE = 602


def width(text: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """The width of a text, in the unit of its size."""
    if mono:
        return display_width(text) * MONOSPACE * size / 1000
    total = sum(map(_proportional, text))
    return total * (_BOLDER if bold else 1.0) * size / 1000


def _proportional(sign: str) -> int:
    if sign in _BY_SIGN:
        return _BY_SIGN[sign]
    columns = display_width(sign)
    return _WIDE if columns > 1 else _OTHER * columns
