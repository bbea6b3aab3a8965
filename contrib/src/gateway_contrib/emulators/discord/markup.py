"""Shows a message as a reader sees it: Discord's Markdown dialect without its markers.

The parser tries its rules in turn at each place, as Discord's own clients do. It knows the rules,
not how anybody escapes them. It keeps no formatting: bold is shown as its words, a masked link as
its label, a mention as its id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

SHORTCODES: Mapping[str, str] = {
    "+1": "👍",
    "fire": "🔥",
    "heart": "❤️",
    "rocket": "🚀",
    "smile": "😄",
    "tada": "🎉",
    "thumbsup": "👍",
    "warning": "⚠️",
    "wave": "👋",
}
"""A few of the names that clients turn into emoji."""

_Found = re.Match[str]
_Show = Callable[[_Found], str]


def _inside(found: _Found) -> str:
    return _shown(found["inside"])


def _quoted(found: _Found) -> str:
    marker = re.compile(r" *>>> ?" if found[0].lstrip().startswith(">>>") else r"(?m)^ *> ?")
    return _shown(marker.sub("", found[0]), quoted=True)


def _bullet(found: _Found) -> str:
    return f"{found['indent']}{'•' if found['marker'] in '*-' else found['marker']} "


def _emoji(found: _Found) -> str:
    return SHORTCODES.get(found["inside"], found[0])


def _bare(found: _Found) -> str:
    return found["inside"]


_LINE_RULES: tuple[tuple[re.Pattern[str], _Show], ...] = (
    (re.compile(r" *>>> [\s\S]*| *> [^\n]*(?:\n *> [^\n]*)*\n?"), _quoted),
    (re.compile(r"#{1,3}\s+(?P<inside>[^\n]+?)#*(?=\s*(?:\n|$))"), _inside),
    (re.compile(r"-#\s+(?P<inside>[^\n]+)"), _inside),
    (re.compile(r"(?P<indent> *)(?P<marker>[*-]|[0-9]+\.) +(?=\S)"), _bullet),
)
_RULES: tuple[tuple[re.Pattern[str], _Show], ...] = (
    (
        re.compile(r"```(?:[a-z0-9_+\-.#]+?\n)?\n*(?P<inside>[^\n][\s\S]*?)\n*```", re.IGNORECASE),
        _bare,
    ),
    (re.compile(r"\\(?P<inside>[^0-9A-Za-z\s])"), _bare),
    (re.compile(r"<(?P<inside>[^: >\n]+:/[^ >\n]+)>"), _bare),
    (re.compile(r"<(?P<inside>[\w.+-]+@[\w.-]+|\+?\d{3,})>"), _bare),
    (re.compile(r"(?P<inside>https?://[^\s<]+[^<.,:;\"'\]\s])"), _bare),
    (
        re.compile(
            r"\[(?P<inside>(?:\[[^\]]*\]|[^\[\]]|\](?=[^\[]*\]))*)\]"
            r"\(\s*<?(?:\([^)]*\)|[^\s\\]|\\.)*?>?(?:\s+['\"][\s\S]*?['\"])?\s*\)"
        ),
        _inside,
    ),
    (re.compile(r"\|\|(?P<inside>[\s\S]+?)\|\|"), _inside),
    (re.compile(r"<(?P<inside>@[!&]?\d+|#\d+)>"), _bare),
    (re.compile(r"<a?(?P<inside>:\w+:)\d+>"), _bare),
    (re.compile(r"<(?P<inside>/[^<>:\n]+):\d+>"), _bare),
    (re.compile(r"<t:(?P<inside>-?\d+)(?::[tTdDfFRsS])?>"), _bare),
    (re.compile(r"<(?:id|\d+):(?P<inside>customize|browse|guide|linked-roles)(?::\d+)?>"), _bare),
    (re.compile(r"\*\*(?P<inside>(?:\\[\s\S]|[^\\])+?)\*\*(?!\*)"), _inside),
    (re.compile(r"__(?P<inside>(?:\\[\s\S]|[^\\])+?)__(?!_)"), _inside),
    (re.compile(r"_(?P<inside>(?:__|\\[\s\S]|[^\\_])+?)_(?![0-9A-Za-z_])"), _inside),
    (
        re.compile(r"\*(?=\S)(?P<inside>(?:\*\*|\s+(?:[^*\s]|\*\*)|[^\s*])+?)\*(?!\*)"),
        _inside,
    ),
    (re.compile(r"~~(?P<inside>[\s\S]+?)~~(?!_)"), _inside),
    (re.compile(r"(?P<tick>`+)(?P<inside>[\s\S]*?[^`])(?P=tick)(?!`)"), _bare),
    (re.compile(r":(?P<inside>[\w+-]+):"), _emoji),
)
_PLAIN = re.compile(r"[^\\*_~|`<:\[\nh]+")
"""Characters that begin no rule within a line."""


def visible(content: str) -> str:
    """The characters of `content` that a reader sees."""
    return _shown(content)


def _shown(source: str, *, quoted: bool = False) -> str:
    shown, at = [], 0
    while at < len(source):
        piece, at = _next(source, at, quoted=quoted)
        shown.append(piece)
    return "".join(shown)


def _next(source: str, at: int, *, quoted: bool) -> tuple[str, int]:
    """The text that the first fitting rule shows at this place, and where the rule ends."""
    at_line_start = at == 0 or source[at - 1] == "\n"
    for pattern, show in (*(_LINE_RULES[quoted:] if at_line_start else ()), *_RULES):
        found = pattern.match(source, at)
        if found:
            return show(found), found.end()
    plain = _PLAIN.match(source, at)
    end = plain.end() if plain else at + 1
    return source[at:end], end
