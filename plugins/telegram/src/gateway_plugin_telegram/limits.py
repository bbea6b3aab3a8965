"""Which of Telegram's limits an attempt draws on. Sans-I/O.

One message or edit a second per chat, 20 in 60 s per group, about 30 requests a second per bot for
bulk notifications (core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this). Edits
share the chat's allowance with sends; deletions are documented as no part of it. A send
with files is a send; an album takes a token for each of its messages, unless `album_cost` says
otherwise. Every pace has a bound: what a stall held back arrives at once.
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
"""Operations, in small letters, that draw on nothing."""


def limits_of(
    settings: TelegramSettings, room: str, operation: str, priority: Priority
) -> tuple[Limit, ...]:
    """Every limit of the operation, the bot's last; typing, answers and look-ups have none."""
    name = operation.lower()
    if name == "acknowledge":
        return ()
    if name == "typing":  # it takes no more than what is spare of the bot's
        return _bot_limits(settings, priority)
    if name.startswith(FREE):
        return ()
    bot = _bot_limits(settings, priority)
    if name == "draft":
        return (Limit(f"draft:{room}", 1, settings.draft_seconds, of="room"), *bot)
    return (*_room_limits(settings, room), *bot) if name.startswith(_WRITES) else bot


def _bot_limits(settings: TelegramSettings, priority: Priority) -> tuple[Limit, ...]:
    """What all classes share, and under it what bulk alone keeps to, where that is less."""
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
    """The room's own count and seconds, each where it has one, else the instance's."""
    own = settings.rooms.get(room)
    count, seconds = f"{kind}_count", f"{kind}_seconds"
    return (
        getattr(own, count, None) or getattr(settings, count),
        getattr(own, seconds, None) or getattr(settings, seconds),
    )
