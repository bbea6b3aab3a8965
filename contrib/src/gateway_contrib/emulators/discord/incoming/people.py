"""Acts as people on an emulated Discord: they write, enter commands, press buttons, send forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs

from gateway_contrib.emulators.discord.incoming import payloads
from gateway_contrib.emulators.discord.interactions.entries import Interaction, Kind
from gateway_contrib.emulators.discord.world import Bot, World
from gateway_contrib.emulators.rooms import Message

SOMEBODY = "1200000000000000001"
_NOTHING: Mapping[str, Any] = MappingProxyType({})

Listener = Callable[[dict[str, Any]], None]


@attrs.define(eq=False)
class People:
    """Users of an emulated Discord. Every event is passed to every listener."""

    _world: World
    listeners: list[Listener] = attrs.field(factory=list)
    _events: int = 0

    def say(
        self, room: str, text: str, *, user: str = SOMEBODY, reply_to: str | None = None
    ) -> dict[str, Any]:
        """Let somebody write a message; returns the event MESSAGE_CREATE. `rooms` has it, too."""
        person = _person(user)
        fields: dict[str, Any] = {"content": text}
        if reply_to is not None:
            fields["message_reference"] = {"message_id": reply_to}
        message = self._world.make(person, room, fields)
        message.user = user
        self._world.rooms.add(message)
        self._world.counters["received"] += 1
        return self._tell("MESSAGE_CREATE", payloads.said(self._world, message, person))

    def command(
        self,
        room: str,
        name: str,
        options: Mapping[str, Any] = _NOTHING,
        *,
        user: str = SOMEBODY,
        application: str | None = None,
    ) -> Interaction:
        """Let somebody enter a slash command, with its options by name.

        application  the application of the command; None: the first bot's
        """
        data = payloads.command(self._world.next_id(), name, options, None)
        return self._interaction(Kind.COMMAND, room, data, user, application)

    def complete(
        self,
        room: str,
        name: str,
        options: Mapping[str, Any],
        *,
        focused: str,
        user: str = SOMEBODY,
        application: str | None = None,
    ) -> Interaction:
        """Let somebody type a command's option `focused`, for which the bot gives suggestions."""
        data = payloads.command(self._world.next_id(), name, options, focused)
        return self._interaction(Kind.AUTOCOMPLETE, room, data, user, application)

    def press(
        self,
        room: str,
        message_id: str,
        custom_id: str,
        *,
        values: Sequence[str] | None = None,
        user: str = SOMEBODY,
        application: str | None = None,
    ) -> Interaction:
        """Let somebody press a button under a message, or choose `values` from a list.

        Raises LookupError if there is no such message.
        """
        message = self._world.anywhere(room, message_id)
        if message is None or message.deleted:
            raise LookupError(f"room {room} has no message {message_id}")
        data = payloads.pressed(custom_id, values)
        return self._interaction(Kind.COMPONENT, room, data, user, application, message)

    def submit(self, asked: Interaction, values: Mapping[str, str]) -> Interaction:
        """Let somebody submit the form that answered `asked`; returns a new interaction.

        Raises ValueError if no form was shown.
        """
        if asked.modal is None:
            raise ValueError(f"interaction {asked.id} was not answered with a form")
        asked.hide()
        data = payloads.submitted(str(asked.modal["custom_id"]), values)
        return self._interaction(
            Kind.MODAL, asked.room, data, asked.user, asked.application, asked.pressed
        )

    def _interaction(
        self,
        kind: Kind,
        room: str,
        data: Mapping[str, Any],
        user: str,
        application: str | None,
        pressed: Message | None = None,
    ) -> Interaction:
        number = self._world.next_id()
        entry = Interaction(
            id=number,
            token=f"interaction-{number}",
            room=room,
            user=user,
            kind=kind,
            application=application or self._world.first_application,
            screen=self._world.screen,
            pressed=pressed,
        )
        self._world.interactions[entry.token] = entry
        told = payloads.interaction(self._world, entry, _person(user), data)
        entry.event = self._tell("INTERACTION_CREATE", told)
        return entry

    def _tell(self, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
        self._events += 1
        event = payloads.dispatched(name, self._events, data)
        for listener in list(self.listeners):
            listener(event)
        return event


def _person(user: str) -> Bot:
    return Bot(user, f"user-{user}", person=True)
