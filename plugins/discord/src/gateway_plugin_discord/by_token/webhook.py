"""Makes requests for an account that is only an incoming webhook's URL. Sans-I/O.

Source: discord.com/developers/docs/resources/webhook#execute-webhook and the routes after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import attrs

from gateway_core.authors import Attempt, Call, Envelope, Problem, Send
from gateway_plugin_discord.methods import FOLLOW_UP, SENDER_FIELDS, Route
from gateway_plugin_discord.requests import edit_body, message_body

ROOM = "webhook"
"""The one room of such an account: Discord does not say in advance which channel it is."""

LONGEST_NAME = 80
"""Most characters of a `username`."""

_MESSAGE = "/webhooks/{webhook}/{token}/messages/{message}"
DESCRIBE = Route("GET", "/webhooks/{webhook}/{token}")
ROUTES: Mapping[str, Route] = {
    "send": FOLLOW_UP,
    "edit": Route("PATCH", _MESSAGE),
    "delete": Route("DELETE", _MESSAGE),
}


def request_of(
    attempt: Attempt, webhook: Mapping[str, str]
) -> tuple[Attempt, Route, dict[str, Any] | None, str]:
    """The attempt with the token among its arguments, its route, body, and query."""
    by_token = attrs.evolve(attempt, arguments=dict(webhook))
    query = {} if attempt.thread is None else {"thread_id": attempt.thread}
    if attempt.operation in ("send", "upload"):
        return by_token, ROUTES["send"], message_body(attempt), urlencode({**query, "wait": "true"})
    body = edit_body(attempt) if attempt.operation == "edit" else None
    return by_token, ROUTES[attempt.operation], body, urlencode(query)


def problems_of_webhook(envelope: Envelope) -> Iterable[Problem]:
    """Every problem of an envelope that a webhook cannot deliver."""
    if envelope.external_room_id != ROOM:
        yield Problem("external_room_id", f"must be {ROOM!r}: the account is a webhook")
    if isinstance(envelope, Call):
        yield Problem("method", "a webhook can only send, edit and delete")
    if isinstance(envelope, Send) and envelope.reply_to is not None:
        yield Problem("reply_to", "a webhook cannot reply to a message: leave it out")
    if isinstance(envelope, Send):
        yield from _sender_problems(envelope.extra or {})


def _sender_problems(extra: Mapping[str, Any]) -> Iterable[Problem]:
    for name in sorted(SENDER_FIELDS & extra.keys()):
        if not isinstance(extra[name], str):
            yield Problem(f"extra.{name}", f"must be a text, not {type(extra[name]).__name__}")
    sender = extra.get("username")
    if isinstance(sender, str) and not 0 < len(sender.strip()) <= LONGEST_NAME:
        yield Problem("extra.username", f"must have 1 to {LONGEST_NAME} characters")
