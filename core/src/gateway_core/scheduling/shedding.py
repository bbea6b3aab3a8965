"""Decides which bulk envelope ends to free a slot for a higher class. Sans-I/O."""

from __future__ import annotations

import attrs

from gateway_core.deliveries.delivery import Delivery
from gateway_core.scheduling.admission import BoundKey, keys_of


@attrs.define(eq=False)
class Sheddable:
    """The bulk of one partition, by the bounds under which its end frees a slot."""

    _by_key: dict[BoundKey, dict[str, Delivery]] = attrs.field(factory=dict)

    def add(self, delivery: Delivery) -> None:
        """It may be shed until it starts."""
        for key in _keys(delivery):
            self._by_key.setdefault(key, {})[delivery.id] = delivery

    def discard(self, delivery: Delivery) -> None:
        """It ended, or started, and can no longer be shed."""
        for key in _keys(delivery):
            deliveries = self._by_key.get(key, {})
            if deliveries.pop(delivery.id, None) is not None and not deliveries:
                del self._by_key[key]

    def newest(self, key: BoundKey) -> Delivery | None:
        """The newest bulk envelope that has not started, under the bound `key`."""
        while (deliveries := self._by_key.get(key)) is not None:
            delivery = deliveries[next(reversed(deliveries))]
            if not delivery.started:
                return delivery
            self.discard(delivery)
        return None


def _keys(delivery: Delivery) -> tuple[BoundKey, BoundKey, BoundKey]:
    envelope = delivery.envelope
    return keys_of(envelope.instance_id, envelope.external_room_id)
