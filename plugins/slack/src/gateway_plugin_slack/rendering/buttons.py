"""Makes blocks of actions from buttons, and reports what Slack would refuse. Sans-I/O.

Source: docs.slack.dev, reference/block-kit: actions block and button element.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway_core.authors import Button, Json, Problem, Rows, places

BLOCKS = "blocks"
OWN = "gateway.buttons."
"""The beginning of the `block_id` of a row of buttons, by which an edit finds the row again."""
MOST_BLOCKS = 49
"""Most blocks of a message besides the one that shows its text."""
MOST_IN_ROW = 25
LONGEST_TEXT, LONGEST_VALUE, LONGEST_URL = 75, 2_000, 3_000
"""In characters."""
MOST_JSON = 9_000
"""Most characters of JSON of all blocks besides the text; more would leave the text too little."""
SCHEMES = ("http://", "https://", "slack://")


def fields_with(rows: Rows, extra: Mapping[str, Json]) -> Mapping[str, Json] | Sequence[Problem]:
    """`extra` with these buttons after its blocks, or the problems of the buttons."""
    others = others_of(extra.get(BLOCKS))
    blocks = [*others, *(_row(at, row) for at, row in enumerate(rows))]
    problems = [*_problems(rows)]
    if rows and len(blocks) > MOST_BLOCKS:
        problems.append(
            Problem("buttons", f"are {len(blocks)} with other blocks, Slack takes {MOST_BLOCKS}")
        )
    elif rows and (size := len(json.dumps(blocks, ensure_ascii=False))) > MOST_JSON:
        text = f"are {size} characters of JSON with other blocks, Slack takes {MOST_JSON}"
        problems.append(Problem("buttons", text))
    if problems:
        return problems
    rest = {name: value for name, value in extra.items() if name != BLOCKS}
    return {**rest, BLOCKS: blocks} if blocks else rest


def others_of(blocks: Any) -> list[Any]:
    """The blocks that are not the gateway's buttons."""
    return [block for block in blocks or () if not _is_own(block)]


def buttons_of(blocks: Any) -> list[Any]:
    """The blocks that are the gateway's buttons."""
    return [block for block in blocks or () if _is_own(block)]


def _is_own(block: Any) -> bool:
    named = isinstance(block, Mapping) and block.get("type") == "actions"
    return named and str(block.get("block_id", "")).startswith(OWN)


def _row(at: int, row: Sequence[Button]) -> dict[str, Any]:
    elements = [_shown(f"{OWN}{at}.{place}", button) for place, button in enumerate(row)]
    return {"type": "actions", "block_id": f"{OWN}{at}", "elements": elements}


def _shown(name: str, button: Button) -> dict[str, Any]:
    text = {"type": "plain_text", "text": button.text, "emoji": True}
    shown = {
        "type": "button",
        "action_id": name,
        "text": text,
        "value": button.value,
        "url": button.url,
        "style": button.style,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _problems(rows: Rows) -> Iterator[Problem]:
    for at, row in enumerate(rows):
        if len(row) > MOST_IN_ROW:
            yield Problem(f"buttons.{at}", f"has {len(row)} buttons, Slack takes {MOST_IN_ROW}")
    for place, button in places(rows):
        yield from _long(f"{place}.text", button.text, LONGEST_TEXT)
        yield from _long(f"{place}.value", button.value, LONGEST_VALUE)
        yield from _long(f"{place}.url", button.url, LONGEST_URL)
        if button.url is not None and not button.url.lower().startswith(SCHEMES):
            yield Problem(f"{place}.url", f"must begin with {', '.join(SCHEMES)}")


def _long(place: str, text: str | None, most: int) -> Iterator[Problem]:
    if text is not None and len(text) > most:
        yield Problem(place, f"has {len(text)} characters, Slack takes {most}")
