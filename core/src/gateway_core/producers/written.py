"""Streams that other processes write, and this one shows. This module waits: for the outbox.

A stream is shown here as if it were written here: its growth is told what the other process says.
Whoever writes says every few seconds that it still does. Of one that is silent for long the process
is dead, unless it is the outbox that is away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
import trio

from gateway_core.backlog.pager import Pager
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import Send
from gateway_core.contract.errors import OutboxError
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.growing.growth import Growth
from gateway_core.outboxes.journal import Journal
from gateway_core.outboxes.records import Request
from gateway_core.submission.draft import Drafting

LOOK = 10.0
"""Seconds after which it is looked whether anything was heard of a stream."""
LOOKS = 3
"""After so many looks without a word, at which the outbox answered, it is broken off."""
RECORD = SECOND
"""Nanoseconds between two records of a growing text, at the least."""


@attrs.define(eq=False)
class Written:
    """One of them.

    told      the number of the newest state that was told, by whoever writes it; -1: none was
    heard     something was heard of it since the last look
    accepted  set once it is accepted, or never will be
    ago       seconds ago that it ended, as it was told
    whole     it was so as it was handed over
    """

    instance_id: str
    growth: Growth
    delivery: Delivery | None = None
    told: int = -1
    heard: bool = True
    accepted: trio.Event = attrs.field(factory=trio.Event)
    ago: float = 0.0
    whole: bool = False
    recorded_at: int = 0


@attrs.define(eq=False)
class WrittenElsewhere:
    """Those of one gateway, by the ids of their envelopes.

    ends  its time to live counts from so many seconds ago
    """

    _drafting: Drafting
    _pager: Pager
    _journal: Journal
    _clock: Clock
    _spawn: Callable[[Callable[[], Any]], None]
    _ends: Callable[[Delivery, float], None]
    _known: dict[str, Written] = attrs.field(factory=dict, init=False)

    # -- as it is accepted

    def comes(self, request: Request) -> None:
        """An envelope is to be accepted. What is told of a stream from now on is not too early."""
        envelope = request.envelope
        if not request.envelope_id or not isinstance(envelope, Send):
            return
        grows = envelope.grows
        if grows is None or not grows.elsewhere or request.envelope_id in self._known:
            return
        growth = Growth.restored(
            envelope.text,
            grows.stored_as,
            grows.broken_off,
            reply=envelope.reply_to,
            extra=envelope.extra or None,
            interaction=envelope.interaction,
            markdown=envelope.format == "markdown",
            elsewhere=True,
        )
        one = Written(envelope.instance_id, growth, whole=not growth.is_open)
        self._known[request.envelope_id] = one

    def coming(self, envelope_id: str) -> Written | None:
        """What is known of a stream that is being accepted; None: it is none."""
        return self._known.get(envelope_id)

    def accepted(self, envelope_id: str, delivery: Delivery | None) -> None:
        """It is accepted; None: it is not, or joined another one."""
        one = self._known.get(envelope_id)
        if one is None or one.delivery is not None:
            return
        if delivery is None or delivery.growth is not one.growth or delivery.receipt is not None:
            del self._known[envelope_id]
            one.accepted.set()
        else:
            self._keep(one, delivery)

    def came_in(self, delivery: Delivery) -> None:
        """It is in memory; one that a previous process run accepted is known from now on."""
        growth, one = delivery.growth, self._known.get(delivery.id)
        if growth is not None and growth.is_open and (one is None or one.growth is not growth):
            one = self._known[delivery.id] = Written(delivery.envelope.instance_id, growth)
        if one is not None and one.growth is growth:
            self._keep(one, delivery)

    def _keep(self, one: Written, delivery: Delivery) -> None:
        """It has its delivery, and is watched as long as that is here."""
        if one.delivery is not None:
            return
        one.delivery = delivery
        one.accepted.set()
        delivery.on_end(partial(self._forget, one, delivery.id))
        if one.growth.is_open:
            self._spawn(partial(self._watch, one, delivery))
        elif not one.whole:  # it has become so since it was handed over
            self._ended(one, delivery)

    def _forget(self, one: Written, envelope_id: str) -> None:
        if self._known.get(envelope_id) is one:
            del self._known[envelope_id]

    # -- what is told of it

    async def hear(self, instance_id: str, told: Mapping[str, Any], ago: float) -> dict[str, Any]:
        """What its process says; what that is to know.

        instance_id  whom it may be about; empty: all
        ago          seconds ago that it said so
        """
        one = self._known.get(told["id"]) or await self._find(told["id"])
        if one is None or instance_id not in ("", one.instance_id):
            return {"open": False, "has": -1, "stopped": False, "started": False}
        one.heard = True
        if "ended" in told:
            await self._end(one, told, ago)
        else:
            self._grow(one, told)
        delivery, growth = one.delivery, one.growth
        return {
            "open": growth.is_open,
            "has": one.told,
            "stopped": growth.stopped,
            "started": delivery is not None and delivery.started,
        }

    async def _find(self, envelope_id: str) -> Written | None:
        """One that was accepted and is spilled; None: it ended, or never was a stream."""
        found = await self._pager.look_up(envelope_id)
        one = self._known.get(envelope_id)
        delivery = None if one is not None or found is None else self._pager.join(found)
        if delivery is not None and delivery.growth is not None and delivery.growth.elsewhere:
            self.came_in(delivery)
            one = self._known.get(envelope_id)
        return one

    def _grow(self, one: Written, told: Mapping[str, Any]) -> None:
        """It has grown, unless that was told of a state that is not known here."""
        growth, after = one.growth, told["after"]
        if told["number"] <= one.told or after not in (-1, one.told):
            return
        one.told = told["number"]
        kept = growth.written[: told["kept"]] if after >= 0 else ""
        self._goes_on(one)
        growth.replace(kept + told["text"])
        growth.status(told["below"])
        now = self._clock.now()
        if one.delivery is not None and now - one.recorded_at >= RECORD:
            one.recorded_at = now
            self._journal.grew(one.delivery)

    async def _end(self, one: Written, told: Mapping[str, Any], ago: float) -> None:
        """It is whole. It is stored before this returns, or together with the answer."""
        if one.growth.is_open:
            one.ago = ago
            self._goes_on(one)
            one.growth.ends_as(told["ended"], told["text"], told["extra"])
            if one.delivery is not None:
                self._ended(one, one.delivery)
        await one.accepted.wait()

    def _goes_on(self, one: Written) -> None:
        """It is shown again; policies are asked about each state of it, whoever accepted it."""
        if one.delivery is not None and one.delivery.restored:
            one.growth.goes_on()
            self._drafting.grow_on(one.delivery, one.growth)

    def _ended(self, one: Written, delivery: Delivery) -> None:
        """It grows no more: its time to live counts from then."""
        if delivery.receipt is None:
            self._ends(delivery, one.ago)
            self._journal.grew(delivery)

    # -- while nothing is told of it

    async def _watch(self, one: Written, delivery: Delivery) -> None:
        """Break it off once nobody writes it any more."""
        silent = 0
        while one.growth.is_open and self._known.get(delivery.id) is one:
            one.heard = False
            await trio.sleep(LOOK)
            if one.heard or not await self._could_be_heard(delivery):
                silent = 0
                continue
            silent += 1
            if silent == LOOKS and one.growth.is_open and isinstance(delivery.envelope, Send):
                grows = delivery.envelope.grows
                one.growth.break_off("" if grows is None else grows.broken_off)
                self._ended(one, delivery)

    async def _could_be_heard(self, delivery: Delivery) -> bool:
        """Whether the outbox answers, by which it would be told."""
        try:
            await self._pager.look_up(delivery.id)
        except OutboxError:
            return False
        return True
