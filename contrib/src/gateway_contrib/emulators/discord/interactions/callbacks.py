"""Serves the first answer to an interaction (Discord's docs: interaction response object)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from gateway_contrib.emulators.discord.content import accepted, check_content
from gateway_contrib.emulators.discord.interactions.entries import (
    EPHEMERAL,
    LOADING,
    Interaction,
    Kind,
)
from gateway_contrib.emulators.discord.refusals import coded, form
from gateway_contrib.emulators.discord.requests import Posted
from gateway_contrib.emulators.discord.world import (
    NO_CONTENT,
    Answer,
    Bot,
    World,
    message_wire,
)

MOST_CHOICES = 25

Responding = Callable[[World, Interaction, Posted], None]


def answer(world: World, _: Bot, posted: Posted) -> Answer:
    """Acknowledge an interaction, once and in time, by an answer of a type."""
    entry = world.interactions.get(posted.path["token"])
    if entry is None or entry.id != posted.path["interaction"]:
        raise coded(10062)
    if not (entry.live and entry.answerable):
        raise coded(10062)
    if entry.acknowledged:
        raise coded(40060)
    kind = posted.fields.get("type")
    respond = _RESPONSES.get(kind) if isinstance(kind, int) else None
    if respond is None or entry.kind not in respond.kinds:
        words = f"Value must be one of {{{', '.join(map(str, _allowed(entry)))}}}."
        raise form("type", "BASE_TYPE_CHOICES", words)
    fields = posted.fields.get("data") or {}
    if not isinstance(fields, dict):
        raise form("data", "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
    respond.does(world, entry, attrs.evolve(posted, fields=fields))
    if posted.query.get("with_response") in ("true", "True", "1"):
        return 200, _callback(world, entry, int(kind or 0))
    return NO_CONTENT


def _message(world: World, entry: Interaction, data: Posted) -> None:
    """4: a message, at once."""
    fields = accepted(world.limits, data, prefix="data.")
    entry.ephemeral = _hidden(data)
    made = world.make(world.application(entry.application), entry.room, fields)
    entry.acknowledge()
    entry.original = made
    entry.adopt(made)
    world.place(made, user=entry.user if entry.ephemeral else None)


def _defer(world: World, entry: Interaction, data: Posted) -> None:
    """5: a message later; of its data, only the flags count."""
    check_content(world.limits, data, prefix="data.")
    entry.ephemeral = _hidden(data)
    entry.acknowledge()
    flags = LOADING | (EPHEMERAL if entry.ephemeral else 0)
    author = world.application(entry.application)
    entry.original = world.make(author, entry.room, {"flags": flags})
    entry.think()


def _defer_update(_: World, entry: Interaction, __: Posted) -> None:
    """6: the component's message will change later; nobody sees that the answer is deferred."""
    entry.acknowledge()
    entry.original = entry.pressed
    if entry.pressed is not None:
        entry.adopt(entry.pressed)


def _update(world: World, entry: Interaction, data: Posted) -> None:
    """7: the component's message changes at once."""
    check_content(world.limits, data, prefix="data.")
    if entry.pressed is None or entry.pressed.deleted:
        raise coded(10008)
    fields = accepted(world.limits, data, before=entry.pressed.fields, prefix="data.")
    entry.acknowledge()
    entry.original = entry.pressed
    entry.adopt(entry.pressed)
    world.change(entry.pressed, fields)


def _suggest(_: World, entry: Interaction, data: Posted) -> None:
    """8: suggestions for what somebody types."""
    choices = data.fields.get("choices")
    if not isinstance(choices, list):
        raise form("data.choices", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    if len(choices) > MOST_CHOICES:
        words = f"Must be {MOST_CHOICES} or fewer in length."
        raise form("data.choices", "BASE_TYPE_MAX_LENGTH", words)
    entry.choices = choices
    entry.acknowledge()


def _ask(_: World, entry: Interaction, data: Posted) -> None:
    """9: a form; it cannot be the answer to a submitted form."""
    for name in ("custom_id", "title", "components"):
        if not data.fields.get(name):
            raise form(f"data.{name}", "BASE_TYPE_REQUIRED", "This field is required")
    entry.modal = data.fields
    entry.acknowledge()
    entry.ask(str(data.fields["title"]))


def _hidden(data: Posted) -> bool:
    return bool((data.fields.get("flags") or 0) & EPHEMERAL)


@attrs.frozen
class _Response:
    does: Responding
    kinds: frozenset[Kind]


_ANY = frozenset({Kind.COMMAND, Kind.COMPONENT, Kind.MODAL})
_RESPONSES: Mapping[Any, _Response] = {
    4: _Response(_message, _ANY),
    5: _Response(_defer, _ANY),
    6: _Response(_defer_update, frozenset({Kind.COMPONENT, Kind.MODAL})),
    7: _Response(_update, frozenset({Kind.COMPONENT, Kind.MODAL})),
    8: _Response(_suggest, frozenset({Kind.AUTOCOMPLETE})),
    9: _Response(_ask, frozenset({Kind.COMMAND, Kind.COMPONENT})),
}


def _allowed(entry: Interaction) -> list[int]:
    return [number for number, response in _RESPONSES.items() if entry.kind in response.kinds]


def _callback(world: World, entry: Interaction, kind: int) -> dict[str, Any]:
    """The body of the answer, if `with_response` asks for it."""
    told: dict[str, Any] = {"id": entry.id, "type": int(entry.kind)}
    resource: dict[str, Any] = {"type": kind}
    if entry.original is not None:
        told["response_message_id"] = entry.original.id
        told["response_message_loading"] = entry.loading
        told["response_message_ephemeral"] = entry.ephemeral
        resource["message"] = message_wire(world, entry.original)
    return {"interaction": told, "resource": resource}
