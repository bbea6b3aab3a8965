"""The Web API's methods: the fields each takes, which are given the room, which may be repeated.

Every name in the tables is of docs.slack.dev/reference/methods, each method's own page.
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
"""What of `extra` is left out once a part is sent as plain text, but for buttons."""

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
"""Methods of a `Call` that are given the envelope's room (and thread) unless it names its own."""

INSTEAD_OF_ROOM: Mapping[str, tuple[str, ...]] = {
    "chat.unfurl": ("unfurl_id",),
    "conversations.open": ("users",),
    "files.completeUploadExternal": ("channels",),
    "reactions.get": ("file", "file_comment"),
    "reactions.remove": ("file", "file_comment"),
}
"""What of a method's own arguments stands in a room's place."""

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
"""Methods of a `Call` that may concern a message, and what each calls its `ts`."""

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
"""Methods whose answer names, by `channel` and `ts`, a message that stands."""

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
