"""Says from which of Telegram's limits an attempt takes tokens. Sans-I/O.

One message or edit a second per chat, 20 in 60 s per group, about 30 requests a second per bot for
bulk notifications (core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this). Edits
share the chat's limit with sends; the documentation says that deletions do not count towards it.
A send with files counts as a send; an album takes a token for each of its messages, unless
`album_cost` says otherwise. Every even pace has a bound, since after a stall the delayed requests
arrive at once.
"""

from __future__ import annotations

from gateway_core.authors import Limit, Priority
from gateway_plugin_telegram.settings import TelegramSettings

_WRITES = (
    "send",
    "upload",
    "edit",
    "call:send",
    "call:edit",
    "call:copy",
    "call:forward",
    "call:stop",
)
FREE = ("call:get", "call:answer", "call:sendchataction")
"""Beginnings, in small letters, of the operations that no limit counts."""


def limits_of(
    settings: TelegramSettings, room: str, operation: str, priority: Priority
) -> tuple[Limit, ...]:
    """Every limit of the operation, the bot's last; `FREE` and `acknowledge` have none."""
    name = operation.lower()
    if name == "acknowledge":
        return ()
    if name == "typing":  # it takes only spare tokens of the bot's limits
        return _bot_limits(settings, priority)
    if name.startswith(FREE):
        return ()
    bot = _bot_limits(settings, priority)
    if name == "draft":
        return (Limit(f"draft:{room}", 1, settings.draft_seconds, of="room"), *bot)
    return (*_room_limits(settings, room), *bot) if name.startswith(_WRITES) else bot


def _bot_limits(settings: TelegramSettings, priority: Priority) -> tuple[Limit, ...]:
    """The limit that all classes share, and for bulk a limit of its own, if that is lower."""
    count, seconds = settings.bulk_count, settings.bulk_seconds
    bulk = Limit("bulk", count, seconds, "even", most=count)
    bulk_rate = settings.bulk_count / settings.bulk_seconds
    count, seconds = settings.bot_count, settings.bot_seconds
    most = settings.bot_window or count
    if count / seconds <= bulk_rate:
        return (Limit("bot", count, seconds, "even", most=most),)
    start = max(1, int(bulk_rate * seconds))
    bot = Limit("bot", count, seconds, "even", start=start, most=most)
    return (bulk, bot) if priority == "bulk" else (bot,)


def _room_limits(settings: TelegramSettings, room: str) -> tuple[Limit, ...]:
    count, seconds = _numbers(settings, room, "chat")
    most = count if count > 1 else None
    chat = Limit(f"chat:{room}", count, seconds, most=most, of="room")
    if not room.startswith("-"):
        return (chat,)
    group = Limit(f"group:{room}", *_numbers(settings, room, "group"), "window", of="room")
    return (chat, group)


def _numbers(settings: TelegramSettings, room: str, kind: str) -> tuple[int, float]:
    """The room's own count and seconds; the instance's, where the room has none."""
    own = settings.rooms.get(room)
    count, seconds = f"{kind}_count", f"{kind}_seconds"
    return (
        getattr(own, count, None) or getattr(settings, count),
        getattr(own, seconds, None) or getattr(settings, seconds),
    )
