"""Makes the calls that set and remove reactions and pins. Sans-I/O.

The emoji is quoted in the path: a character as Discord writes it, or the `name:id` of a server's
own emoji (discord.com/developers/docs/resources/message#create-reaction). Pins need the permission
PIN_MESSAGES; without it, Discord refuses them. A pin cannot be silent: the room shows it.
"""

from __future__ import annotations

import re

from gateway_core.authors import Mark, Problem, Sign
from gateway_plugin_discord.methods import PIN, REACTION

_CUSTOM = re.compile(r"<?(?:a?:)?([A-Za-z0-9_]{2,32}:[1-9][0-9]{0,19})>?")
LONGEST = 32
"""Most characters of an emoji; the longest sequence has ten."""


def sign_of(mark: Mark) -> Sign | Problem:
    """The call, without its message; a problem if the mark's `emoji` is not an emoji."""
    verb = "PUT" if mark.what in ("react", "pin") else "DELETE"
    if mark.what in ("pin", "unpin"):
        return Sign(method=f"{verb} {PIN}")
    emoji = _in_path(mark.emoji)
    if emoji is None:
        text = f"{mark.emoji!r} is neither an emoji nor the name:id of a custom emoji"
        return Problem("emoji", text)
    return Sign(method=f"{verb} {REACTION}", arguments={"emoji": emoji})


def _in_path(emoji: str) -> str | None:
    """`name:id`, also taken from `<:name:id>` and `<a:name:id>`; a character is unchanged."""
    custom = _CUSTOM.fullmatch(emoji)
    if custom is not None:
        return custom[1]
    return emoji if len(emoji) <= LONGEST and not emoji.isascii() else None
