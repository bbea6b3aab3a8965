"""Finds the tags of Telegram's HTML, their ends and attributes, as tdlib does. Sans-I/O.

After a `<`, tdlib (MessageEntity.cpp) reads on whatever follows: another `<` can be the name of an
attribute. What tdlib would refuse is reported, with the place where reading stopped; the search for
the next tag begins there. Invariant: no character is read more than a few times, so the work is
linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_BLANK = r"[ \t\r\n\v]"
_LONGEST = 11
"""Telegram's tags have shorter names."""

_NAME = re.compile(rf"[^ \t\r\n\v\0>]{{0,{_LONGEST}}}")
_ATTRIBUTE = re.compile(
    rf"""
    {_BLANK}*+ ([^ \t\r\n\v\0=>/"']++) {_BLANK}*+
    (?: = {_BLANK}*+ (?: "([^"\0]*+)"?+ | '([^'\0]*+)'?+ | ([A-Za-z0-9.-]*+)(?={_BLANK}|>) ) )?+
    """,
    re.VERBOSE,
)
_CLOSED = re.compile(rf"{_BLANK}*+>")
_END = re.compile(rf"</([^ \t\r\n\v\0>]*+){_BLANK}*+(>?)")
_REFERENCE = re.compile(
    r"&(?:#(x[0-9a-fA-F]{1,6}(?![0-9a-fA-F])|[0-9]{1,7}(?!\d))|(lt|gt|amp|quot)(?![A-Za-z]));?",
    re.ASCII,
)
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_LAST = 0x10FFFF


class Tag(NamedTuple):
    """A tag's name in small letters, and where it ends.

    attributes  names and values in order; a value is None if the attribute has none
    problem     why it is not a tag; `end` is then where reading stopped
    """

    name: str
    end: int
    attributes: tuple[tuple[str, str | None], ...] = ()
    problem: str = ""

    def value(self, name: str, prefix: str = "") -> str | None:
        """An attribute's last value that begins with `prefix`, without it; None: there is none."""
        values = [value for key, value in self.attributes if key == name and value is not None]
        begun = [value for value in values if value.startswith(prefix)]
        return begun[-1].removeprefix(prefix) if begun else None

    def has(self, name: str) -> bool:
        """Whether there is an attribute of that name, with a value or without."""
        return any(key == name for key, _ in self.attributes)


def tag_at(source: str, at: int, is_known: Callable[[str], bool]) -> Tag:
    """The tag that begins with the `<` at this place."""
    name = _lowered(_NAME.match(source, at + 1)[0])  # type: ignore[index]  # it matches anything
    if not is_known(name):
        means_a_tag = name[:1].isalpha() or name[:1] == "!"
        unknown = f"<{name}> at {at} is not a tag that Telegram knows"
        sign = f"the < at {at} does not begin a tag; write &lt; for the sign"
        return Tag(name, at + 1, (), unknown if means_a_tag else sign)
    end = at + 1 + len(name)
    attributes = []
    while one := _ATTRIBUTE.match(source, end):
        attributes.append((one[1], _value(one)))
        end = one.end()
    if closed := _CLOSED.match(source, end):
        return Tag(name, closed.end(), tuple(attributes))
    if end == len(source):
        return Tag(name, end, (), f"the tag <{name}> at {at} has no end")
    return Tag(name, end, (), f"the attributes of <{name}> at {at} cannot be read")


def end_at(source: str, at: int) -> Tag:
    """The end tag that begins with the `</` at this place; without a name, it ends any tag."""
    found = _END.match(source, at)
    if found is None or not found[2]:
        end = found.end() if found else at + 1
        return Tag("", end, (), f"the end tag at {at} has no end")
    return Tag(_lowered(found[1]), found.end())


def reference_at(source: str, at: int) -> tuple[str, int]:
    """The character that the reference at this `&` stands for, else the `&`; and where it ends."""
    found = _REFERENCE.match(source, at)
    return (_character(found), found.end()) if found else (source[at], at + 1)


def _lowered(name: str) -> str:
    return name.lower() if name.isascii() else name


def _value(found: re.Match[str]) -> str | None:
    """An attribute's value; a value without quotes is read in small letters."""
    bare: str | None = found[4]
    if bare is not None:
        return bare.lower()
    quoted = next((value for value in found.group(2, 3) if value is not None), None)
    return None if quoted is None else _REFERENCE.sub(_character, quoted)


def _character(found: re.Match[str]) -> str:
    """The character that a reference stands for; the reference itself if it names none."""
    number, name = found[1], found[2]
    if name:
        return _NAMED[name]
    code = int(number[1:], 16) if number[0] == "x" else int(number)
    valid = 0 < code < _LAST and not 0xD800 <= code <= 0xDFFF  # noqa: PLR2004 - surrogates
    return chr(code) if valid else found[0]
