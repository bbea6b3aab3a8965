"""The Web API's methods: the fields each takes, which are given the room, which may be repeated.

Every name in the tables is of docs.slack.dev/reference/methods, each method's own page.
"""

from __future__ import annotations

from collections.abc import Mapping

METHODS = {
    "send": "chat.postMessage",
    "edit": "chat.update",
    "delete": "chat.delete",
    "start": "chat.startStream",
    "append": "chat.appendStream",
    "stop": "chat.stopStream",
}
"""The method behind each operation."""

UPDATE_EXTRA = frozenset({"attachments", "blocks", "file_ids", "metadata", "reply_broadcast"})
POST_EXTRA = frozenset(
    {"attachments", "blocks", "icon_emoji", "icon_url", "metadata", "mrkdwn", "reply_broadcast"}
    | {"unfurl_links", "unfurl_media", "username"}
)
"""Slack's own fields of a message that `extra` may set. An unknown one would be passed over in
silence by Slack; of what came with a message, its edits repeat what chat.update knows."""

UPDATE_FIELDS = frozenset({"blocks", "link_names", "parse", "text"})
POST_FIELDS = UPDATE_FIELDS | {"mrkdwn", "thread_ts", "unfurl_links", "unfurl_media"}
"""Which of a part's fields a method knows: chat.update has no `mrkdwn`, thread or unfurling."""

NOT_PLAIN = frozenset({"blocks", "attachments"})
"""What of `extra` is left out once a part is sent as plain text."""

ROOM_CALLS: Mapping[str, tuple[str, ...]] = {
    "assistant.threads.setStatus": ("channel_id", "thread_ts"),
    "assistant.threads.setSuggestedPrompts": ("channel_id", "thread_ts"),
    "assistant.threads.setTitle": ("channel_id", "thread_ts"),
    "bookmarks.add": ("channel_id",),
    "chat.appendStream": ("channel",),
    "chat.delete": ("channel",),
    "chat.getPermalink": ("channel",),
    "chat.meMessage": ("channel",),
    "chat.postEphemeral": ("channel", "thread_ts"),
    "chat.postMessage": ("channel", "thread_ts"),
    "chat.scheduleMessage": ("channel", "thread_ts"),
    "chat.startStream": ("channel", "thread_ts"),
    "chat.stopStream": ("channel",),
    "chat.update": ("channel",),
    "conversations.info": ("channel",),
    "conversations.join": ("channel",),
    "pins.add": ("channel",),
    "pins.remove": ("channel",),
    "reactions.add": ("channel",),
    "reactions.remove": ("channel",),
}
"""Methods of a `Call` that are given the envelope's room (and thread) unless it names its own."""

REPEAT_SAFE_CALLS = frozenset(
    {
        "assistant.threads.setStatus",
        "assistant.threads.setSuggestedPrompts",
        "assistant.threads.setTitle",
        "chat.delete",
        "chat.getPermalink",
        "chat.update",
        "conversations.info",
        "conversations.join",
        "conversations.open",
        "pins.add",
        "pins.remove",
        "reactions.add",
        "reactions.remove",
        "users.info",
        "views.publish",
        "views.update",
    }
)
"""Calls that change nothing when they are made twice: a repeated reaction or pin is refused, and
that refusal counts as success."""


def method_of(operation: str) -> str:
    """The Web API's method for an operation: `chat.update` for `edit`, `x.y` for `call:x.y`."""
    return METHODS.get(operation) or operation.removeprefix("call:")
