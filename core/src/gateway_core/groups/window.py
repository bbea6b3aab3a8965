"""Decides how many members of an account's groups are accepted at a time. Only `change` waits.

Few members wait for the account's limits, so that a message in between waits for few of them. Many
members may wait for something of their own (their room, a retry), since that keeps no other room
waiting.
"""

from __future__ import annotations

import attrs
import trio

from gateway_core.deliveries.delivery import Delivery
from gateway_core.groups.pace import Pace
from gateway_core.scheduling.rooms import lane_of
from gateway_core.scheduling.wait_causes import cause_now

MOST_UNFINISHED = 1_000
"""Members of one account's groups that are unfinished at once."""
_OF_THE_ACCOUNT = frozenset({"queue", "account limit", "slots", "circuit", "suspension"})


@attrs.define(eq=False)
class Window:
    """The members of one account that have had their turn and have not ended.

    pace        what the account's limits allow
    unfinished  how many they are; `ready`: the members that wait for the account's limits
    """

    pace: Pace = attrs.field(factory=Pace)
    unfinished: int = attrs.field(default=0, init=False)
    ready: dict[Delivery, None] = attrs.field(factory=dict, init=False)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    def has_place(self) -> bool:
        """Whether one more member may have its turn."""
        if self.unfinished >= MOST_UNFINISHED:
            return False
        if len(self.ready) >= self.pace.ready:
            for delivery in [one for one in self.ready if not _waits_for_account(one)]:
                del self.ready[delivery]
        return len(self.ready) < self.pace.ready

    async def change(self) -> None:
        """Wait until a member begins or ends, or for as long as that should take."""
        with trio.move_on_after(self.pace.look):
            await self._changed.wait()

    def came(self, delivery: Delivery) -> None:
        """A member has had its turn."""
        self.unfinished += 1
        self.ready[delivery] = None

    def begun(self, delivery: Delivery) -> None:
        """An attempt of a member begins."""
        if delivery in self.ready:
            del self.ready[delivery]
            self.wake()

    def ended(self, delivery: Delivery) -> None:
        """A member has ended, or is in the outbox only."""
        self.unfinished -= 1
        self.ready.pop(delivery, None)
        self.wake()

    def wake(self) -> None:
        """Let the tasks that wait look again."""
        self._changed.set()
        self._changed = trio.Event()


def _waits_for_account(delivery: Delivery) -> bool:
    """Whether only the account's limits delay it; if not, others need not wait for it."""
    if delivery.receipt is not None:
        return False
    lane = lane_of(delivery)
    if lane is not None and lane.queue and lane.queue[0] is not delivery:
        return False  # other deliveries of its room go before it
    return cause_now(delivery) in _OF_THE_ACCOUNT
