r"""Writes styles as Discord's marks, and escapes text that is not to be markup. Sans-I/O.

The client's parser (a descendant of simple-markdown) tries its rules at each place of the source
in turn. A backslash before a character stops every rule that would begin there, but not a rule that
began earlier: code, an address or a link's text must not contain what closes an earlier mark. So
marks are never open around code or addresses that contain such characters, link texts contain no
brackets, and every character that could open a mark is escaped, whether or not something closes the
mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache, partial
from typing import Final, TypeAlias

from gateway_core.text import Style

Mark: TypeAlias = tuple[str, str]
"""The characters that open a style, and those that close it."""

MARKS: Final = {
    Style.BOLD: "**",
    Style.ITALIC: "*",
    Style.STRIKE: "~~",
    Style.UNDERLINE: "__",
    Style.SPOILER: "||",
}
MARKED: Final[dict[Style, Mark]] = {style: (mark, mark) for style, mark in MARKS.items()}
STRUCK: Final = frozenset((MARKED[Style.STRIKE], MARKED[Style.SPOILER]))
"""Marks that end at the next two of their signs, even after a backslash."""

CLOSERS: Final = frozenset("*_~|")
"""Characters that could close a mark which is open around them."""

APART: Final = "\u200b"
"""An invisible character, written between two marks of the same character, and between backticks
that would end code."""

_LANGUAGE: Final = re.compile(r"[a-z0-9_+\-.#]+", re.IGNORECASE)
_UNSAFE: Final = re.compile(r"[*~|\[\]()'<>\\]|_(?![0-9A-Za-z])")
_BACKTICKS: Final = re.compile("`+")
_TWO: Final = re.compile("(?<!`)``(?!`)")
_PAIRS: Final = re.compile("``(?=`)")

APIECE: Final = "\0"
"""Separates stretches that are escaped together; no visible text contains it."""

_LINE: Final = r"""
    [^\S\n]*+ (?=[-+\#>0-9])   # most lines begin with nothing of that
    (?: [0-9]++(?=\.[^\S\n]) | (?=(?:[-+] | -\# | \#{1,3} | > | >>>)[^\S\n]))
"""
_LINES: Final = rf"\n {_LINE} | \0 {_LINE}"
# Each alternative begins with a literal character, so the search skips all others at C's speed.
_MARK: Final = r"""
    \\ | \* | _ | ` | \[
  | ~(?:(?=~)|(?<=~~))
  | \|(?:(?=\|)|(?<=\|\|))
  | <(?![ ])                          # only a space keeps it from opening an address
  | @(?=everyone|here)
  | \((?<=\]\()
  | :(?:(?=[\w+-]+:)|(?<=http:)(?=//)|(?<=https:)(?=//))
"""
_MENTION: Final = r"(?P<mention><@[!&]?[0-9]+>|@everyone|@here)"
_CLOSER: Final = r"(?P<closer>[~|])"


@cache
def escaping(*, mentions: bool = False, struck: bool = False) -> Callable[[str], str]:
    """A function that writes a backslash before each character that Discord takes for markup.

    After a line feed, and after `APIECE`, the function works as at the beginning of a text: lines
    and stretches may be given together, and each has the same result as alone.

    mentions  do not escape `<@1>`, `@everyone` and `@here`
    struck    for text inside a strike or a spoiler: these end at the next two of their signs, even
              after a backslash, so no two signs may touch
    """
    rules = [*([_MENTION] if mentions else []), *([_CLOSER] if struck else []), _LINES, _MARK]
    replace = _escaped if mentions or struck else _backslashed
    escape = partial(re.compile("|".join(rules), re.VERBOSE).sub, replace)

    def write(text: str) -> str:
        return escape(f"\n{text}")[1:]

    return write


def _backslashed(found: re.Match[str]) -> str:
    whole = found[0]
    return f"\\{whole}" if whole > " " else f"{whole}\\"  # after the sign that begins a line


def _escaped(found: re.Match[str]) -> str:
    if found.lastgroup == "mention":
        return found[0]
    return _backslashed(found) + (APART if found.lastgroup == "closer" else "")


def code(text: str) -> str:
    """Inline code: between one backtick or two, whichever the code itself does not contain.

    Three backticks would begin a code block: if the code contains both one and two, the two are
    separated. Code that is cut between two backticks may need one unit more than with both; nothing
    else does.
    """
    if "`" not in text:
        return f"`{text}`"
    runs = {len(run) for run in _BACKTICKS.findall(text)}
    fence = "``" if 1 in runs else "`"
    if {1, 2} <= runs:
        text = _TWO.sub(f"`{APART}`", text)
    first = " " if text[0] == "`" else ""
    last = " " if text[-1] == "`" else ""
    return f"{fence}{first}{text}{last}{fence}"


def fenced(text: str) -> str:
    """The content of a code block; three backticks in it are separated, as they would end it."""
    return _PAIRS.sub(f"``{APART}", text) if "```" in text else text


@lru_cache(64)
def fence(language: str) -> str:
    """The opening of a code block, with its language if Discord's grammar accepts such a word."""
    return f"```{language if _LANGUAGE.fullmatch(language) else ''}\n"


def target(address: str, *, preview: bool) -> str:
    """A link's address; between angle brackets Discord shows no preview of it."""
    safe = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", address)
    return safe if preview else f"<{safe}>"


def units(text: str) -> int:
    """UTF-16 units of a text: never fewer than its code points, which Discord may count instead."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def wide(text: str) -> list[int]:
    """The places of the characters that take two units, in a text without lone surrogates."""
    if text.isascii():
        return []
    octets = text.encode("utf-16-le", "surrogatepass")
    if len(octets) == 2 * len(text):
        return []
    upper = octets[1::2]  # here, 0xD8 to 0xDB is the first unit of such a character
    found = sorted(place for first in b"\xd8\xd9\xda\xdb" for place in _all(upper, first))
    return [place - count for count, place in enumerate(found)]


def _all(octets: bytes, wanted: int) -> Iterator[int]:
    place = octets.find(wanted)
    while place >= 0:
        yield place
        place = octets.find(wanted, place + 1)
