"""Makes the calls that set and remove reactions and pins. Sans-I/O.

Slack takes an emoji's name (docs.slack.dev, reactions.add); a pin notifies nobody, silent or not.
"""

from __future__ import annotations

from gateway_core.authors import Mark, Problem, Sign
from gateway_plugin_slack.marks.names import name_of

METHODS = {
    "react": "reactions.add",
    "unreact": "reactions.remove",
    "pin": "pins.add",
    "unpin": "pins.remove",
}


def sign_of(mark: Mark) -> Sign | Problem:
    """The call, without its message; a problem for an emoji without a name."""
    method = METHODS[mark.what]
    if mark.what in ("pin", "unpin"):
        return Sign(method=method)
    name = name_of(mark.emoji)
    if name is None:
        text = f"Slack has no name for {mark.emoji!r}; write a custom emoji as :name:"
        return Problem("emoji", text)
    return Sign(method=method, arguments={"name": name})
