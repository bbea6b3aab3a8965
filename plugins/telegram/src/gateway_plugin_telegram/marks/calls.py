"""Makes the calls that set and remove reactions and pins. Sans-I/O.

A bot has one reaction on a message: setMessageReaction replaces it, and `unreact` removes it,
whichever it is. pinChatMessage notifies all members of a group, unless it has
`disable_notification` (core.telegram.org/bots/api#setmessagereaction, #pinchatmessage).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_core.authors import Mark, Problem, Sign
from gateway_plugin_telegram.marks.emoji import is_custom, known_as


def sign_of(mark: Mark) -> Sign | Problem:
    """The call, without its message; a problem for an emoji that bots cannot react with."""
    if mark.what == "pin":
        arguments = {"disable_notification": True} if mark.silent else {}
        return Sign(method="pinChatMessage", arguments=arguments)
    if mark.what == "unpin":
        return Sign(method="unpinChatMessage")
    reaction = _reaction(mark.emoji)
    if reaction is None:
        text = f"{mark.emoji!r} is not an emoji that bots may react with on Telegram"
        return Problem("emoji", text)
    given = [reaction] if mark.what == "react" else []
    return Sign(method="setMessageReaction", arguments={"reaction": given})


def _reaction(emoji: str) -> Mapping[str, Any] | None:
    if is_custom(emoji):
        return {"type": "custom_emoji", "custom_emoji_id": emoji}
    known = known_as(emoji)
    return None if known is None else {"type": "emoji", "emoji": known}
