"""Reads Discord's Markdown dialect as its clients do: each place tries the rules in turn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway_contrib.cli.painting.seen import BULLETS, Line, Run, split

_FENCE = re.compile(r"((?:> )?)```(?:([\w+\-.#]+)\n|\n?)(.*?)\n?(?:> )?```", re.DOTALL)
_HEADING = re.compile(r"(#{1,3}) +(.*)")
_ITEM = re.compile(r"( *)([-*]|[0-9]+\.) +(.*)")
_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("", re.compile(r"\\([^0-9A-Za-z\s])")),
    ("code", re.compile(r"(?P<tick>`+)(.*?[^`])(?P=tick)(?!`)", re.DOTALL)),
    ("link", re.compile(r"<(https?://[^\s>]+)>")),
    ("link", re.compile(r"(https?://[^\s<]+[^<.,:;\"'\]\s])")),
    ("link", re.compile(r"\[((?:\\.|[^\[\]\\])*)\]\(<?[^\s)]*?>?\)")),
    ("spoiler", re.compile(r"\|\|(.+?)\|\|", re.DOTALL)),
    ("bold", re.compile(r"\*\*((?:\\.|[^\\])+?)\*\*(?!\*)", re.DOTALL)),
    ("underline", re.compile(r"__((?:\\.|[^\\])+?)__(?!_)", re.DOTALL)),
    ("italic", re.compile(r"\*(?=\S)((?:\*\*|\\.|[^*\\])+?)\*(?!\*)", re.DOTALL)),
    ("italic", re.compile(r"_((?:__|\\.|[^_\\])+?)_(?![0-9A-Za-z_])", re.DOTALL)),
    ("strike", re.compile(r"~~(.+?)~~(?!_)", re.DOTALL)),
    ("mention", re.compile(r"(<@[!&]?[0-9]+>|@everyone|@here)")),
)
_VERBATIM = ("", "code", "mention")
_UNSEEN = "\u200b"


def lines(payload: Mapping[str, Any]) -> list[Line]:
    """The lines of `content`."""
    content = str(payload.get("content", ""))
    found: list[Line] = []
    at = 0
    for number, fence in enumerate(_FENCE.finditer(content), 1):
        found += _flow(content[at : fence.start()])
        found += _code(fence, number)
        at = fence.end() + content.startswith("\n", fence.end())
    return [*found, *_flow(content[at:])]


def _code(fence: re.Match[str], number: int) -> Iterator[Line]:
    quote = bool(fence[1])
    for index, words in enumerate(fence[3].split("\n")):
        shown = words.removeprefix("> ") if quote else words
        language = fence[2] or "" if index == 0 else ""
        yield Line((Run(shown.replace(_UNSEEN, "")),), number, language, quote=quote)


def _flow(text: str) -> Iterator[Line]:
    """The text outside of code blocks, line by line."""
    if not text:
        return
    for words in text.removesuffix("\n").split("\n"):
        quote = words.startswith("> ")
        yield _line(words.removeprefix("> "))._replace(quote=quote)


def _line(words: str) -> Line:
    if heading := _HEADING.fullmatch(words):
        return Line(_runs(heading[2]), heading=len(heading[1]))
    if item := _ITEM.fullmatch(words):
        level = len(item[1]) // 2
        sign = BULLETS[level % 3] if item[2] in "-*" else item[2]
        return Line(_runs(item[3]), indent=level + 1, marker=f"{sign} ")
    indent = (len(words) - len(words.lstrip(" "))) // 2
    return Line(_runs(words.lstrip(" ")), indent=indent)


def _runs(source: str) -> tuple[Run, ...]:
    (runs,) = split(_inline(source, frozenset()))
    return runs


def _inline(source: str, styles: frozenset[str]) -> Iterator[Run]:
    at = kept = 0
    while at < len(source):
        name, found = _first(source, at)
        if found is None:
            at += 1
            continue
        yield from _plain(source[kept:at], styles)
        inner = found.groups()[-1]
        around = styles | ({name} if name else set())
        if name in _VERBATIM or inner.startswith("http"):
            yield from _plain(inner, around)
        else:
            yield from _inline(inner, around)
        at = kept = found.end()
    yield from _plain(source[kept:], styles)


def _first(source: str, at: int) -> tuple[str, re.Match[str] | None]:
    for name, rule in _RULES:
        if found := rule.match(source, at):
            return name, found
    return "", None


def _plain(text: str, styles: frozenset[str]) -> Iterator[Run]:
    shown = text.replace(_UNSEEN, "")
    if shown:
        yield Run(shown, styles)
