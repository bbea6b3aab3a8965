"""Shows streams that other processes write. This module waits only for the outbox.

A stream is shown as if it were written here: its growth gets the text that the other process tells.
The writing process tells every few seconds that it still writes. If a stream is silent for long,
its process is dead, unless the outbox is away.
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
"""Seconds between two looks at whether anything was heard about a stream."""
LOOKS = 3
"""A stream is broken off after so many looks at which the outbox answered and nothing was heard."""
RECORD = SECOND
"""The least number of nanoseconds between two records of a growing text."""


@attrs.define(eq=False)
class Written:
    """A stream that another process writes.

    told      the number of the newest state that its writer told; -1: no state was told
    heard     something was heard about it since the last look
    accepted  set once it is accepted, or certainly never will be
    ago       seconds from its end until this process heard of the end
    whole     its text was already whole when it was handed over
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
    """The streams of one gateway that other processes write, by the ids of their envelopes.

    ends  lets a delivery's time to live count from so many seconds ago
    """

    _drafting: Drafting
    _pager: Pager
    _journal: Journal
    _clock: Clock
    _spawn: Callable[[Callable[[], Any]], None]
    _ends: Callable[[Delivery, float], None]
    _known: dict[str, Written] = attrs.field(factory=dict, init=False)

    # -- acceptance

    def comes(self, request: Request) -> None:
        """Note a request to accept a stream, so that states may come before it is accepted."""
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
        """What is known about a stream that is being accepted; None: the envelope is no stream."""
        return self._known.get(envelope_id)

    def accepted(self, envelope_id: str, delivery: Delivery | None) -> None:
        """Note a stream's delivery, which may be one that it joined; None: it was refused."""
        one = self._known.get(envelope_id)
        if one is None or one.delivery is not None:
            return
        if delivery is None or delivery.growth is not one.growth or delivery.receipt is not None:
            del self._known[envelope_id]
            one.accepted.set()
        else:
            self._keep(one, delivery)

    def came_in(self, delivery: Delivery) -> None:
        """Note a delivery in memory; a stream from a previous process run is known from now on."""
        growth, one = delivery.growth, self._known.get(delivery.id)
        if growth is not None and growth.is_open and (one is None or one.growth is not growth):
            one = self._known[delivery.id] = Written(delivery.envelope.instance_id, growth)
        if one is not None and one.growth is growth:
            self._keep(one, delivery)

    def _keep(self, one: Written, delivery: Delivery) -> None:
        """Give a stream its delivery, and watch the stream as long as the delivery is here."""
        if one.delivery is not None:
            return
        one.delivery = delivery
        one.accepted.set()
        delivery.on_end(partial(self._forget, one, delivery.id))
        if one.growth.is_open:
            self._spawn(partial(self._watch, one, delivery))
        elif not one.whole:  # the text became whole after the stream was handed over
            self._ended(one, delivery)

    def _forget(self, one: Written, envelope_id: str) -> None:
        if self._known.get(envelope_id) is one:
            del self._known[envelope_id]

    # -- states told by the writing process

    async def hear(self, instance_id: str, told: Mapping[str, Any], ago: float) -> dict[str, Any]:
        """Take in what the writing process tells; returns what that process is to know.

        instance_id  the only account that it may be about; empty: any account
        ago          how many seconds ago the process told it
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
        """A stream that was accepted and is spilled; None: it has ended, or was never a stream."""
        found = await self._pager.look_up(envelope_id)
        one = self._known.get(envelope_id)
        delivery = None if one is not None or found is None else self._pager.join(found)
        if delivery is not None and delivery.growth is not None and delivery.growth.elsewhere:
            self.came_in(delivery)
            one = self._known.get(envelope_id)
        return one

    def _grow(self, one: Written, told: Mapping[str, Any]) -> None:
        """Give a stream its new text, unless the text continues a state that is not known here."""
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
        """Give a stream its whole text, which is stored before this returns, or with the answer."""
        if one.growth.is_open:
            one.ago = ago
            self._goes_on(one)
            one.growth.ends_as(told["ended"], told["text"], told["extra"])
            if one.delivery is not None:
                self._ended(one, one.delivery)
        await one.accepted.wait()

    def _goes_on(self, one: Written) -> None:
        """Show a restored stream again; policies rewrite each state, whoever accepted it."""
        if one.delivery is not None and one.delivery.restored:
            one.growth.goes_on()
            self._drafting.grow_on(one.delivery, one.growth)

    def _ended(self, one: Written, delivery: Delivery) -> None:
        """Note that a stream has stopped growing: its time to live counts from its end."""
        if delivery.receipt is None:
            self._ends(delivery, one.ago)
            self._journal.grew(delivery)

    # -- while nothing is told

    async def _watch(self, one: Written, delivery: Delivery) -> None:
        """Break a stream off once nobody writes it any more."""
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
        """Whether the outbox answers, through which the writing process would be heard."""
        try:
            await self._pager.look_up(delivery.id)
        except OutboxError:
            return False
        return True
