"""How a reaction or a pin is called. Sans-I/O.

The emoji stands in the path, quoted there: a character as Discord writes it, or `name:id` of one
of a server's own (discord.com/developers/docs/resources/message#create-reaction). Pins take the
permission PIN_MESSAGES; who may not is refused. A pin cannot be silent: the room shows it.
"""

from __future__ import annotations

import re

from gateway_core.authors import Mark, Problem, Sign
from gateway_plugin_discord.methods import PIN, REACTION

_CUSTOM = re.compile(r"<?(?:a?:)?([A-Za-z0-9_]{2,32}:[1-9][0-9]{0,19})>?")
LONGEST = 32
"""Characters of an emoji: the longest sequence has ten."""


def sign_of(mark: Mark) -> Sign | Problem:
    """The call, without its message; a problem for what is no emoji."""
    verb = "PUT" if mark.what in ("react", "pin") else "DELETE"
    if mark.what in ("pin", "unpin"):
        return Sign(method=f"{verb} {PIN}")
    emoji = _in_path(mark.emoji)
    if emoji is None:
        text = f"{mark.emoji!r} is neither an emoji nor the name:id of a custom emoji"
        return Problem("emoji", text)
    return Sign(method=f"{verb} {REACTION}", arguments={"emoji": emoji})


def _in_path(emoji: str) -> str | None:
    """`name:id`, also out of `<:name:id>` and `<a:name:id>`; a character as it is."""
    custom = _CUSTOM.fullmatch(emoji)
    if custom is not None:
        return custom[1]
    return emoji if len(emoji) <= LONGEST and not emoji.isascii() else None
