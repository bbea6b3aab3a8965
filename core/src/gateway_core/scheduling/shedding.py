"""Which bulk envelope ends so that one of a higher class finds room. Pure."""

from __future__ import annotations

from gateway_core.deliveries.delivery import Flight
from gateway_core.scheduling.admission import BoundKey, keys_of


class Sheddable:
    """The bulk of one partition by the bounds that its end would free."""

    def __init__(self) -> None:
        self._by_key: dict[BoundKey, dict[str, Flight]] = {}

    def add(self, flight: Flight) -> None:
        """It may be shed until it starts."""
        for key in _keys(flight):
            self._by_key.setdefault(key, {})[flight.id] = flight

    def discard(self, flight: Flight) -> None:
        """It ended, or started: it is no victim any more."""
        for key in _keys(flight):
            flights = self._by_key.get(key)
            if flights is not None and flights.pop(flight.id, None) is not None and not flights:
                del self._by_key[key]

    def newest(self, key: BoundKey) -> Flight | None:
        """The victim whose end frees a place under the bound `key`: nobody waits less for it."""
        while (flights := self._by_key.get(key)) is not None:
            flight = flights[next(reversed(flights))]
            if not flight.started:
                return flight
            self.discard(flight)
        return None


def _keys(flight: Flight) -> tuple[BoundKey, BoundKey, BoundKey]:
    envelope = flight.envelope
    return keys_of(envelope.instance_id, envelope.external_room_id)
