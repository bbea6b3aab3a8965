"""Lists Web API methods: their fields, which ones get the room, and which may be repeated.

Every name in the tables comes from docs.slack.dev/reference/methods, each method's own page.
"""

from __future__ import annotations

from collections.abc import Mapping

METHODS = {
    "send": "chat.postMessage",
    "upload": "files.completeUploadExternal",
    "edit": "chat.update",
    "delete": "chat.delete",
    "start": "chat.startStream",
    "append": "chat.appendStream",
    "stop": "chat.stopStream",
}
"""The method that performs each operation."""

UPDATE_EXTRA = frozenset({"attachments", "blocks", "file_ids", "metadata", "reply_broadcast"})
POST_EXTRA = frozenset(
    {"attachments", "blocks", "icon_emoji", "icon_url", "metadata", "mrkdwn", "reply_broadcast"}
    | {"unfurl_links", "unfurl_media", "username"}
)
"""Slack's own fields of a message that `extra` may set. Slack would silently ignore an unknown
field. An edit repeats those of the message's fields that chat.update knows."""

UPDATE_FIELDS = frozenset({"blocks", "link_names", "parse", "text"})
POST_FIELDS = UPDATE_FIELDS | {"mrkdwn", "thread_ts", "unfurl_links", "unfurl_media"}
"""Which of a part's fields a method knows: chat.update has no `mrkdwn`, thread or unfurling."""

NOT_PLAIN = frozenset({"blocks", "attachments"})
"""Fields of `extra` that a part in plain text is sent without; its buttons stay."""

_IN_CHANNEL = """
    chat.appendStream chat.delete chat.deleteScheduledMessage chat.getPermalink chat.meMessage
    chat.stopStream chat.unfurl chat.update conversations.archive conversations.close
    conversations.history conversations.info conversations.invite conversations.join
    conversations.kick conversations.leave conversations.mark conversations.members
    conversations.open conversations.rename conversations.replies conversations.setPurpose
    conversations.setTopic conversations.unarchive pins.add pins.list pins.remove
    reactions.add reactions.get reactions.remove
"""
_IN_CHANNEL_AND_THREAD = """
    chat.postEphemeral chat.postMessage chat.scheduleMessage chat.startStream
"""
_BY_CHANNEL_ID = """
    bookmarks.add bookmarks.edit bookmarks.list bookmarks.remove conversations.canvases.create
"""
_BY_CHANNEL_ID_AND_THREAD = """
    assistant.threads.setStatus assistant.threads.setSuggestedPrompts assistant.threads.setTitle
    files.completeUploadExternal
"""
ROOM_CALLS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_IN_CHANNEL.split(), ("channel",)),
    **dict.fromkeys(_IN_CHANNEL_AND_THREAD.split(), ("channel", "thread_ts")),
    **dict.fromkeys(_BY_CHANNEL_ID.split(), ("channel_id",)),
    **dict.fromkeys(_BY_CHANNEL_ID_AND_THREAD.split(), ("channel_id", "thread_ts")),
}
"""Methods of a `Call` that get the envelope's room (and thread), unless the call names its own."""

INSTEAD_OF_ROOM: Mapping[str, tuple[str, ...]] = {
    "chat.unfurl": ("unfurl_id",),
    "conversations.open": ("users",),
    "files.completeUploadExternal": ("channels",),
    "reactions.get": ("file", "file_comment"),
    "reactions.remove": ("file", "file_comment"),
}
"""The arguments that a method takes instead of a room."""

MESSAGE_CALLS: Mapping[str, str] = {
    "chat.appendStream": "ts",
    "chat.delete": "ts",
    "chat.getPermalink": "message_ts",
    "chat.stopStream": "ts",
    "chat.unfurl": "ts",
    "chat.update": "ts",
    "conversations.mark": "ts",
    "conversations.replies": "ts",
    "pins.add": "timestamp",
    "pins.remove": "timestamp",
    "reactions.add": "timestamp",
    "reactions.get": "timestamp",
    "reactions.remove": "timestamp",
}
"""Methods of a `Call` that may have a target, and each method's name for the target's `ts`."""

MADE_BY = frozenset(
    {
        "chat.appendStream",
        "chat.meMessage",
        "chat.postMessage",
        "chat.startStream",
        "chat.stopStream",
        "chat.update",
    }
)
"""Methods whose answer names, by `channel` and `ts`, a message that now exists."""

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
"""Calls that may be made twice: the second call changes nothing. Slack refuses a repeated reaction
or pin, and that refusal counts as success."""


def method_of(operation: str) -> str:
    """The Web API's method for an operation: `chat.update` for `edit`, `x.y` for `call:x.y`."""
    return METHODS.get(operation) or operation.removeprefix("call:")
