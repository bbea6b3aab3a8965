"""Makes components from buttons, and reports what Discord would refuse. Sans-I/O.

Source: discord.com/developers/docs/components/reference#button and #action-row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway_core.authors import Button, Json, Problem, Rows, places
from gateway_plugin_discord.methods import COMPONENTS_V2
from gateway_plugin_discord.settings import DiscordSettings

COMPONENTS = "components"
ACTION_ROW, BUTTON = 1, 2
STYLES = {None: 2, "primary": 1, "danger": 4}
LINK = 5
"""The one style of a button that opens a URL."""
MOST_ROWS, MOST_IN_ROW = 5, 5
LONGEST_TEXT, LONGEST_VALUE, LONGEST_URL = 80, 100, 512
"""Most characters of each; a button's value is its `custom_id`."""
SCHEMES = ("http://", "https://", "discord://")


def fields_with(
    settings: DiscordSettings, rows: Rows, extra: Mapping[str, Json]
) -> Mapping[str, Json] | Sequence[Problem]:
    """`extra` with these buttons in place of its components, or the problems of the buttons."""
    flags = extra.get("flags")
    if isinstance(flags, int) and flags & COMPONENTS_V2:
        text = "a message with Components V2 (flag 1 << 15) takes buttons in its `extra`"
        return [Problem("buttons", text)]
    if rows and settings.webhook_url is not None:
        return [Problem("buttons", "a webhook that belongs to no application cannot send buttons")]
    if problems := [*_problems(rows)]:
        return problems
    others = {name: value for name, value in extra.items() if name != COMPONENTS}
    if not rows:
        return others
    shown = [{"type": ACTION_ROW, COMPONENTS: list(map(_shown, row))} for row in rows]
    return {**others, COMPONENTS: shown}


def _shown(button: Button) -> dict[str, Any]:
    shown = {"type": BUTTON, "label": button.text}
    if button.url is not None:
        return {**shown, "style": LINK, "url": button.url}
    return {**shown, "style": STYLES[button.style], "custom_id": button.value}


def _problems(rows: Rows) -> Iterator[Problem]:
    if len(rows) > MOST_ROWS:
        yield Problem("buttons", f"has {len(rows)} rows, Discord takes {MOST_ROWS}")
    for at, row in enumerate(rows):
        if len(row) > MOST_IN_ROW:
            yield Problem(f"buttons.{at}", f"has {len(row)} buttons, Discord takes {MOST_IN_ROW}")
    known = dict[str, str]()
    for place, button in places(rows):
        yield from _long(f"{place}.text", button.text, LONGEST_TEXT)
        yield from _long(f"{place}.value", button.value, LONGEST_VALUE)
        yield from _long(f"{place}.url", button.url, LONGEST_URL)
        if button.url is not None and not button.url.lower().startswith(SCHEMES):
            yield Problem(f"{place}.url", f"must begin with {', '.join(SCHEMES)}")
        if button.value is not None and (first := known.setdefault(button.value, place)) != place:
            yield Problem(
                f"{place}.value", f"is the same as that of {first}: each must be different"
            )


def _long(place: str, text: str | None, most: int) -> Iterator[Problem]:
    if text is not None and len(text) > most:
        yield Problem(place, f"has {len(text)} characters, Discord takes {most}")
