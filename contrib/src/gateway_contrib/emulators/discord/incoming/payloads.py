"""Makes the events that the gateway sends a bot: MESSAGE_CREATE and INTERACTION_CREATE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway_contrib.emulators.discord.interactions.entries import Interaction
from gateway_contrib.emulators.discord.world import GUILD, Bot, World, channel_wire, message_wire
from gateway_contrib.emulators.rooms import Message

_PERMISSIONS = str((1 << 50) - 1)
_JOINED = "2026-01-01T00:00:00+00:00"


def dispatched(name: str, number: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """An event as the gateway sends it."""
    return {"op": 0, "t": name, "s": number, "d": dict(data)}


def said(world: World, message: Message, person: Bot) -> dict[str, Any]:
    """The data of MESSAGE_CREATE."""
    shown = message_wire(world, message)
    if message.room in world.direct:
        return shown
    return {**shown, "guild_id": GUILD, "member": _member(person, with_user=False)}


def interaction(
    world: World, entry: Interaction, person: Bot, data: Mapping[str, Any]
) -> dict[str, Any]:
    """The data of INTERACTION_CREATE, which is the body of an interaction's HTTP request, too."""
    direct = entry.room in world.direct
    where: dict[str, Any] = (
        {"user": person.wire(), "context": 1}
        if direct
        else {
            "guild_id": GUILD,
            "guild": {"id": GUILD, "locale": "en-US", "features": []},
            "guild_locale": "en-US",
            "member": {**_member(person), "permissions": _PERMISSIONS},
            "context": 0,
        }
    )
    if entry.pressed is not None:
        where["message"] = message_wire(world, entry.pressed)
    return {
        "id": entry.id,
        "application_id": entry.application,
        "type": int(entry.kind),
        "data": dict(data),
        **where,
        "channel_id": entry.room,
        "channel": {**channel_wire(world, entry.room), "permissions": _PERMISSIONS},
        "token": entry.token,
        "version": 1,
        "app_permissions": _PERMISSIONS,
        "locale": "en-US",
        "entitlements": [],
        "authorizing_integration_owners": {"1": person.id} if direct else {"0": GUILD},
        "attachment_size_limit": world.limits.file_bytes,
    }


def command(
    number: str, name: str, options: Mapping[str, Any], focused: str | None
) -> dict[str, Any]:
    """A slash command with the entered options; `focused` is the option that is being typed."""
    entered = [
        {"name": key, "type": _option_type(value), "value": value}
        | ({"focused": True} if key == focused else {})
        for key, value in options.items()
    ]
    return {"id": number, "name": name, "type": 1, "options": entered}


def pressed(custom_id: str, values: Sequence[str] | None) -> dict[str, Any]:
    """A pressed button, or the chosen values of a list."""
    if values is None:
        return {"custom_id": custom_id, "component_type": 2}
    return {"custom_id": custom_id, "component_type": 3, "values": list(values)}


def submitted(custom_id: str, values: Mapping[str, str]) -> dict[str, Any]:
    """A form's text fields, each in a row of its own."""
    rows = [
        {"type": 1, "id": 2 * at, "components": [_field(2 * at + 1, name, value)]}
        for at, (name, value) in enumerate(values.items(), start=1)
    ]
    return {"custom_id": custom_id, "components": rows}


def _field(number: int, name: str, value: str) -> dict[str, Any]:
    return {"type": 4, "id": number, "custom_id": name, "value": value}


def _option_type(value: Any) -> int:
    kinds: Sequence[tuple[type, int]] = ((bool, 5), (int, 4), (float, 10))
    return next((number for kind, number in kinds if isinstance(value, kind)), 3)


def _member(person: Bot, *, with_user: bool = True) -> dict[str, Any]:
    member = {
        "roles": [],
        "joined_at": _JOINED,
        "deaf": False,
        "mute": False,
        "flags": 0,
        "nick": None,
        "avatar": None,
    }
    return {**member, "user": person.wire()} if with_user else member
