"""Makes styled text from a plain text: every character stays, and addresses become links."""

from __future__ import annotations

import re
from itertools import accumulate

from gateway_core.text.document import Block, Document, Kind, Span, Style
from gateway_core.text.links import bare_addresses
from gateway_core.text.reading.canvas import is_clean

_NEUTRAL: dict[int, str | None] = {
    **dict.fromkeys([*range(0x20), 0x7F], " "),
    **dict.fromkeys([0x0D, *range(0x2028, 0x202F)]),
    0x09: "\t",
    0x0A: "\n",
}
_DROPPED = re.compile("[\r\u2028-\u202e]+")


def neutral(text: str) -> str:
    """The text without characters that would make it look different from how it is written.

    Control characters become spaces. Carriage returns, line and paragraph separators, and U+202A to
    U+202E, which change the direction of text, are dropped. Telegram's server does the same; the
    other platforms pass them on.
    """
    clean = is_clean(text.encode("utf-8", "surrogatepass"))
    return text if clean else text.translate(_NEUTRAL)


def literal(source: str) -> Document:
    """The document of a plain text. Its visible text is the `neutral` one."""
    text = neutral(source)
    blocks = (Block(0, 0, len(text), Kind.PARAGRAPH),) if text else ()
    spans = [Span(*place, Style.LINK, text[slice(*place)]) for place in bare_addresses(text)]
    origins = [found.end() for found in _DROPPED.finditer(source)]
    dropped = accumulate([len(found) for found in _DROPPED.findall(source)])
    trace = ([origin - more for origin, more in zip(origins, dropped, strict=True)], origins)
    return Document(source=source, text=text, spans=tuple(spans), blocks=blocks, trace=trace)
