"""Makes answers to interactions, which are sent by their token, not as the bot. Sans-I/O.

An interaction must be acknowledged within three seconds, and answered within fifteen minutes
(discord.com/developers/docs/interactions/receiving-and-responding).
"""

from __future__ import annotations

from typing import Any

import attrs

from gateway_core.authors import Address, Attempt, Interaction, Sign
from gateway_plugin_discord.methods import (
    ANSWER_FIRST,
    CALLBACK,
    EDIT_FIELDS,
    FOLLOW_UP,
    REVISION,
    TYPING,
    Route,
)
from gateway_plugin_discord.requests import edit_body, message_body

DEFERRED_MESSAGE, DEFERRED_UPDATE = 5, 6
"""Types of callbacks. The first says that an answer follows, and shows "is thinking …". The second
shows nothing; it is for a press, since an edit of its deferred answer would overwrite the button's
message."""
EPHEMERAL = 1 << 6
"""The flag of a message that only the interaction's user sees."""

TYPES_EVERY = 8.0
"""Seconds between two signs of typing; Discord shows a sign for ten
(discord.com/developers/docs/resources/channel#trigger-typing-indicator)."""


def acknowledgement(interaction: Interaction, *, ephemeral: bool) -> Sign:
    """The callback that defers the answer, and that decides whether everybody sees the answer."""
    arguments: dict[str, Any] = {
        "interaction": interaction.id,
        "token": interaction.token.reveal(),
        "type": DEFERRED_UPDATE if interaction.asked == "press" else DEFERRED_MESSAGE,
    }
    if ephemeral and interaction.asked != "press":
        arguments["data"] = {"flags": EPHEMERAL}
    return Sign(method=CALLBACK.method, arguments=arguments)


def typing_of(address: Address) -> Sign | None:
    """Typing in the channel; None after a command or a form: the deferred answer shows it."""
    asked = address.interaction
    if asked is not None and asked.asked != "press":
        return None
    return Sign(method=TYPING.method, every=TYPES_EVERY)


def answer_of(attempt: Attempt) -> tuple[Attempt, Route, dict[str, Any]]:
    """The attempt with the token among its arguments, its route, and its body.

    The very first answer is an edit of the deferred answer, which may be repeated. Other answers,
    answers to a press, and answers with fields that no edit takes are follow-ups.
    """
    interaction = attempt.interaction
    assert interaction is not None  # noqa: S101 - core says so of this operation
    token = {"webhook": interaction.app_id, "token": interaction.token.reveal()}
    by_token = attrs.evolve(attempt, arguments=token, extra=attempt.extra or None)
    if attempt.operation == "revise":
        return by_token, REVISION, edit_body(attempt)
    beyond_edits = (attempt.extra or {}).keys() - EDIT_FIELDS
    if interaction.answer == 0 and interaction.asked != "press" and not beyond_edits:
        return by_token, ANSWER_FIRST, edit_body(by_token)
    body = message_body(by_token)
    if attempt.ephemeral:
        body["flags"] |= EPHEMERAL
    return by_token, FOLLOW_UP, body
