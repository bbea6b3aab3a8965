r"""Escapes a plain text for Discord's Markdown dialect, and measures it. Sans-I/O.

The dialect is the one that Discord's clients parse (a descendant of simple-markdown). Whatever they
would take for markup gets a backslash, and nothing else does. Only in an address (`https://…`)
would readers see a backslash, so an address stays as it is; instead, a mark before the address is
escaped if a character inside the address could close it. An address that touches a character which
must be escaped is not left an address: its own colon gets the backslash.

Invariant: `length(escape(text))` never shrinks as `text` grows at its end; cutting relies on that
(it may shrink by one, where `https://_` or `https://\.` continues, but no cut falls there).
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

    With `mentions`, mentions of people and roles, `@everyone` and `@here` are not escaped.
    """
    live = _live_openers(text)
    verbatim = ("url", "mention") if mentions else ("url",)

    def replace(found: re.Match[str]) -> str:
        kind, whole = found.lastgroup, found[0]
        if kind == "rest":
            # The end of the message: nothing here can open a mark.
            return f"{found['last']}\\{found['rest']}"
        if kind in verbatim or (kind == "opener" and whole not in live):
            return whole
        return f"{whole}\\" if kind in ("line", "glued") else f"\\{whole}"

    return _MARKUP.sub(replace, text)


def _live_openers(text: str) -> frozenset[str]:
    """The openers that a character in an address may close, where no backslash can stop it."""
    if ":/" not in text:
        return frozenset()
    addresses = re.findall(_URL, text)
    closed = {"_": "_", "[": "]("}
    return frozenset(o for o, end in closed.items() if any(end in url for url in addresses)) | {"<"}


def length(content: str) -> int:
    """Characters of a message, in code points or UTF-16 units, whichever are more.

    Discord does not document which of them it counts. UTF-16 units are never fewer.
    """
    return len(content) + sum(character > "\uffff" for character in content)
