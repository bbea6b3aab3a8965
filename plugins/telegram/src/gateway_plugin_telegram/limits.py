"""Which of Telegram's limits an attempt draws on. Pure.

One message or edit a second per chat, 20 in 60 s per group, about 30 requests a second per bot
(core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this). Edits share the chat's
allowance with sends; deletions are documented as no part of it.
"""

from __future__ import annotations

from gateway_core import Limit
from gateway_plugin_telegram.settings import TelegramSettings

_WRITES = ("send", "edit", "call:send", "call:edit", "call:copy", "call:forward")
_FREE = ("call:get", "call:answer", "call:sendchataction")


def limits_of(settings: TelegramSettings, room: str, operation: str) -> tuple[Limit, ...]:
    """Every limit of the operation, the bot's last; typing, answers and look-ups have none."""
    name = operation.lower()
    if name.startswith(_FREE):
        return ()
    bot = Limit("bot", settings.bot_count, settings.bot_seconds, "even")
    if not name.startswith(_WRITES):
        return (bot,)
    return (*_room_limits(settings, room), bot)


def _room_limits(settings: TelegramSettings, room: str) -> tuple[Limit, ...]:
    chat = Limit(f"chat:{room}", *_numbers(settings, room, "chat"))
    if not room.startswith("-"):
        return (chat,)
    group = Limit(f"group:{room}", *_numbers(settings, room, "group"), "window")
    return (chat, group)


def _numbers(settings: TelegramSettings, room: str, kind: str) -> tuple[int, float]:
    """The room's own count and seconds, each where it has one, else the instance's."""
    own = settings.rooms.get(room)
    count, seconds = f"{kind}_count", f"{kind}_seconds"
    return (
        getattr(own, count, None) or getattr(settings, count),
        getattr(own, seconds, None) or getattr(settings, seconds),
    )
