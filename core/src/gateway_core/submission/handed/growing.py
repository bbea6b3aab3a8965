"""Tells the owner how a stream that this process writes grows.

The newest text wins: only one state of each stream is on its way at a time. As soon as the text is
whole, it is stored for the owner or the next owner, even if a state is still on its way.

This module waits only for the outbox and its owner.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import trio

from gateway_core.contract.envelopes import Send
from gateway_core.contract.errors import GatewayError, OutboxError
from gateway_core.deliveries.growing.growth import Growth
from gateway_core.outboxes.handover import Handover
from gateway_core.submission.handed.asking import Asking
from gateway_core.submission.handed.delivery import HandedDelivery

EVERY = 0.3
"""The least number of seconds between two states of a stream."""
MOST = 50
"""The most states per second, over all streams of a process: each costs a transaction or two."""
STILL = 5.0
"""Seconds without a new state after which the owner is told that somebody still writes."""
AGAIN = 1.0
"""Seconds until a state that could not be told is told again."""


class Telling:
    """Tells the owner how all of a process's streams grow."""

    def __init__(
        self, handover: Handover, asking: Asking, spawn: Callable[[Callable[[], Any]], None]
    ) -> None:
        self._handover, self._asking, self._spawn = handover, asking, spawn
        self._open: set[Teller] = set()
        self._all_told = trio.Event()

    def begin(self, delivery: HandedDelivery, growth: Growth) -> None:
        """Begin to tell of a stream that was handed over while it grew."""
        teller = Teller(self._handover, self._asking, delivery, growth)
        self._open.add(teller)
        self._spawn(partial(self._run, teller))

    async def _run(self, teller: Teller) -> None:
        try:
            await teller.run(self._pause)
        finally:
            self._open.discard(teller)
            self._all_told.set()

    def _pause(self) -> float:
        return max(EVERY, len(self._open) / MOST)

    async def drained(self) -> None:
        """Wait until the owner has every stream's whole text, or needs it no longer."""
        while self._open:
            self._all_told = trio.Event()
            await self._all_told.wait()


@attrs.define(eq=False)
class Teller:
    """Tells the owner how one stream grows.

    _has  the text that the owner has for certain, and the number of that state; -1: none
    """

    _handover: Handover
    _asking: Asking
    _delivery: HandedDelivery
    _growth: Growth
    _has: tuple[str, int] = ("", -1)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)
    _passing: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    async def run(self, pause: Callable[[], float]) -> None:
        """Tell the owner until it has the whole text, or needs it no longer.

        pause  seconds between two states
        """
        self._growth.woken_by(self._look)
        self._delivery.on_end(self._look)
        with self._passing:
            self._look()
            await self._tell_states(pause)
        while not self._is_over and not self._growth.is_open:
            try:
                await self._handover.tell(self._delivery.envelope.instance_id, self._whole())
            except OutboxError:
                await trio.sleep(AGAIN)
            else:
                return

    @property
    def _is_over(self) -> bool:
        return self._delivery.receipt is not None or self._delivery.stored

    def _look(self) -> None:
        """Wake the task: the stream has grown, or is whole, or nobody needs it any more."""
        self._changed.set()
        if self._is_over or not self._growth.is_open:
            self._passing.cancel()

    async def _tell_states(self, pause: Callable[[], float]) -> None:
        """Tell states, one after the other, until the owner takes no more."""
        instance_id, growth = self._delivery.envelope.instance_id, self._growth
        goes_on = True
        while goes_on:
            with trio.move_on_after(STILL):
                await self._changed.wait()
            self._changed = trio.Event()
            text, number = growth.written, growth.number
            try:
                told = await self._asking.ask(instance_id, "grow", **self._state(text, number))
            except GatewayError:  # e.g. the outbox is away; the ticket reports lasting errors
                self._changed.set()
                await trio.sleep(AGAIN)
                continue
            goes_on = self._hear(told, text, number)
            await trio.sleep(pause())

    def _state(self, text: str, number: int) -> dict[str, Any]:
        """The newest state, as a change to the state that the owner has."""
        has, after = self._has
        kept = len(has) if text.startswith(has) else 0
        return {
            "id": self._delivery.handed_id,
            "number": number,
            "after": after if kept else -1,
            "kept": kept,
            "text": text[kept:],
            "below": self._growth.below,
        }

    def _hear(self, told: dict[str, Any], text: str, number: int) -> bool:
        """Take in the owner's answer; whether the owner takes more states."""
        if told["has"] == number:
            self._has = (text, number)
        else:  # another owner, which does not have the former state
            self._has = ("", -1)
            self._changed.set()
        if told["started"]:
            self._delivery.has_started()
        if told["stopped"] or not told["open"]:
            self._growth.stop()
        return bool(told["open"])

    def _whole(self) -> str:
        text, extra = self._growth.as_said
        return json.dumps(
            {
                "do": "grow",
                "id": self._delivery.handed_id,
                "ended": self._growth.state,
                "text": text,
                "extra": None if extra is None else dict(extra),
            }
        )


def opening(asked: Send, growth: Growth) -> Send:
    """The envelope to hand over to the owner, with the text as far as it is written.

    If the whole text has other platform fields than the stream began with, these are told later:
    with them, the envelope would not count as the same message as others with its key.
    """
    text, extra = growth.as_said
    assert asked.grows is not None  # noqa: S101 - a stream's
    whole = not growth.is_open and (extra or {}) == asked.extra
    stored_as = growth.stored_as if whole else 0
    grows = attrs.evolve(asked.grows, elsewhere=True, stored_as=stored_as)
    return attrs.evolve(asked, text=text if text.strip() else growth.showing(), grows=grows)
