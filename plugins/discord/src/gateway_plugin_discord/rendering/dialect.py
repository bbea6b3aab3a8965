r"""How Discord writes styles, and what of a text it must not take for markup. Sans-I/O.

The client's parser (a descendant of simple-markdown) tries its rules at each place of the source
in turn. A backslash in front stops any of them, but not one that began before it: nothing in code,
in an address or in a link's text may hold what closes an earlier mark. So marks are never open
around code or addresses that hold one, link texts hold no brackets, and whatever could open is
escaped, whether or not something closes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache, partial
from typing import Final, TypeAlias

from gateway_core.text import Style

Mark: TypeAlias = tuple[str, str]
"""What opens a style and what closes it."""

MARKS: Final = {
    Style.BOLD: "**",
    Style.ITALIC: "*",
    Style.STRIKE: "~~",
    Style.UNDERLINE: "__",
    Style.SPOILER: "||",
}
MARKED: Final[dict[Style, Mark]] = {style: (mark, mark) for style, mark in MARKS.items()}
STRUCK: Final = frozenset((MARKED[Style.STRIKE], MARKED[Style.SPOILER]))
"""Marks that end at the next two signs, with a backslash before them or not."""

CLOSERS: Final = frozenset("*_~|")
"""Characters that could close a mark which is open around them."""

APART: Final = "\u200b"
"""Between two marks of the same character, and between backticks that would end code: unseen."""

_LANGUAGE: Final = re.compile(r"[a-z0-9_+\-.#]+", re.IGNORECASE)
_UNSAFE: Final = re.compile(r"[*~|\[\]()'<>\\]|_(?![0-9A-Za-z])")
_BACKTICKS: Final = re.compile("`+")
_TWO: Final = re.compile("(?<!`)``(?!`)")
_PAIRS: Final = re.compile("``(?=`)")

APIECE: Final = "\0"
"""Between stretches that are escaped together; no visible text holds it."""

_LINE: Final = r"""
    [^\S\n]*+ (?=[-+\#>0-9])   # most lines begin with nothing of that
    (?: [0-9]++(?=\.[^\S\n]) | (?=(?:[-+] | -\# | \#{1,3} | > | >>>)[^\S\n]))
"""
_LINES: Final = rf"\n {_LINE} | \0 {_LINE}"
# Each alternative begins with a letter: so the search skips what is none of them at C's speed.
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
    """What gives a text a backslash before each character that Discord takes for markup.

    Behind a line feed, and behind `APIECE`, it is as at the beginning: lines and stretches may be
    given together, and each comes out as it would alone.

    mentions  leave `<@1>`, `@everyone` and `@here` what they are
    struck    inside a strike or a spoiler: these end at the first two marks, with a backslash
              before them or not, so no two may touch
    """
    rules = [*([_MENTION] if mentions else []), *([_CLOSER] if struck else []), _LINES, _MARK]
    replace = _escaped if mentions or struck else _backslashed
    escape = partial(re.compile("|".join(rules), re.VERBOSE).sub, replace)

    def write(text: str) -> str:
        return escape(f"\n{text}")[1:]

    return write


def _backslashed(found: re.Match[str]) -> str:
    whole = found[0]
    return f"\\{whole}" if whole > " " else f"{whole}\\"  # behind what begins a line


def _escaped(found: re.Match[str]) -> str:
    if found.lastgroup == "mention":
        return found[0]
    return _backslashed(found) + (APART if found.lastgroup == "closer" else "")


def code(text: str) -> str:
    """Inline code: between a backtick, or two, that do not stand in it like this.

    Three would begin a code block: where both stand in it, the two are taken apart. Code that is
    cut between two backticks may take one unit more than with both: nothing else does.
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
    """The content of a code block: three backticks in it would end it."""
    return _PAIRS.sub(f"``{APART}", text) if "```" in text else text


@lru_cache(64)
def fence(language: str) -> str:
    """What opens a code block, with its language where Discord's grammar has such words."""
    return f"```{language if _LANGUAGE.fullmatch(language) else ''}\n"


def target(address: str, *, preview: bool) -> str:
    """A link's address; between angle brackets Discord shows no preview of it."""
    safe = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", address)
    return safe if preview else f"<{safe}>"


def units(text: str) -> int:
    """UTF-16 units of a text: never fewer than its code points, of which Discord may count."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def wide(text: str) -> list[int]:
    """Where the characters stand that take two units, in a text without lone surrogates."""
    if text.isascii():
        return []
    octets = text.encode("utf-16-le", "surrogatepass")
    if len(octets) == 2 * len(text):
        return []
    upper = octets[1::2]  # in which 0xD8 to 0xDB is the first unit of such a character
    found = sorted(place for first in b"\xd8\xd9\xda\xdb" for place in _all(upper, first))
    return [place - count for count, place in enumerate(found)]


def _all(octets: bytes, wanted: int) -> Iterator[int]:
    place = octets.find(wanted)
    while place >= 0:
        yield place
        place = octets.find(wanted, place + 1)
