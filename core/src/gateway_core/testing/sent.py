"""Shows a test what the application under test has sent."""

from __future__ import annotations

import attrs

from gateway_core.contract.beside.buttons import Rows
from gateway_core.contract.envelopes import Attempt
from gateway_core.testing.fake_channel import FakeChannel


@attrs.frozen
class Sent:
    """What reached the fake platform. It can be used from any thread."""

    _channel: FakeChannel

    def texts(self, room: str = "room") -> list[str]:
        """The texts of the messages in a room, in order: after edits, without deleted messages."""
        return self.rooms.get(room, [])

    def buttons(self, room: str = "room") -> list[Rows]:
        """The rows of buttons of each message in a room, in order; none if it has no buttons."""
        messages = list(self._channel.rooms.get(room, ()))
        return [self._channel.pressable.get(message, ()) for message in messages]

    @property
    def rooms(self) -> dict[str, list[str]]:
        """The texts in each room that has messages."""
        rooms = list(self._channel.rooms.items())
        return {room: list(texts.values()) for room, texts in rooms if texts}

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt that was made, in order, including attempts that failed."""
        return [made.attempt for made in list(self._channel.made)]

    @property
    def typed(self) -> list[str]:
        """The room of each shown sign of typing, in order."""
        return [made.attempt.room for made in list(self._channel.typed)]
