"""Computes the shortest time that a platform's limits allow for the delivered texts. Sans-I/O.

Round trips are not counted, so no gateway can be faster than this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import attrs

from gateway_contrib.emulators.discord.limits import DiscordLimits
from gateway_contrib.emulators.slack.limits import SlackLimits
from gateway_contrib.emulators.telegram.limits import TelegramLimits


@attrs.frozen
class Writes:
    """How much was written to a room: messages, messages with files, and edits."""

    room: str
    messages: int
    edits: int
    with_files: int = 0

    @property
    def all(self) -> int:
        """Messages and edits together."""
        return self.messages + self.edits


def shortest(channel: str, rooms: Iterable[Writes]) -> float:
    """The least seconds from the first write to the last."""
    return _BOUNDS[channel](list(rooms))


def _telegram(rooms: list[Writes]) -> float:
    """A chat takes one write a second, a group 20 a minute, a bot 30 at once and 30 a second."""
    limits = TelegramLimits()
    chats = [max(0, room.all - 1) * limits.chat_seconds for room in rooms]
    groups = [
        _windows(room.all, limits.group_count, limits.group_seconds)
        for room in rooms
        if room.room.startswith("-")
    ]
    rest = max(0, sum(room.all for room in rooms) - limits.bot_count)
    return max([*chats, *groups, rest * limits.bot_seconds / limits.bot_count], default=0.0)


def _slack(rooms: list[Writes]) -> float:
    """A channel takes one post a second; edits and uploads have limits of the whole workspace."""
    limits = SlackLimits()
    posts = [_windows(room.messages - room.with_files, *limits.posts) for room in rooms]
    edits = _windows(sum(room.edits for room in rooms), *limits.tiers["chat.update"])
    shared = sum(room.with_files for room in rooms)
    uploads = _windows(shared, *limits.tiers["files.completeUploadExternal"])
    return max([*posts, edits, uploads], default=0.0)


def _discord(rooms: list[Writes]) -> float:
    """Each route of a channel has a window of its own; the bot has one for all its requests."""
    limits = DiscordLimits()
    routes = [
        _windows(count, limits.count, limits.per)
        for room in rooms
        for count in (room.messages, room.edits)
    ]
    whole = sum(room.all for room in rooms)
    return max([*routes, _windows(whole, limits.global_count, limits.global_per)], default=0.0)


def _windows(count: int, allowed: int, seconds: float) -> float:
    """When the last of `count` can go, if any `seconds` take at most `allowed`."""
    return max(0, math.ceil(count / allowed) - 1) * seconds


_BOUNDS: Mapping[str, Callable[[list[Writes]], float]] = {
    "telegram": _telegram,
    "slack": _slack,
    "discord": _discord,
}
