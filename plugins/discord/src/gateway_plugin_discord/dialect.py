r"""How Discord writes styles, and what of a text it must not take for markup. Pure.

The client's parser (a descendant of simple-markdown) tries its rules at each place of the source
in turn. A backslash in front stops any of them, but not one that began before it: nothing in code,
in an address or in a link's text may hold what closes an earlier mark. So marks are never open
around code or addresses that hold one, link texts hold no brackets, and whatever could open is
escaped, whether or not something closes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from gateway_core.text import Style

MARKS = {
    Style.BOLD: "**",
    Style.ITALIC: "*",
    Style.STRIKE: "~~",
    Style.UNDERLINE: "__",
    Style.SPOILER: "||",
}
CLOSERS = frozenset("*_~|")
"""Characters that could close a mark which is open around them."""

APART = "\u200b"
"""Between two marks of the same character, and between the backticks of a fence in code: unseen."""

_LANGUAGE = re.compile(r"[a-z0-9_+\-.#]+", re.IGNORECASE)
_UNSAFE = re.compile(r"[*~|\[\]()'<>\\]|_(?![0-9A-Za-z])")
_BACKTICKS = re.compile("`+")
_LINE = re.compile(r"\s*+(?:[0-9]++(?=\.\s)|(?=[-+]\s|-#\s|#{1,3}\s|>\s|>>>\s))")
_LINE_STARTS = "0123456789-+#>"

# Each alternative begins with a letter: so the search skips what is none of them at C's speed.
_MARK = r"""
    \\ | \* | _ | ` | \[
  | ~(?:(?=~)|(?<=~~))
  | \|(?:(?=\|)|(?<=\|\|))
  | <(?![ ])                          # only a space keeps it from opening an address
  | @(?=everyone|here)
  | \((?<=\]\()
  | :(?:(?=[\w+-]+:)|(?<=http:)(?=//)|(?<=https:)(?=//))
"""
_MENTION = r"(?P<mention><@[!&]?[0-9]+>|@everyone|@here)"
_CLOSER = r"(?P<closer>[~|])"
_PLAIN = re.compile(_MARK, re.VERBOSE)


def escaping(*, mentions: bool = False, struck: bool = False) -> Callable[[str], str]:
    """What gives a line's text a backslash before each character that Discord takes for markup.

    mentions  leave `<@1>`, `@everyone` and `@here` what they are
    struck    inside a strike or a spoiler: these end at the first two marks, with a backslash
              before them or not, so no two may touch
    """
    escape = partial(_PLAIN.sub, _backslashed)
    if mentions or struck:
        rules = [*([_MENTION] if mentions else []), *([_CLOSER] if struck else []), _MARK]
        escape = partial(re.compile("|".join(rules), re.VERBOSE).sub, _escaped)

    def write(text: str) -> str:
        if text.lstrip()[:1] in _LINE_STARTS and (line := _LINE.match(text)):
            return f"{line[0]}\\{escape(text[line.end() :])}"
        return escape(text)

    return write


def _backslashed(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _escaped(found: re.Match[str]) -> str:
    whole = found[0]
    if found.lastgroup == "mention":
        return whole
    return f"\\{whole}{APART}" if found.lastgroup == "closer" else f"\\{whole}"


def code(text: str) -> str:
    """Inline code: between more backticks than stand in it."""
    if "`" not in text:
        return f"`{text}`"
    runs = {len(run) for run in _BACKTICKS.findall(text)}
    fence = "`" * next(n for n in range(1, len(runs) + 2) if n not in runs)
    first = " " if text[0] == "`" else ""
    last = " " if text[-1] == "`" else ""
    return f"{fence}{first}{text}{last}{fence}"


def fenced(text: str) -> str:
    """The content of a code block: three backticks in it would end it."""
    return text.replace("```", f"`{APART}`{APART}`") if "```" in text else text


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
