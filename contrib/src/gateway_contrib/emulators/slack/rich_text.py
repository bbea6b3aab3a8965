"""Reads a rich_text block: its text, and whom it notifies (docs.slack.dev, rich text block)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

Element: TypeAlias = Mapping[str, Any]


def lines(block: Element) -> str:
    """The block's sections, items, quotes and preformatted texts, each on lines of its own."""
    shown = ""
    for element in _elements(block):
        line = _list(element) if element.get("type") == "rich_text_list" else _inline(element)
        shown += ("\n" if shown and not shown.endswith("\n") else "") + line
    return shown


def _elements(node: Element) -> list[Element]:
    elements = node.get("elements")
    return [x for x in elements if isinstance(x, Mapping)] if isinstance(elements, list) else []


def _list(element: Element) -> str:
    """A list's items with bullets or numbers, indented by two spaces per level."""
    indent = "  " * int(element.get("indent") or 0)
    first = int(element.get("offset") or 0) + 1
    ordered = element.get("style") == "ordered"
    return "\n".join(
        f"{indent}{f'{number}.' if ordered else '•'} {_inline(item)}"
        for number, item in enumerate(_elements(element), start=first)
    )


def _inline(element: Element) -> str:
    return "".join(_words(child) for child in _elements(element))


def _words(child: Element) -> str:
    words = _WORDS.get(str(child.get("type")))
    return words(child) if words is not None else str(child.get("text") or "")


_WORDS: Mapping[str, Callable[[Element], str]] = {
    "link": lambda child: str(child.get("text") or child.get("url") or ""),
    "user": lambda child: f"@{child.get('user_id')}",
    "usergroup": lambda child: f"@{child.get('usergroup_id')}",
    "broadcast": lambda child: f"@{child.get('range')}",
    "channel": lambda child: f"#{child.get('channel_id')}",
    "emoji": lambda child: f":{child.get('name')}:",
}

_CALLS: Mapping[str, Callable[[Element], str]] = {
    "user": lambda child: f"@{child.get('user_id')}",
    "usergroup": lambda child: f"!subteam^{child.get('usergroup_id')}",
    "broadcast": lambda child: f"!{child.get('range')}",
}


def called(node: Any) -> Iterator[str]:
    """Whom a rich_text block notifies, by elements on any level."""
    if isinstance(node, list):
        for child in node:
            yield from called(child)
    elif isinstance(node, Mapping):
        call = _CALLS.get(str(node.get("type")))
        if call is not None:
            yield call(node)
        yield from called(node.get("elements"))
