"""Shows ephemeral messages, which one user sees, and which only a response_url can change."""

from __future__ import annotations

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.screen import Sight
from gateway_contrib.emulators.slack.world import World


def show(world: World, message: Message, user: str) -> None:
    """Let a user see the message as it is now."""
    if message not in world.ephemeral:
        world.ephemeral.append(message)
    message.fields["shown_to"] = user
    sight = Sight(
        what="ephemeral", room=message.room, text=message.text, thread=message.thread, user=user
    )
    world.screen.show(("ephemeral", message.id), sight)


def take_away(world: World, message: Message) -> None:
    """Hide the message from its user."""
    message.deleted = True
    world.screen.hide(("ephemeral", message.id))
