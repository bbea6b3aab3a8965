"""What the emulated workspace holds, and how its methods find something in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from gateway_contrib.emulators.rooms import Message, Rooms
from gateway_contrib.emulators.slack.limits import SlackLimits
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.workspace import Channel, Clock, Directory

Arguments: TypeAlias = Mapping[str, Any]
Fields: TypeAlias = dict[str, Any]


@attrs.define(eq=False)
class World:
    """What the methods read and change."""

    directory: Directory
    rooms: Rooms
    limits: SlackLimits
    counters: Counter[str]
    clock: Clock = attrs.field(factory=Clock)
    ephemeral: list[Message] = attrs.field(factory=list)
    reactions: dict[tuple[str, str], list[tuple[str, str]]] = attrs.field(factory=dict)
    pins: dict[str, list[str]] = attrs.field(factory=dict)
    statuses: dict[tuple[str, str], str] = attrs.field(factory=dict)
    views: list[Any] = attrs.field(factory=list)


def opened(channel: Channel) -> Channel:
    """The channel. Raises Refusal where it is closed."""
    if channel.closed is not None:
        raise Refusal(channel.closed)
    return channel


def found(world: World, channel: Channel, ts: Any) -> Message:
    """The message that is there. Raises Refusal `message_not_found`."""
    message = world.rooms.get(channel.id, ts) if isinstance(ts, str) else None
    if message is None or message.deleted:
        raise Refusal("message_not_found")
    return message
