"""Reads the channel of the guide for authors, up to any of the guide's steps."""

from __future__ import annotations

import ast
import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs/how-to/write-a-channel.md"
PIECES = re.compile(
    r"^```python\n(# gateway_plugin_matrix/hooks\.py.*?)^```$", re.MULTILINE | re.DOTALL
)
GUIDED = ("the least", "with its first hooks", "with files and polls")


def guided_channel(how: str) -> str:
    """The module's source; a function of a later piece replaces an earlier one of its name."""
    pieces = PIECES.findall(GUIDE.read_text())[: 1 + GUIDED.index(how)]
    whole = ""
    for piece in pieces:
        whole = f"{_without(whole, _functions(piece))}\n\n{piece}"
    return whole


def _functions(code: str) -> dict[str, tuple[int, int]]:
    """The first and the last line of each function, including its decorators."""
    found = {}
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            found[node.name] = first, node.end_lineno or first
    return found


def _without(code: str, names: dict[str, tuple[int, int]]) -> str:
    lines = code.splitlines(keepends=True)
    for name, (first, last) in _functions(code).items():
        if name in names:
            lines[first - 1 : last] = [""] * (last - first + 1)
    return "".join(lines)
