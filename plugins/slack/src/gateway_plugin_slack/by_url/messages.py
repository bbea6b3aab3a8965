"""Makes messages for secret URLs: response_urls and incoming webhooks. Sans-I/O.

Sources: docs.slack.dev, handling user interaction and incoming webhooks. Slack's answers are plain
texts: `ok`, or a word for the error. A response_url that was used five times, or is too old,
answers with 404.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway_core.authors import Attempt, Envelope, Problem, Send
from gateway_plugin_slack.ids import locate
from gateway_plugin_slack.methods import POST_EXTRA, POST_FIELDS
from gateway_plugin_slack.requests import content_of

ROOM = "webhook"
"""The one room of an account that is an incoming webhook."""


def answer_fields(attempt: Attempt) -> dict[str, Any]:
    """The payload of an answer to an interaction: a new message, for all or for one person."""
    fields = content_of(attempt, POST_FIELDS, POST_EXTRA)
    if attempt.thread is not None:
        fields["thread_ts"] = locate(attempt.room, attempt.thread)[1]
    seen = "ephemeral" if attempt.ephemeral else "in_channel"
    return {**fields, "response_type": seen, "replace_original": False}


def webhook_fields(attempt: Attempt) -> dict[str, Any]:
    """The payload of a message to an incoming webhook; it has a thread only if the attempt has."""
    fields = content_of(attempt, POST_FIELDS, POST_EXTRA)
    return fields if attempt.thread is None else {**fields, "thread_ts": attempt.thread}


def problems_of_webhook(envelope: Envelope) -> Iterator[Problem]:
    """Every problem of an envelope that an incoming webhook cannot send."""
    if envelope.external_room_id != ROOM:
        yield Problem("external_room_id", f"must be {ROOM!r}: the account is an incoming webhook")
    if not isinstance(envelope, Send):
        yield Problem("operation", "an incoming webhook can only send")
    elif envelope.reply_to is not None:
        yield Problem(
            "reply_to", "an incoming webhook learns no message ids: set thread_id instead"
        )
