"""Refuses components of the first kind as Discord does, and lists the buttons that they show.

Source: discord.com/developers/docs/components/reference#button and #action-row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_contrib.emulators.buttons import Button, Rows, mappings, text_or_none
from gateway_contrib.emulators.discord.refusals import form

_ROW, _BUTTON, _LINK = 1, 2, 5
_MOST = 5
_LENGTHS = {"label": 80, "custom_id": 100, "url": 512}
V2 = 1 << 15
"""The flag of a message that consists of components of the second kind alone."""


def check(fields: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse too many rows and buttons, texts that are too long, and an id that is used twice."""
    rows = fields.get("components")
    if not isinstance(rows, list) or (fields.get("flags") or 0) & V2:
        return
    place = f"{prefix}components"
    _many(place, rows, least=0)
    known = set[str]()
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping) or row.get("type") != _ROW:
            raise form(f"{place}.{at}.type", "BASE_TYPE_CHOICES", "Value must be one of {1}.")
        inside = f"{place}.{at}.components"
        _many(inside, row.get("components"))
        for number, one in enumerate(mappings(row.get("components"))):
            if one.get("type") == _BUTTON:
                _check(f"{inside}.{number}", one, known)


def _many(place: str, items: Any, *, least: int = 1) -> None:
    if not isinstance(items, list) or not least <= len(items) <= _MOST:
        raise form(place, "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {_MOST} in length.")


def _check(place: str, button: Mapping[str, Any], known: set[str]) -> None:
    for name, most in _LENGTHS.items():
        text = button.get(name)
        if isinstance(text, str) and len(text) > most:
            words = f"Must be {most} or fewer in length."
            raise form(f"{place}.{name}", "BASE_TYPE_MAX_LENGTH", words)
    needed = "url" if button.get("style") == _LINK else "custom_id"
    asked = button.get(needed)
    if not isinstance(asked, str) or not asked:
        raise form(f"{place}.{needed}", "BASE_TYPE_REQUIRED", "This field is required")
    if needed == "custom_id" and asked in known:
        words = "Component custom id cannot be duplicated"
        raise form(f"{place}.custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED", words)
    known.add(asked)


def shown(components: Any) -> Rows:
    """The buttons in rows of components."""
    return tuple(
        tuple(
            Button(
                str(b.get("label") or ""),
                text_or_none(b.get("custom_id")),
                text_or_none(b.get("url")),
            )
            for b in mappings(row.get("components"))
            if b.get("type") == _BUTTON
        )
        for row in mappings(components)
        if row.get("type") == _ROW
    )
