"""Ephemeral messages: one user sees them, no room has them, only a response_url changes them."""

from __future__ import annotations

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.screen import Sight
from gateway_contrib.emulators.slack.world import World


def show(world: World, message: Message, user: str) -> None:
    """Let a user see the message, as it stands now."""
    if message not in world.ephemeral:
        world.ephemeral.append(message)
    message.fields["shown_to"] = user
    sight = Sight(
        what="ephemeral", room=message.room, text=message.text, thread=message.thread, user=user
    )
    world.screen.show(("ephemeral", message.id), sight)


def take_away(world: World, message: Message) -> None:
    """The user sees it no more."""
    message.deleted = True
    world.screen.hide(("ephemeral", message.id))
