"""Plans each long text in a worker thread: its lane waits, and other lanes go on.

This module waits: for the threads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

import attrs
import trio

from gateway_core.clock import Clock
from gateway_core.contract.envelopes import Edit, Envelope, Send
from gateway_core.contract.errors import HookContractError
from gateway_core.contract.instances import Instance
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import LongText, MadeParts, MadePlan
from gateway_core.scheduling.rooms import Lane
from gateway_core.scheduling.scheduler import Scheduler
from gateway_core.text import Excerpt

LONG = 10_000
"""Characters from which a text is planned in a worker thread: it may take 50 ms and more."""

Replanned: TypeAlias = Callable[[MadeParts, int], None]
"""Goes on with a refused part's new parts, or with the hook's error; it also gets the time."""


def goes_apart(envelope: Envelope) -> bool:
    """Whether a thread plans the envelope's text. An excerpt is as long as the text around it.

    A test's clock that can jump forbids it: it would jump, since it knows nothing of threads.
    """
    if not isinstance(envelope, (Send, Edit)):
        return False
    text = envelope.text
    long = len(text.whole if isinstance(text, Excerpt) else text) > LONG
    return long and not hasattr(trio.lowlevel.current_clock(), "jump")


@attrs.define(eq=False)
class LongTexts:
    """Has the long texts of one partition planned in threads.

    A lane whose text is being planned counts as running, as during an attempt: it begins nothing
    else. It holds no tokens and no worker. If the partition's task dies, these lanes are revived
    like the lanes of a worker.

    most       how many parts of a whole text its lane can use
    nursery    of the partition's task; None: the partition is down
    broke_off  called with a lane and an error of the gateway itself
    """

    _scheduler: Scheduler
    _clock: Clock
    _most: int
    nursery: trio.Nursery | None = attrs.field(default=None, init=False)
    broke_off: Callable[[Lane, BaseException], None] = attrs.field(init=False)
    _made: MadePlan | None = attrs.field(default=None, init=False)

    def is_long(self, envelope: Envelope) -> bool:
        """Whether the envelope's plan is to be made here."""
        return goes_apart(envelope)

    def made_for(self, delivery: Delivery) -> MadePlan | None:
        """The plan that was just made for the delivery, whose lane goes on now; None: none was."""
        made = self._made
        return made if made is not None and made.delivery is delivery else None

    # -- of the head of a lane, which is planned before it goes on

    def plan(self, lane: Lane, delivery: Delivery, text: LongText) -> None:
        """Have the text planned; then its lane is offered again, and finds the plan made."""
        self._spawn(lane, partial(self._plan, lane, delivery, text))

    async def _plan(self, lane: Lane, delivery: Delivery, text: LongText) -> None:
        instance = lane.room.account.instance
        plan = await self._planned(lane, instance, text, self._most)
        if lane.room.account.instance is instance:  # else it has other settings by now
            self._made = MadePlan(delivery, text, plan)
        try:
            self._scheduler.go_on(lane, self._clock.now())
        finally:
            self._made = None

    # -- of a part that was refused

    def plan_again(self, lane: Lane, text: LongText, then: Replanned) -> None:
        """Have a refused part planned again; `then` goes on with its lane."""
        self._spawn(lane, partial(self._plan_again, lane, text, then))

    async def _plan_again(self, lane: Lane, text: LongText, then: Replanned) -> None:
        plan = await self._planned(lane, lane.room.account.instance, text)
        then(plan, self._clock.now())

    # -- both

    async def _planned(
        self, lane: Lane, instance: Instance, text: LongText, most: int | None = None
    ) -> MadeParts:
        hooks = lane.room.account.hooks
        try:
            return await hooks.chunk_apart(instance, text.envelope, text.mode, most)
        except HookContractError as error:
            return error

    def _spawn(self, lane: Lane, work: Callable[[], Awaitable[None]]) -> None:
        """Start the work. While the partition is down, the lane waits: the next task revives it."""
        if self.nursery is not None:
            self.nursery.start_soon(self._guarded, lane, work)

    async def _guarded(self, lane: Lane, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except BaseException as raised:  # noqa: BLE001 - a partition outlives its envelopes
            self.broke_off(lane, raised)
