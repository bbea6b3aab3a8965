"""Buttons under a message, as its readers see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import attrs


@attrs.frozen
class Button:
    """A button: its text, and the value that a press sends or the address that it opens."""

    text: str
    value: str | None = None
    url: str | None = None


Rows: TypeAlias = tuple[tuple[Button, ...], ...]


def mappings(value: Any) -> Iterable[Mapping[str, Any]]:
    """The objects of a JSON list; other items, and values that are no list, are left out."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def text_or_none(value: Any) -> str | None:
    """The value if it is a text that is not empty; else None."""
    return value if isinstance(value, str) and value else None
