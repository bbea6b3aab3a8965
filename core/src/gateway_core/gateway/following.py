"""Passes on how envelopes end, in order, to each subscriber."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from gateway_core.clock import Clock
from gateway_core.contract.ids import Ids
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.endings import Ended, Follower, MemoryEndings


class Following:
    """The endings of a gateway: from its outbox, or else from its own memory.

    follower  None: the gateway has no outbox, and nobody has asked for endings yet
    most      how many endings of each partition are remembered without an outbox
    """

    def __init__(
        self,
        follower: Follower | None,
        partitions: Sequence[Partition],
        ids: Ids,
        clock: Clock,
        most: int,
    ) -> None:
        self._follower = follower
        self._partitions = partitions
        self._ids = ids
        self._clock = clock
        self._most = most

    def after(self, cursor: str | None) -> AsyncIterator[Ended]:
        """The endings after `cursor`, as they happen. Raises as `Gateway.endings` does."""
        if self._follower is None:
            self._follower = self._remembered()
        return self._follower.after(cursor)

    def close(self) -> None:
        """Let subscribers know that no more endings will come."""
        if self._follower is not None:
            self._follower.close()

    def _remembered(self) -> Follower:
        """The follower without an outbox: of the histories' receipts, and of all later endings."""
        completions = [partition.completion for partition in self._partitions]
        ended = (receipt for each in completions for receipt in each.history.values())
        source, most = self._ids.next(self._clock.wall()), self._most * len(completions)
        log = MemoryEndings(source, ended, most)
        follower = Follower(log)
        log.on_note = follower.wake
        for completion in completions:
            completion.on_receipt = log.note
        return follower
