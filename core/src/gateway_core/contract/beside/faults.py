"""Finds what is wrong with buttons on every channel. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args
from urllib.parse import urlsplit

from gateway_core.contract.beside.buttons import Button, ButtonStyle
from gateway_core.contract.errors import Problem
from gateway_core.contract.validators import UNSENDABLE, is_sendable, shown

MOST_BUTTONS = 100
"""Most rows of a message, and most buttons of a row; every channel accepts fewer."""


def button_problems(rows: object) -> Iterator[Problem]:
    """What is wrong with the buttons on every channel; a place is like `buttons.0.1.text`."""
    if not isinstance(rows, list | tuple):
        yield Problem(
            "buttons", f"must be a list of Buttons, or of rows of them, not {shown(rows)}"
        )
        return
    if len(rows) > MOST_BUTTONS:
        yield Problem("buttons", f"has {len(rows)} rows, at most {MOST_BUTTONS}")
        return
    for place, row in enumerate(rows):
        yield from _row(f"buttons.{place}", row)


def _row(place: str, row: object) -> Iterator[Problem]:
    if not isinstance(row, tuple):
        text = "must be a list of Buttons, as the other rows are"
        yield Problem(place, text if isinstance(row, Button) else f"{text}, not {shown(row)}")
    elif not row:
        yield Problem(place, "is a row without a button")
    elif len(row) > MOST_BUTTONS:
        yield Problem(place, f"has {len(row)} buttons, at most {MOST_BUTTONS}")
    else:
        for at, button in enumerate(row):
            yield from _button(f"{place}.{at}", button)


def _button(place: str, button: object) -> Iterator[Problem]:
    if not isinstance(button, Button):
        yield Problem(place, f"must be a Button, not {shown(button)}")
        return
    yield from _text(f"{place}.text", button.text)
    if button.value is not None:
        yield from _text(f"{place}.value", button.value)
    if button.url is not None:
        yield from _text(f"{place}.url", button.url) or _url(f"{place}.url", button.url)
    if (button.value is None) is (button.url is None):
        has = "neither" if button.value is None else "both"
        yield Problem(place, f"must have a value or a url: it has {has}")
    if button.style is not None and button.style not in get_args(ButtonStyle):
        words = " or ".join(get_args(ButtonStyle))
        yield Problem(f"{place}.style", f"must be {words}, not {shown(button.style)}")


def _text(place: str, text: object) -> list[Problem]:
    if not isinstance(text, str):
        return [Problem(place, f"must be a text, not {type(text).__name__}")]
    if not text.strip():
        return [Problem(place, "is empty")]
    return [] if is_sendable(text) else [Problem(place, UNSENDABLE)]


def _url(place: str, url: str) -> list[Problem]:
    """What is wrong with a URL of any scheme; each channel checks which schemes it opens."""
    if not url.isprintable() or " " in url:
        return [Problem(place, "has a space, a line break or another character that no URL has")]
    try:
        parts = urlsplit(url)
        fits = parts.scheme not in ("http", "https") or bool(parts.hostname)
    except ValueError:
        fits = False
    return [] if fits else [Problem(place, "is a URL without a host")]
