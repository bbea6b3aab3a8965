"""Concurrency limits of one partition: attempt slots, shared out per channel and instance."""

from __future__ import annotations

from gateway_core.contract.instances import Instance
from gateway_core.ratelimits.bucket import Bucket


class ConcurrencyLimits:
    """No channel takes the last quarter of the slots, no instance that of its channel's.

    all  every attempt under way takes one of these
    """

    def __init__(self, capacity: int) -> None:
        self.all = Bucket("slots", capacity, shared=True)
        self._channels: dict[str, Bucket] = {}
        self._shares: dict[tuple[str, str], tuple[Bucket, Bucket, Bucket]] = {}

    def of(self, instance: Instance) -> tuple[Bucket, Bucket, Bucket]:
        """The partition's slots, and the channel's and the instance's share of them."""
        key = (instance.channel, instance.id)
        shares = self._shares.get(key)
        if shares is None:
            shares = self._shares[key] = self._share(*key)
        return shares

    def forget(self, instance: Instance) -> None:
        """An instance was removed: a new one of its id starts afresh."""
        self._shares.pop((instance.channel, instance.id), None)

    def _share(self, channel_name: str, instance_id: str) -> tuple[Bucket, Bucket, Bucket]:
        channel = self._channels.get(channel_name)
        if channel is None:
            most = three_quarters(self.all.capacity)
            channel = Bucket(f"slots of {channel_name}", most, shared=True)
            self._channels[channel_name] = channel
        most = three_quarters(channel.capacity)
        return self.all, channel, Bucket(f"slots of {instance_id}", most, shared=True)


def three_quarters(slots: int) -> int:
    """All but the last quarter; one where there are few."""
    return max(1, slots - max(1, slots // 4)) if slots > 1 else 1
