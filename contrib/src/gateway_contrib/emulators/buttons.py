"""Buttons under a message, as its readers see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import attrs


@attrs.frozen
class Button:
    """A button: what stands on it, and the value that a press tells, or the address it opens."""

    text: str
    value: str | None = None
    url: str | None = None


Rows: TypeAlias = tuple[tuple[Button, ...], ...]


def mappings(value: Any) -> Iterable[Mapping[str, Any]]:
    """The objects of a JSON list; what is no such thing shows nothing."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def text_or_none(value: Any) -> str | None:
    """A text; None: it is none, or empty."""
    return value if isinstance(value, str) and value else None
