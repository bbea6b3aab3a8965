r"""A plain text on Discord: escaped for its Markdown dialect, and measured. Sans-I/O.

The dialect is the one that its clients parse (a descendant of simple-markdown): what they would
take for markup gets a backslash, and nothing else does. An address (`https://…`) is the one place
where a backslash would be seen: it is left as it is, and so what stands before one and could be
closed by a character inside it is escaped instead. An address that touches what must be escaped
is no address any more: its own colon gets the backslash.

Invariant: `length(escape(text))` never shrinks as `text` grows at its end, which cutting relies on
(by one at most, where `https://_` or `https://\.` grows on: no cut falls there).
"""

from __future__ import annotations

import re

_TAIL = r"""[.,:;"'\]]"""
_URL = rf"""https?://[^\s<]+[^\s<{_TAIL[1:]}"""
_MARKUP = re.compile(
    rf"""
      (?P<last>https?)(?P<rest>://[`*\[]{_TAIL}*\Z)
    | (?P<glued>https?(?=://(?:[^\s<]+<(?![ >]|\Z) | [`*_\[\\]{_TAIL}*(?:[\s<]|\Z))))
    | (?P<url>{_URL})
    | (?P<line>^[^\S\n]*+(?:[0-9]++(?=\.\s) | (?=-\#?\s | \#{{1,3}}\s | >\s | >>>)))
    | (?P<mention><@[!&]?[0-9]++> | @everyone | @here)
    | (?P<mark>
        [`]
      | (?<!\S[ ])\*  | \*(?![ ])       # a star between two spaces means itself
      | _(?![0-9A-Za-z])                # no underscore before a letter closes anything
      | \\(?![0-9A-Za-z \n\r\t]|\Z)     # a backslash that would be taken for an escape
      | ~(?=~) | \|(?=\|)
      | <(?=[@\#:/+] | [\w+.%-]+[:@])
      | (?<=\])\(
      | :(?=[\w+-]+:)
      )
    | (?P<opener> [_\[] | <(?![ >]|\Z))
    """,
    re.MULTILINE | re.VERBOSE,
)


def escape(text: str, *, mentions: bool = False) -> str:
    """`text` with a backslash before each character that Discord would take for markup.

    With `mentions`, those of people, roles, `@everyone` and `@here` stay what they are.
    """
    live = _live_openers(text)
    verbatim = ("url", "mention") if mentions else ("url",)

    def replace(found: re.Match[str]) -> str:
        kind, whole = found.lastgroup, found[0]
        if kind == "rest":
            # The end of the message: what stands here opens nothing any more.
            return f"{found['last']}\\{found['rest']}"
        if kind in verbatim or (kind == "opener" and whole not in live):
            return whole
        return f"{whole}\\" if kind in ("line", "glued") else f"\\{whole}"

    return _MARKUP.sub(replace, text)


def _live_openers(text: str) -> frozenset[str]:
    """The openers that something in an address may close, where no backslash can stop it."""
    if ":/" not in text:
        return frozenset()
    addresses = re.findall(_URL, text)
    closed = {"_": "_", "[": "]("}
    return frozenset(o for o, end in closed.items() if any(end in url for url in addresses)) | {"<"}


def length(content: str) -> int:
    """Characters of a message, in code points or UTF-16 units, whichever are more.

    Which one Discord counts is not documented. There are never fewer UTF-16 units.
    """
    return len(content) + sum(character > "\uffff" for character in content)
