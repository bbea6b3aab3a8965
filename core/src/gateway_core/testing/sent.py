"""What the application under test has sent."""

from __future__ import annotations

import attrs

from gateway_core.contract.beside.buttons import Rows
from gateway_core.contract.envelopes import Attempt
from gateway_core.testing.fake_channel import FakeChannel


@attrs.frozen
class Sent:
    """What reached the fake platform; tests may ask from any thread."""

    _channel: FakeChannel

    def texts(self, room: str = "room") -> list[str]:
        """The texts in a room, in order: edited ones as they are now, without deleted ones."""
        return self.rooms.get(room, [])

    def buttons(self, room: str = "room") -> list[Rows]:
        """The buttons under each message of a room, in order; of one without any, no rows."""
        messages = list(self._channel.rooms.get(room, ()))
        return [self._channel.pressable.get(message, ()) for message in messages]

    @property
    def rooms(self) -> dict[str, list[str]]:
        """What stands in each room in which something stands."""
        rooms = list(self._channel.rooms.items())
        return {room: list(texts.values()) for room, texts in rooms if texts}

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt that was made, in order, those that failed as well."""
        return [made.attempt for made in list(self._channel.made)]

    @property
    def typed(self) -> list[str]:
        """The room of each sign of typing that was shown."""
        return [made.attempt.room for made in list(self._channel.typed)]
