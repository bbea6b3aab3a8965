"""Reads Slack's own markup: the text that is stored, the text that is shown, whom it notifies.

Source: docs.slack.dev, formatting message text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(r"<(?:[@#!][^<>\n]+|(?:https?|mailto|tel|slack|ftp):[^<>\n]+)>")
_STRAY_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt);)")
_SHOWN = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}
_ENTITY = re.compile("|".join(_SHOWN))
_CALL = re.compile(
    r"<(@[UW][A-Z0-9]+|!(?:channel|here|everyone)|!subteam\^S[A-Z0-9]+)(?:\|[^>]*)?>"
)
_BY_NAME = re.compile(r"(?<!\w)@(?:channel|here|everyone)\b")


def stored(text: str) -> str:
    """The text as Slack stores it: `&`, `<` and `>` outside of Slack's markup are escaped."""
    pieces, end = [], 0
    for token in _TOKEN.finditer(text):
        pieces += [_escaped(text[end : token.start()]), token[0]]
        end = token.end()
    return "".join([*pieces, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return _STRAY_AMPERSAND.sub("&amp;", text).replace("<", "&lt;").replace(">", "&gt;")


def shown(text: str) -> str:
    """A stored text as a person reads it: unescaped, links by their label, mentions by name."""
    pieces, end = [], 0
    for token in _TOKEN.finditer(text):
        pieces += [_unescaped(text[end : token.start()]), _unescaped(_label(token[0][1:-1]))]
        end = token.end()
    return "".join([*pieces, _unescaped(text[end:])])


def _unescaped(text: str) -> str:
    return _ENTITY.sub(lambda entity: _SHOWN[entity[0]], text)


def _label(token: str) -> str:
    target, _, label = token.partition("|")
    if label:
        return label
    return f"@{target[1:]}" if target.startswith("!") else target


def calls(text: str) -> tuple[str, ...]:
    """Whom the control sequences in a text notify: `@U…`, `!here`, `!subteam^S…`."""
    return tuple(call[1] for call in _CALL.finditer(text))


def called(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Whom a message's text notifies; a bare name counts only if the request asks for names."""
    text = fields.get("text") or ""
    named: tuple[str, ...] = ()
    if fields.get("parse") == "full" or fields.get("link_names") in (True, "true", "1"):
        named = tuple(name[0] for name in _BY_NAME.finditer(shown(text)))
    return calls(text) + named
