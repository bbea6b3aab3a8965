"""Says from which limits an attempt takes tokens: Slack's tiers (docs.slack.dev, rate limits)."""

from __future__ import annotations

from gateway_core.authors import Limit
from gateway_plugin_slack.methods import method_of
from gateway_plugin_slack.settings import RoomLimits, Settings

TIERS = {
    "assistant.threads.setSuggestedPrompts": "tier_3",
    "assistant.threads.setTitle": "tier_3",
    "bookmarks.add": "tier_2",
    "chat.appendStream": "tier_4",
    "chat.delete": "tier_3",
    "chat.deleteScheduledMessage": "tier_3",
    "chat.getPermalink": "tier_4",
    "chat.meMessage": "tier_3",
    "chat.postEphemeral": "tier_4",
    "chat.scheduleMessage": "tier_3",
    "chat.startStream": "tier_2",
    "chat.stopStream": "tier_2",
    "chat.unfurl": "tier_3",
    "chat.update": "tier_3",
    "conversations.info": "tier_3",
    "conversations.join": "tier_3",
    "conversations.open": "tier_3",
    "files.completeUploadExternal": "tier_4",
    "files.getUploadURLExternal": "tier_4",
    "pins.add": "tier_2",
    "pins.remove": "tier_2",
    "reactions.add": "tier_3",
    "reactions.remove": "tier_2",
    "users.info": "tier_4",
    "views.open": "tier_4",
    "views.publish": "tier_4",
    "views.update": "tier_4",
}
"""Each method's tier; a method that is not listed (assistant.threads.setStatus) has no limit."""

MINUTE = 60.0
ADDRESS = "files.getUploadURLExternal"

SET_STATUS, STATUSES = "assistant.threads.setStatus", 600
"""The method that shows that an answer is being written, and how many calls of it Slack accepts a
minute (docs.slack.dev, assistant.threads.setStatus). The application's own calls have no limit."""


def limits_of(settings: Settings, room: str, operation: str) -> tuple[Limit, ...]:
    """The limits of an operation in a room: a post has its channel's, all others the method's."""
    if operation == "typing":
        return (Limit(SET_STATUS, STATUSES, MINUTE, "window"),)
    method = method_of(operation)
    if operation == "upload":
        # An upload URL for each file, as the part's cost says. One call then shares the files; its
        # method has the same count, so that its limit is never met first.
        return (Limit(ADDRESS, settings.tier_4, MINUTE, "window"),)
    if method == "chat.postMessage":
        return _of_posts(settings, room)
    tier = TIERS.get(method)
    if tier is None:
        return ()
    return (Limit(method, getattr(settings, tier), MINUTE, "window"),)


def _of_posts(settings: Settings, room: str) -> tuple[Limit, ...]:
    own = settings.rooms.get(room, RoomLimits())
    count = own.post_count or settings.post_count
    seconds = own.post_seconds or settings.post_seconds
    most = count if count > 1 else None  # a bound, since requests arrive at once after a stall
    channel = Limit(f"chat.postMessage:{room}", count, seconds, most=most, of="room")
    if not settings.posts_per_minute:
        return (channel,)
    workspace = Limit("chat.postMessage", settings.posts_per_minute, MINUTE, "window")
    return (channel, workspace)
