"""Refuses inline keyboards as Telegram does, and lists the buttons that they show.

Source: core.telegram.org/bots/api#inlinekeyboardbutton. The words are those of the Bot API server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_contrib.emulators.buttons import Button, Rows, mappings, text_or_none
from gateway_contrib.emulators.telegram.refusals import bad_request

_ACTIONS = frozenset(
    {
        "callback_data", "callback_game", "copy_text", "login_url", "pay", "switch_inline_query",
        "switch_inline_query_chosen_chat", "switch_inline_query_current_chat", "url", "web_app",
    }
)  # fmt: skip
_MOST_DATA = 64
_SCHEMES = ("http://", "https://", "tg://", "ton://")


def check(markup: Mapping[str, Any] | None) -> None:
    """Refuse buttons that do nothing, data of more than 64 bytes, and addresses of other kinds."""
    rows = (markup or {}).get("inline_keyboard")
    for row in rows if isinstance(rows, list) else ():
        for button in mappings(row):
            _check(button)


def _check(button: Mapping[str, Any]) -> None:
    if not _ACTIONS & button.keys():
        words = "Text buttons are unallowed in the inline keyboard"
        raise bad_request(f"can't parse inline keyboard button: {words}")
    for name in ("text", "callback_data", "url"):
        if not isinstance(button.get(name, ""), str):
            words = f'Field "{name}" must be of type String'
            raise bad_request(f"can't parse inline keyboard button: {words}")
    data, url = button.get("callback_data"), button.get("url")
    if isinstance(data, str) and not 0 < len(data.encode()) <= _MOST_DATA:
        raise bad_request("BUTTON_DATA_INVALID")
    if isinstance(url, str) and "://" in url and not url.lower().startswith(_SCHEMES):
        words = f"inline keyboard button URL '{url}' is invalid: Unsupported URL protocol"
        raise bad_request(words)


def shown(markup: Mapping[str, Any] | None) -> Rows:
    """The buttons of an inline keyboard."""
    rows = (markup or {}).get("inline_keyboard")
    return tuple(
        tuple(
            Button(str(b.get("text", "")), text_or_none(b.get("callback_data")), b.get("url"))
            for b in mappings(row)
        )
        for row in (rows if isinstance(rows, list) else ())
    )
