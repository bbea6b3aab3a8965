"""Reads the buttons of a message's blocks."""

from __future__ import annotations

from typing import Any

from gateway_contrib.emulators.buttons import Button, Rows, mappings, text_or_none


def shown(blocks: Any) -> Rows:
    """The buttons of the message's actions blocks; each block is a row."""
    rows = [mappings(b.get("elements")) for b in mappings(blocks) if b.get("type") == "actions"]
    return tuple(
        tuple(
            Button(_label(b.get("text")), text_or_none(b.get("value")), text_or_none(b.get("url")))
            for b in row
            if b.get("type") == "button"
        )
        for row in rows
    )


def _label(text: Any) -> str:
    return str(text.get("text", "")) if isinstance(text, dict) else ""
