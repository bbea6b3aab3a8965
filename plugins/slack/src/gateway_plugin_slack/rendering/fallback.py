"""Makes the notification's text for a message that has blocks and no text of its own. Sans-I/O.

Slack asks for a `text` beside blocks. Slack shows it where blocks cannot be shown, such as in a
notification, and screen readers read it out (docs.slack.dev, chat.postMessage). This text never
notifies anybody; only the blocks may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway_core.text import cut, neutral
from gateway_plugin_slack.rendering.plain import escape

MOST = 1_000
"""Most characters; no notification shows more."""
_CONTROLS = frozenset({"actions", "context_actions", "divider", "input"})
"""Blocks without words of the message: buttons, lines and fields to fill in."""
_WORDS = ("text", "title", "alt_text")


def fallback_of(blocks: object) -> str:
    """The words of the blocks, one line for each block; empty if they have none."""
    lines = (" ".join(_words(block)) for block in _each(blocks) if not _is_control(block))
    text = neutral("\n".join(line for line in lines if line.strip()))
    [(start, end), *_] = cut(text, limit=MOST, measure=len) or [(0, 0)]
    return escape(text[start:end].strip())


def _is_control(block: object) -> bool:
    return isinstance(block, Mapping) and block.get("type") in _CONTROLS


def _words(node: object) -> Iterator[str]:
    """Every text in the node, depth first."""
    for child in _each(node):
        yield from _words(child)
    if not isinstance(node, Mapping):
        return
    for name, value in node.items():
        if name in _WORDS and isinstance(value, str):
            yield value
        elif isinstance(value, Mapping | list | tuple):
            yield from _words(value)


def _each(node: object) -> list[object]:
    return list(node) if isinstance(node, list | tuple) else []
