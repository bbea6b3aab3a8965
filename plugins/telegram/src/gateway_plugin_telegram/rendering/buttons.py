"""Makes an inline keyboard of buttons, and reports what Telegram would refuse. Sans-I/O.

Source: core.telegram.org/bots/api#inlinekeyboardbutton.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway_core.authors import Button, Json, Problem, Rows, places

MARKUP = "reply_markup"
MOST_BYTES = 64
"""Most bytes of a button's value, its `callback_data`."""
SCHEMES = ("http://", "https://", "tg://")


def fields_with(rows: Rows, extra: Mapping[str, Json]) -> Mapping[str, Json] | Sequence[Problem]:
    """`extra` with these buttons in place of its keyboard, or the problems of the buttons."""
    if problems := [*_problems(rows)]:
        return problems
    others = {name: value for name, value in extra.items() if name != MARKUP}
    if not rows:
        return others
    return {**others, MARKUP: {"inline_keyboard": [list(map(_shown, row)) for row in rows]}}


def _shown(button: Button) -> dict[str, Any]:
    shown = {
        "text": button.text,
        "callback_data": button.value,
        "url": button.url,
        "style": button.style,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _problems(rows: Rows) -> Iterator[Problem]:
    for place, button in places(rows):
        size = len((button.value or "").encode())
        if size > MOST_BYTES:
            yield Problem(f"{place}.value", f"has {size} bytes, Telegram takes {MOST_BYTES}")
        if button.url is not None and not button.url.lower().startswith(SCHEMES):
            yield Problem(f"{place}.url", f"must begin with {', '.join(SCHEMES)}")
