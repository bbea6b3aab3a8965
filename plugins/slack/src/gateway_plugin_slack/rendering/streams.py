"""Decides which answers Slack shows as a stream, and makes the fields for it. Sans-I/O.

Source: docs.slack.dev, chat.startStream, chat.appendStream, chat.stopStream. A stream is always in
a thread; outside direct messages, Slack must know who is answered.
"""

from __future__ import annotations

import re
from typing import Any

from gateway_core.authors import Attempt, Envelope, Send, Streaming
from gateway_plugin_slack.ids import is_conversation, is_ts, locate
from gateway_plugin_slack.requests import target_of
from gateway_plugin_slack.settings import Settings

STOP_EXTRA = frozenset({"blocks", "metadata"})
"""Slack's own fields that chat.stopStream takes."""

_PING = re.compile("<(?=[@!#])")


def streaming_of(settings: Settings, envelope: Envelope) -> Streaming | None:
    """How Slack shows this answer while it grows; None: by edits.

    Slack's methods stream only Markdown that notifies nobody, without fields of Slack's own while
    it grows, in a thread of a conversation that is named by its id.
    """
    if settings.streaming != "auto" or not isinstance(envelope, Send) or envelope.grows is None:
        return None
    if envelope.format != "markdown" or envelope.mentions or envelope.extra:
        return None
    room, grows = envelope.external_room_id, envelope.grows
    direct = grows.direct or room.startswith("D")
    thread = _thread(settings, envelope, direct=direct)
    person = {"recipient_user_id": grows.user_id, "recipient_team_id": grows.team_id}
    if thread is None or not is_conversation(room) or not (direct or all(person.values())):
        return None
    known = {name: value for name, value in person.items() if value}
    return Streaming(
        how="append",
        lasts=settings.stream_seconds,
        most=settings.stream_characters,
        extra=STOP_EXTRA,
        arguments={"thread_ts": thread, **known},
    )


def _thread(settings: Settings, envelope: Send, *, direct: bool) -> str | None:
    """The thread of the stream; in a direct message without one, the thread below the question."""
    thread = envelope.thread_id or envelope.reply_to
    if thread is None and direct and settings.stream_threads and envelope.grows is not None:
        thread = envelope.grows.message_id
    if thread is None:
        return None
    _, ts = locate(envelope.external_room_id, thread)
    return ts if is_ts(ts) else None


def stream_fields(attempt: Attempt) -> dict[str, Any]:
    """The fields of the operation's method."""
    text = _PING.sub("&lt;", str(attempt.payload.get("text", "")))
    fields: dict[str, Any] = {"markdown_text": text} if text else {}
    if attempt.operation == "start":
        return {"channel": attempt.room, **attempt.arguments, **fields}
    extra = {name: value for name, value in (attempt.extra or {}).items() if name in STOP_EXTRA}
    return {**target_of(attempt), **fields, **extra}
