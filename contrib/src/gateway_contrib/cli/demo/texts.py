"""Reads the bundled texts: answers of a support desk, a team and a bot, in many scripts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import attrs

LONG = 3_300
SHORT = 900
"""UTF-8 bytes from which a text is long, and below which it is short."""

_CORRECTION = "\n%%\n"


@attrs.frozen
class Text:
    """One text in Markdown; `correction` is a line that the author adds later, or empty."""

    name: str
    words: str
    correction: str

    @property
    def corrected(self) -> str:
        """The text with its correction at the end."""
        return f"{self.words}\n\n{self.correction}"

    @property
    def size(self) -> int:
        """The text's size in UTF-8 bytes."""
        return len(self.words.encode())


def bundled() -> tuple[Text, ...]:
    """Every bundled text, by name."""
    folder = files("gateway_contrib.cli") / "texts"
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return tuple(
        _read(entry.name.removesuffix(".md"), entry.read_text(encoding="utf-8"))
        for entry in entries
        if entry.name.endswith(".md")
    )


def _read(name: str, content: str) -> Text:
    words, _, correction = content.partition(_CORRECTION)
    return Text(name, words.strip(), correction.strip())


def long(texts: Sequence[Text]) -> list[Text]:
    """The long texts, which become several messages on most platforms."""
    return [text for text in texts if text.size >= LONG]


def medium(texts: Sequence[Text]) -> list[Text]:
    """The texts between long and short."""
    return [text for text in texts if SHORT <= text.size < LONG]


def short(texts: Sequence[Text]) -> list[Text]:
    """The short texts, of a few lines."""
    return [text for text in texts if text.size < SHORT]
