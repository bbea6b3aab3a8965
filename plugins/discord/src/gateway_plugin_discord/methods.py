"""Lists Discord's methods, which are routes: limits' names, fields, and which may be repeated.

Sans-I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from urllib.parse import quote

import attrs

_METHOD = re.compile(r"(GET|POST|PUT|PATCH|DELETE) ((?:/(?:\{[a-z_]+\}|[A-Za-z0-9_@-]+))+)")
_PARAMETER = re.compile(r"\{([a-z_]+)\}")
_WITHOUT_BOT = ("/interactions/", "/webhooks/")

CHANNEL = "channel"
"""The path parameter that is the attempt's own room or thread, never an argument."""


@attrs.frozen
class Route:
    """A verb and a path with parameters in braces: `POST /channels/{channel}/messages`.

    Limits are split by the channel (discord.com/developers/docs/topics/rate-limits).
    """

    verb: str
    path: str

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names in braces, in order."""
        return tuple(_PARAMETER.findall(self.path))

    @cached_property
    def of_channel(self) -> bool:
        """Whether it is a route of the attempt's room; such routes have limits of their own."""
        return CHANNEL in self.parameters

    @cached_property
    def draws(self) -> bool:
        """Whether attempts of the route wait for limits; a sign of typing is too brief to wait."""
        return not self.path.endswith("/typing")

    @cached_property
    def method(self) -> str:
        """The route as a call names it."""
        return f"{self.verb} {self.path}"

    @cached_property
    def of_webhook(self) -> bool:
        """Whether a token in the path, not the bot's, gives access: interactions and webhooks."""
        return self.path.startswith(_WITHOUT_BOT)

    @cached_property
    def draws_global(self) -> bool:
        """Whether the bot's global limit counts the route; not for interactions and webhooks."""
        return self.draws and not self.of_webhook

    def bucket(self, channel: str) -> str:
        """The name of the route's limit in `channel` until Discord names the bucket."""
        return f"{self.verb} {self.path.replace('{channel}', channel)}"

    def fill(self, values: Mapping[str, str]) -> str:
        """The path with every parameter filled in; values are quoted, so that none has a brace."""
        path = self.path
        for name in self.parameters:
            path = path.replace(f"{{{name}}}", quote(values[name], safe="@"))
        return path


_MESSAGE = "/channels/{channel}/messages/{message}"
CREATE = Route("POST", "/channels/{channel}/messages")
PROBE = Route("GET", "/users/@me")
TYPING = Route("POST", "/channels/{channel}/typing")
CALLBACK = Route("POST", "/interactions/{interaction}/{token}/callback")
ANSWER_FIRST = Route("PATCH", "/webhooks/{webhook}/{token}/messages/@original")
REVISION = Route("PATCH", "/webhooks/{webhook}/{token}/messages/{message}")
FOLLOW_UP = Route("POST", "/webhooks/{webhook}/{token}")
OPEN_DM = Route("POST", "/users/@me/channels")
ROUTES: Mapping[str, Route] = {
    "send": CREATE,
    "upload": CREATE,
    "answer": FOLLOW_UP,
    "revise": REVISION,
    "edit": Route("PATCH", _MESSAGE),
    "delete": Route("DELETE", _MESSAGE),
    "probe": PROBE,
}
"""The route of each operation; a call names its own route. The first answer to an interaction has
another route, whose limits also belong to the interaction's token."""

MESSAGE = "message"
"""The path parameter that is a call's target message."""

REACTION = f"{_MESSAGE}/reactions/{{emoji}}/@me"
PIN = "/channels/{channel}/messages/pins/{message}"
"""The paths of the bot's own reaction, and of a pin: PUT sets it, and DELETE removes it."""

_ON_MESSAGE = (REACTION, PIN, "/channels/{channel}/pins/{message}")
_ANSWER = "/webhooks/{webhook}/{token}/messages"
_REPEAT_SAFE = frozenset(
    {f"{verb} {path}" for verb in ("PUT", "DELETE") for path in _ON_MESSAGE}
    | {
        f"{verb} {_ANSWER}/{name}"
        for verb in ("DELETE", "GET", "PATCH")
        for name in ("@original", "{message}")
    }
    | {f"GET {path}" for path in ("/channels/{channel}", "/channels/{channel}/messages", _MESSAGE)}
    | {"GET /users/@me", TYPING.method, CALLBACK.method}
)
REPEAT_SAFE_CALLS = _REPEAT_SAFE | {
    method.replace("{channel}", "{channel_id}") for method in _REPEAT_SAFE
}
"""Calls that may be made twice: the second call changes nothing. Discord takes only one answer to
an interaction."""

ANSWERED_BY_MESSAGE = frozenset(
    {CREATE.method, f"GET {_MESSAGE}", f"PATCH {_MESSAGE}", f"POST {_MESSAGE}/crosspost"}
)
"""Routes whose answer is a message of the attempt's channel."""

CREATE_FIELDS = frozenset(
    {"allowed_mentions", "components", "content", "embeds", "enforce_nonce", "flags"}
    | {"message_reference", "nonce", "poll", "shared_client_theme", "sticker_ids", "tts"}
)
EDIT_FIELDS = frozenset(
    {"allowed_mentions", "attachments", "components", "content", "embeds", "flags"}
)
"""The fields of a new message, and those of an edit; no other field is sent
(discord.com/developers/docs/resources/message#create-message, #edit-message)."""
SENDER_FIELDS = frozenset({"avatar_url", "username"})
"""The fields by which a webhook's new message names its sender, in all of its parts
(discord.com/developers/docs/resources/webhook#execute-webhook)."""

SUPPRESS_EMBEDS = 1 << 2
SUPPRESS_NOTIFICATIONS = 1 << 12
"""Message flags (discord.com/developers/docs/resources/message#message-object-message-flags)."""

COMPONENTS_V2 = 1 << 15
NOT_IN_V2 = frozenset({"content", "embeds", "poll", "sticker_ids"})
"""The flag of a message that consists of components alone, and the fields that it cannot have
(discord.com/developers/docs/components/reference). No edit takes the flag away."""
BESIDE_V2 = "Discord takes none with Components V2 (flag 1 << 15): put it into a component"
"""Why a message with that flag cannot have one of these fields."""

EDIT_FLAGS = SUPPRESS_EMBEDS | COMPONENTS_V2
"""The flags that an edit may name."""


@lru_cache(maxsize=256)
def route_of_method(method: str) -> Route | None:
    """The route that a call's method names: `POST /channels/{channel}/typing`; None: no route.

    The room may be written `{channel_id}`, as Discord's pages do.
    """
    found = _METHOD.fullmatch(method.replace("{channel_id}", "{channel}"))
    return Route(found[1], found[2]) if found else None


def route_of(operation: str) -> Route | None:
    """The route of an operation: `send`, `edit`, `answer`, `call:<method>`; None: it has none."""
    if operation.startswith("call:"):
        return route_of_method(operation.removeprefix("call:"))
    return ROUTES.get(operation)
