"""Turns HTML, MarkdownV2 and the older Markdown into a text and entities, as `parse_mode` does.

It knows enough of core.telegram.org/bots/api#formatting-options for what bots commonly send.
Refusals have the server's words, without the byte offsets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import unescape
from typing import Any, NoReturn

import attrs

from gateway_contrib.emulators.telegram.content import Formatted, utf16_units
from gateway_contrib.emulators.telegram.refusals import bad_request

Fields = Mapping[str, Any]


def parsed(text: str, mode: str) -> Formatted:
    """The text without its markup, and the markup as entities. Raises `Refusal`."""
    reader = _READERS.get(mode.lower())
    if reader is None:
        raise bad_request("unsupported parse_mode")
    return reader(text)


def _refuse(words: str) -> NoReturn:
    raise bad_request(f"can't parse entities: {words}")


@attrs.define(eq=False)
class _Writer:
    """The plain text so far, finished entities, and those still open."""

    pieces: list[str] = attrs.field(factory=list)
    units: int = 0
    entities: list[Fields] = attrs.field(factory=list)
    open: list[tuple[str, int, Fields]] = attrs.field(factory=list)

    def write(self, text: str) -> None:
        self.pieces.append(text)
        self.units += utf16_units(text)

    def begin(self, name: str, fields: Fields) -> None:
        self.open.append((name, self.units, fields))

    def end(self, more: Fields | None = None) -> None:
        _, start, fields = self.open.pop()
        place = {"offset": start, "length": self.units - start}
        # A pre with a code in it that names the language is one entity, not two.
        twice = self.entities and {**self.entities[-1], **fields, **place} == self.entities[-1]
        if self.units > start and not twice:
            self.entities.append({**fields, **(more or {}), **place})

    def styled(self, text: str, fields: Fields) -> None:
        self.begin("", fields)
        self.write(text)
        self.end()

    def is_open(self, name: str) -> bool:
        return bool(self.open) and self.open[-1][0] == name

    def finished(self, words: Callable[[str], str]) -> Formatted:
        if self.open:
            _refuse(words(self.open[-1][0]))
        ordered = sorted(self.entities, key=lambda one: (one["offset"], -one["length"]))
        return Formatted("".join(self.pieces), tuple(ordered))


_TAG = re.compile(r"<(/?)([A-Za-z0-9-]*)([^<>]*)>|<")
_REFERENCE = re.compile(r"&(lt|gt|amp|quot|#[0-9]+|#x[0-9a-f]+);", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([a-z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_TAGS: Mapping[str, str] = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "a": "text_link",
    "tg-emoji": "custom_emoji",
}


def _unescaped(text: str) -> str:
    return _REFERENCE.sub(lambda found: unescape(found[0]), text)


def _html(text: str) -> Formatted:
    writer, at = _Writer(), 0
    for found in _TAG.finditer(text):
        writer.write(_unescaped(text[at : found.start()]))
        at = found.end()
        closing, name, rest = found[1], (found[2] or "").lower(), found[3] or ""
        if name not in _TAGS:
            _refuse(f'Unsupported start tag "{name}"')
        if not closing:
            writer.begin(name, _tag_fields(writer, name, rest))
        elif writer.is_open(name):
            writer.end()
        else:
            _refuse(f'Unexpected end tag "{name}"')
    writer.write(_unescaped(text[at:]))
    return writer.finished(lambda name: f'Can\'t find end tag corresponding to start tag "{name}"')


def _tag_fields(writer: _Writer, name: str, rest: str) -> Fields:
    given = {one[1].lower(): one[2] or one[3] or one[4] for one in _ATTRIBUTE.finditer(rest)}
    fields = {"type": _TAGS[name]}
    if name == "a":
        return {**fields, "url": _unescaped(given.get("href") or "")}
    if name == "code" and writer.is_open("pre"):
        language = (given.get("class") or "").removeprefix("language-")
        return {"type": "pre", "language": language} if language else {"type": "pre"}
    if name == "tg-emoji":
        return {**fields, "custom_emoji_id": given.get("emoji-id") or ""}
    if name == "blockquote" and "expandable" in rest:
        return {"type": "expandable_blockquote"}
    return fields


_V2 = re.compile(
    r"""\\(?P<escaped>[!-/:-@\[-`{-~])
      | ```(?:(?P<language>[^\s`]+)?\n)?(?P<pre>(?:\\.|[^`\\]|`(?!``))*)```
      | `(?P<code>(?:\\.|[^`\\])*)`
      | (?P<marker>__|\|\||[*_~])
      | (?P<link>\[)
      | \]\((?P<url>(?:\\.|[^)\\])*)\)
      | (?P<bare>\](?!\())
      | (?P<quote>^>)
      | (?P<reserved>[\]()`>#+=|{}.!-])
      | (?P<line>\n)
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_V1 = re.compile(
    r"""\\(?P<escaped>[_*`\[])
      | ```(?:(?P<language>[^\s`]+)?\n)?(?P<pre>(?:[^`]|`(?!``))*)```
      | `(?P<code>[^`]*)`
      | (?P<marker>[*_])
      | (?P<link>\[)
      | \]\((?P<url>[^)]*)\)
      | (?P<reserved>`)
    """,
    re.VERBOSE | re.DOTALL,
)
_MARKERS: Mapping[str, str] = {
    "*": "bold",
    "_": "italic",
    "__": "underline",
    "~": "strikethrough",
    "||": "spoiler",
}
_ESCAPED = re.compile(r"\\([!-~])")


def _markdown(grammar: re.Pattern[str], text: str) -> Formatted:
    writer, at = _Writer(), 0
    for found in grammar.finditer(text):
        writer.write(text[at : found.start()])
        at = found.end()
        _TOKENS[found.lastgroup or ""](writer, found)
    writer.write(text[at:])
    if writer.is_open(">"):
        writer.end()
    return writer.finished(lambda name: f"Can't find end of the entity that begins with {name}")


def _escaped(writer: _Writer, found: re.Match[str]) -> None:
    writer.write(found["escaped"])


def _pre(writer: _Writer, found: re.Match[str]) -> None:
    language = {"language": found["language"]} if found["language"] else {}
    writer.styled(_ESCAPED.sub(r"\1", found["pre"]), {"type": "pre", **language})


def _code(writer: _Writer, found: re.Match[str]) -> None:
    writer.styled(_ESCAPED.sub(r"\1", found["code"]), {"type": "code"})


def _marker(writer: _Writer, found: re.Match[str]) -> None:
    marker = found["marker"]
    if writer.is_open(marker):
        writer.end()
    else:
        writer.begin(marker, {"type": _MARKERS[marker]})


def _link(writer: _Writer, _found: re.Match[str]) -> None:
    writer.begin("[", {"type": "text_link"})


def _url(writer: _Writer, found: re.Match[str]) -> None:
    if not writer.is_open("["):
        _refuse("Character ']' is reserved and must be escaped with the preceding '\\'")
    writer.end({"url": _ESCAPED.sub(r"\1", found["url"])})


def _bare(writer: _Writer, found: re.Match[str]) -> None:
    if not writer.is_open("["):
        _reserved(writer, found)
    writer.open.pop()


def _quote(writer: _Writer, _found: re.Match[str]) -> None:
    if not writer.is_open(">"):
        writer.begin(">", {"type": "blockquote"})


def _line(writer: _Writer, found: re.Match[str]) -> None:
    writer.write("\n")
    if writer.is_open(">") and found.string[found.end() : found.end() + 1] != ">":
        writer.end()


def _reserved(_writer: _Writer, found: re.Match[str]) -> None:
    _refuse(f"Character '{found[0]}' is reserved and must be escaped with the preceding '\\'")


_TOKENS: Mapping[str, Callable[[_Writer, re.Match[str]], None]] = {
    "escaped": _escaped,
    "pre": _pre,
    "code": _code,
    "marker": _marker,
    "link": _link,
    "url": _url,
    "bare": _bare,
    "quote": _quote,
    "reserved": _reserved,
    "line": _line,
}
_READERS: Mapping[str, Callable[[str], Formatted]] = {
    "html": _html,
    "markdownv2": lambda text: _markdown(_V2, text),
    "markdown": lambda text: _markdown(_V1, text),
}
