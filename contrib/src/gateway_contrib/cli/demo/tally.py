"""Counts what happens while the demo runs, with a policy that only observes."""

from __future__ import annotations

from collections import Counter

import attrs
import trio

from gateway_core import Disposition, Envelope, Instance, Reason, Receipt
from gateway_core.authors import Attempt, AttemptReport, Pressure, hookimpl

DELIVERED = (Disposition.DELIVERED, Disposition.SUPERSEDED)


@attrs.define(eq=False)
class ChannelTally:
    """One channel's counts.

    endings    ended envelopes, by disposition
    announced  receipts that say that a part may be there twice
    last_end   when the last envelope ended (trio's clock); `room_ends` has this for each room
    troubled   rooms in which an attempt failed
    doubted    by room, the number of texts and edits whose receipt says that they may be missing
    """

    accepted: int = 0
    endings: Counter[Disposition] = attrs.field(factory=Counter)
    parts: int = 0
    attempts: int = 0
    rate_limited: int = 0
    announced: int = 0
    last_end: float = 0.0
    room_ends: dict[str, float] = attrs.field(factory=dict)
    troubled: set[str] = attrs.field(factory=set)
    doubted: Counter[str] = attrs.field(factory=Counter)

    @property
    def ended(self) -> int:
        """Envelopes that have ended."""
        return self.endings.total()

    @property
    def delivered(self) -> int:
        """Envelopes that arrived."""
        return sum(self.endings[disposition] for disposition in DELIVERED)

    @property
    def untroubled_end(self) -> float:
        """When the last room without a failed attempt was done."""
        ends = (end for room, end in self.room_ends.items() if room not in self.troubled)
        return max(ends, default=self.last_end)

    def doubt(self, receipt: Receipt) -> None:
        """Count an envelope that nobody knows to have arrived, or the edit of such a message."""
        room, verdict = receipt.external_room_id, receipt.verdict
        gone = verdict is not None and verdict.reason is Reason.MESSAGE_GONE
        if receipt.disposition is Disposition.UNKNOWN or (gone and self.doubted[room]):
            self.doubted[room] += 1


class Tally:
    """A policy: given to `open_gateway(plugins=…)`, it sees every envelope, attempt and end."""

    def __init__(self) -> None:
        self.channels: dict[str, ChannelTally] = {}
        self.waiting: Counter[tuple[str, int]] = Counter()
        self._partitions: dict[tuple[str, str], int] = {}

    def of(self, channel: str) -> ChannelTally:
        """The counts of a channel."""
        return self.channels.setdefault(channel, ChannelTally())

    @hookimpl
    def admit(self, envelope: Envelope, pressure: Pressure) -> None:
        """Count an envelope, and note its partition, without a vote."""
        channel, partition = envelope.instance_id, pressure.partition
        self.of(channel).accepted += 1
        self._partitions[channel, envelope.external_room_id] = partition
        self.waiting[channel, partition] += 1

    @hookimpl
    def after_attempt(self, instance: Instance, attempt: Attempt, report: AttemptReport) -> None:
        """Count an attempt."""
        tally = self.of(instance.channel)
        tally.attempts += 1
        if report.verdict is not None:
            tally.troubled.add(attempt.room)
            tally.rate_limited += report.verdict.reason is Reason.RATE_LIMITED

    @hookimpl
    def after_disposition(self, envelope: Envelope, receipt: Receipt) -> None:
        """Count an end. The demo's instances are named like their channels."""
        self.ended(receipt)
        channel = envelope.instance_id
        partition = self._partitions.get((channel, envelope.external_room_id), 0)
        self.waiting[channel, partition] -= 1

    def ended(self, receipt: Receipt) -> None:
        """Count the end of the receipt's envelope."""
        tally = self.of(receipt.instance_id)
        tally.endings[receipt.disposition] += 1
        tally.parts += len(receipt.parts)
        tally.announced += receipt.possible_duplicate
        tally.doubt(receipt)
        tally.last_end = tally.room_ends[receipt.external_room_id] = trio.current_time()
