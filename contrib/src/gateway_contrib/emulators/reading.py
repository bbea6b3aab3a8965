"""Reads JSON as platforms do: no half characters, no infinite numbers, no endless nesting."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

DEEPEST = 100
"""Most levels of nested lists and objects: far more than any method uses."""


def json_in(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError if it is not JSON that an answer could repeat."""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check(found, DEEPEST)
    return found


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


def _check(value: Any, levels: int) -> None:
    if isinstance(value, str):
        value.encode()  # raises UnicodeEncodeError, a ValueError, for half of a character
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large")
    elif isinstance(value, list | dict):
        if not levels:
            raise ValueError("nested too deeply")
        for item in value if isinstance(value, list) else [*value, *value.values()]:
            _check(item, levels - 1)
