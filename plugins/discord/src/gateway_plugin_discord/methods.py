"""The routes of Discord's HTTP API that attempts take, and how their limits are named. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from urllib.parse import quote, urlencode

import attrs

from gateway_core import Attempt

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
        """Whether it is a route of the attempt's room: those have limits of their own."""
        return CHANNEL in self.parameters

    @cached_property
    def draws(self) -> bool:
        """Whether attempts wait for limits here: typing is too fleeting to wait for."""
        return not self.path.endswith("/typing")

    @cached_property
    def method(self) -> str:
        """The route as a call names it."""
        return f"{self.verb} {self.path}"

    @cached_property
    def of_webhook(self) -> bool:
        """Whether a token of its own, not the bot's, opens it: interactions and webhooks."""
        return self.path.startswith(_WITHOUT_BOT)

    @cached_property
    def draws_global(self) -> bool:
        """Interactions and webhooks do not count towards the bot's global limit."""
        return self.draws and not self.of_webhook

    def bucket(self, channel: str) -> str:
        """The name of its limit in `channel` until Discord names the bucket."""
        return f"{self.verb} {self.path.replace('{channel}', channel)}"

    def fill(self, values: Mapping[str, str]) -> str:
        """The path with every parameter filled in; quoted, so that none has a brace."""
        path = self.path
        for name in self.parameters:
            path = path.replace(f"{{{name}}}", quote(values[name], safe="@"))
        return path


_MESSAGE = "/channels/{channel}/messages/{message}"
CREATE = Route("POST", "/channels/{channel}/messages")
PROBE = Route("GET", "/users/@me")
ROUTES: Mapping[str, Route] = {
    "send": CREATE,
    "edit": Route("PATCH", _MESSAGE),
    "delete": Route("DELETE", _MESSAGE),
    "probe": PROBE,
}
"""The route of each operation; a call names its own."""


_ON_MESSAGE = (
    f"{_MESSAGE}/reactions/{{emoji}}/@me",
    "/channels/{channel}/messages/pins/{message}",
    "/channels/{channel}/pins/{message}",
)
_ANSWER = "/webhooks/{webhook}/{token}/messages"
REPEAT_SAFE_CALLS = frozenset(
    {f"{verb} {path}" for verb in ("PUT", "DELETE") for path in _ON_MESSAGE}
    | {
        f"{verb} {_ANSWER}/{name}"
        for verb in ("DELETE", "GET", "PATCH")
        for name in ("@original", "{message}")
    }
    | {f"GET {path}" for path in ("/channels/{channel}", "/channels/{channel}/messages", _MESSAGE)}
    | {"GET /users/@me", "POST /channels/{channel}/typing"}
    | {"POST /interactions/{interaction}/{token}/callback"}
)
"""Calls that change nothing when they are made twice; an interaction is answered once only."""


@lru_cache(maxsize=256)
def route_of_method(method: str) -> Route | None:
    """The route that a call's method names, `POST /channels/{channel}/typing`; None: it is none."""
    found = _METHOD.fullmatch(method)
    return Route(found[1], found[2]) if found else None


def route_of(operation: str) -> Route | None:
    """The route of `send`, `edit`, `delete`, `probe` or `call:<method>`; None: it has none."""
    if operation.startswith("call:"):
        return route_of_method(operation.removeprefix("call:"))
    return ROUTES.get(operation)


def channel_of(attempt: Attempt) -> str:
    """The Discord channel that an attempt is made in: a thread is a channel of its own."""
    return attempt.thread or attempt.room


def path_of(route: Route, attempt: Attempt) -> str:
    """The path of an attempt, with the query where a call's arguments have no body to go in."""
    if not attempt.arguments and attempt.message_id is None:
        return route.fill({CHANNEL: channel_of(attempt)})
    values = {name: str(value) for name, value in attempt.arguments.items()}
    if attempt.message_id is not None:
        values["message"] = attempt.message_id
    path = route.fill({**values, CHANNEL: channel_of(attempt)})
    rest = arguments_left(route, attempt.arguments)
    return f"{path}?{urlencode(rest)}" if rest and not has_body(route) else path


def has_body(route: Route) -> bool:
    """Whether arguments travel as a JSON body; else they are the query."""
    return route.verb in ("POST", "PUT", "PATCH")


def arguments_left(route: Route, arguments: Mapping[str, object]) -> dict[str, object]:
    """The arguments that the path does not take."""
    return {name: value for name, value in arguments.items() if name not in route.parameters}
