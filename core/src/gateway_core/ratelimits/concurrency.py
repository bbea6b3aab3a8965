"""Concurrency limits of one partition: attempt slots, shared out per channel and instance."""

from __future__ import annotations

from gateway_core.contract.instances import Instance
from gateway_core.ratelimits.bucket import Bucket


class ConcurrencyLimits:
    """A channel takes at most three quarters of the slots, an instance three quarters of those."""

    def __init__(self, capacity: int) -> None:
        self.all = Bucket("slots", capacity, shared=True)
        self._channels: dict[str, Bucket] = {}
        self._shares: dict[tuple[str, str], tuple[Bucket, Bucket, Bucket]] = {}

    def of(self, instance: Instance) -> tuple[Bucket, Bucket, Bucket]:
        """The partition's slots, and the channel's and the instance's share of them."""
        key = (instance.channel, instance.id)
        shares = self._shares.get(key)
        if shares is None:
            channel = self._channels.get(instance.channel)
            if channel is None:
                channel = self._channels[instance.channel] = _share(self.all, instance.channel)
            shares = self._shares[key] = (self.all, channel, _share(channel, instance.id))
        return shares

    def forget(self, instance: Instance) -> None:
        """An instance was removed: a new instance with its id starts afresh."""
        self._shares.pop((instance.channel, instance.id), None)


def _share(slots: Bucket, owner: str) -> Bucket:
    return Bucket(f"slots of {owner}", three_quarters(slots.capacity), shared=True)


def three_quarters(slots: int) -> int:
    """All but the last quarter; one if there are few."""
    return max(1, slots - max(1, slots // 4)) if slots > 1 else 1
