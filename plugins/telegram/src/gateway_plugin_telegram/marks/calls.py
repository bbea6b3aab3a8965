"""How a reaction or a pin is called. Sans-I/O.

setMessageReaction replaces: a bot has one reaction on a message, so that another takes its place,
and whichever there is goes with `unreact`. pinChatMessage notifies all members of a group unless
it is told not to (core.telegram.org/bots/api#setmessagereaction, #pinchatmessage).
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
