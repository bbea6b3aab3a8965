"""Makes callers that answer events, which may come again: meanwhile, later or after a kill."""

from __future__ import annotations

import copy
import math
from random import Random
from typing import Any

import trio
from simulated.callers import EXPECTED, Callers
from simulated.drawing import Place, Setup
from simulated.heard import Asked, Heard
from simulated.ledger import Entry, Ledger, number_of, words_of
from simulated.lives import check
from simulated.platforms import Platforms
from simulated.traffic import Replying

from gateway_core import (
    AmbiguousEvent,
    Gateway,
    IdempotencyConflict,
    Receipt,
    UnknownEvent,
    UnknownInstance,
)

NAMES = ("sorry", "done")
SUPERGROUPS = -(10**12)
"""Ids of Telegram's ordinary groups are negative, and above this one."""
STRANGE: tuple[dict[str, Any], ...] = (
    {"update_id": 7, "poll": {"id": "1"}},
    {"type": "event_callback", "event": {"type": "app_home_opened", "channel": "D0AAA"}},
    {"t": "READY", "d": {"session_id": "a"}},
)
"""Events that belong to no conversation."""


class Repliers:
    """All repliers of a world; an event that was not answered comes again in the next life."""

    def __init__(
        self, setup: Setup, ledger: Ledger, platforms: Platforms, callers: Callers
    ) -> None:
        self._setup = setup
        self._ledger = ledger
        self._platforms = platforms
        self._callers = callers
        self._gateway: Gateway | None = None
        self._left = 0 if setup.replies is None else setup.replies.events

    async def run(self, gateway: Gateway) -> None:
        """Run each replier until no event comes any more."""
        drawn = self._setup.replies
        if drawn is None:
            return
        self._gateway = gateway
        async with trio.open_nursery() as nursery:
            for number in range(drawn.handlers):
                rng = self._setup.generator(f"handler {number} of life {self._ledger.life}")
                nursery.start_soon(self._handler, rng, drawn)

    async def _handler(self, rng: Random, drawn: Replying) -> None:
        while True:
            await trio.sleep(rng.choice(drawn.pauses))
            heard = self._next(rng, drawn)
            if heard is None:
                return
            patience = math.inf
            if rng.random() < drawn.patience:
                patience = rng.choice([0.0, 0.25, 1.0, 4.0])
            with trio.move_on_after(patience):
                await self._handled(heard, rng, drawn)

    def _next(self, rng: Random, drawn: Replying) -> Heard | None:
        """An event that comes again, or a new event; None: there are no more."""
        known = [heard for heard in self._ledger.heard if heard.coming > 0]
        some = known if rng.random() < drawn.again else [h for h in known if not h.handled]
        if self._left > 0 and (not some or rng.random() < 0.5):
            self._left -= 1
            return self._said(rng, drawn)
        return rng.choice(some) if some else None

    def _said(self, rng: Random, drawn: Replying) -> Heard:
        """Somebody writes a message in one of the world's rooms."""
        place = self._callers.place(rng)
        thread = None if place.channel == "slack" else self._callers.thread(place)
        people = self._platforms.of(place.instance).people
        if place.channel == "discord":  # a thread is a channel of its own
            said = people.say(place.thread or place.room, "hello")
        else:
            said = people.say(place.room, "hello", thread=thread)
        names = [
            rng.choice(NAMES) if rng.random() < drawn.named else None
            for _ in range(rng.choice(drawn.answers))
        ]
        named = [name for name in NAMES if name in names]
        names = [None] * (len(names) - len(named)) + named
        quotes = rng.random() >= drawn.unquoted
        heard = _heard(place, said, names, thread, quotes=quotes)
        self._ledger.heard.append(heard)
        self._ledger.note("event", place.instance, heard.natural)
        return heard

    async def _handled(self, heard: Heard, rng: Random, drawn: Replying) -> None:
        """An event is delivered, as another object each time."""
        heard.coming -= 1
        event = copy.deepcopy(heard.said)
        if rng.random() < drawn.strange:
            await self._strange(heard.place, rng)
        self._ledger.note("event", "comes", heard.natural)
        for number in range(len(heard.names)):
            if not await self._answered(heard, event, number, rng, drawn):
                return
        heard.handled = True

    async def _strange(self, place: Place, rng: Random) -> None:
        """An event of no conversation is never answered, and never passes silently."""
        assert self._gateway is not None
        event = STRANGE[("telegram", "slack", "discord").index(place.channel)]
        try:
            await self._gateway.reply(event, "m0x0", instance=rng.choice([None, place.instance]))
        except (UnknownEvent, *EXPECTED):
            return
        self._ledger.wrong(f"an event of no conversation was answered: {event}")

    async def _answered(
        self, heard: Heard, event: Any, number: int, rng: Random, drawn: Replying
    ) -> bool:
        """Give one answer; returns whether it was given, or refused for good."""
        key = heard.key(number)
        text = heard.first.setdefault(key, "") or self._callers.text(rng)
        if heard.first[key] and rng.random() < drawn.reworded:
            text = self._callers.text(rng)
        heard.first[key] = heard.first[key] or text
        said = number_of(words_of(text)[0])
        if said not in heard.texts[key]:
            heard.texts[key].append(said)
        self._ledger.asked[said] = Asked(heard, key)
        named = None if rng.random() < drawn.found else heard.place.instance
        if not self._ledger.absent.isdisjoint(self._of_channel(heard.place)):
            named = heard.place.instance  # else an instance that is there would take the event
        conflicts = rng.random() < 0.2
        before = self._ledger.holder(heard.scope(key))
        try:
            receipt = await self._reply(heard, event, number, text, named, rng, conflicts=conflicts)
        except AmbiguousEvent as error:
            self._expect_several(heard, error.instances)
        except (UnknownEvent, UnknownInstance):
            known = heard.place.instance not in self._ledger.absent
            self._ledger.expect(not known, f"nobody knows the event {heard.natural}")
        except IdempotencyConflict as error:
            self._expect_conflict(heard, key, text, error, conflicts=conflicts)
            return True
        except EXPECTED as refusal:
            self._ledger.refused[type(refusal).__name__] += 1
            self._ledger.note("refused", "reply", type(refusal).__name__)
        else:
            self._expect_answer(heard, key, receipt, before)
            return True
        return False

    async def _reply(
        self, heard: Heard, event: Any, number: int, text: str, named: str | None, rng: Random,
        *, conflicts: bool,
    ) -> Receipt:  # fmt: skip
        """Call `Gateway.reply`; nobody waits for an answer of a gateway that has closed."""
        assert self._gateway is not None
        assert self._setup.replies is not None
        self._callers.calls += 1
        call = self._callers.calls
        self._callers.inside[call] = None
        try:
            return await self._gateway.reply(
                event,
                text,
                instance=named,
                key=heard.names[number],
                quote=heard.quoted is not None,
                ttl=rng.choice(self._setup.replies.ttls),
                on_conflict="raise" if conflicts else "replay",
                on_cancel=rng.choice(["withdraw", "withdraw", "detach"]),
                raises=False,
            )
        finally:
            del self._callers.inside[call]

    # -- what must be so

    def _of_channel(self, place: Place) -> list[str]:
        return [i.id for i in self._setup.config.instances if i.channel == place.channel]

    def _expect_several(self, heard: Heard, told: tuple[str, ...]) -> None:
        """Several instances know the event: none of them answers it, and the error names them."""
        same = self._of_channel(heard.place)
        several = len(told) > 1 and set(told) <= set(same)
        self._ledger.expect(several, f"the event {heard.natural} is of {told}")

    def _expect_conflict(
        self, heard: Heard, key: str, text: str, error: IdempotencyConflict, *, conflicts: bool
    ) -> None:
        """A conflict comes only if another text has the key, and the caller asked for conflicts."""
        entry = self._ledger.find(error.envelope_id or "")
        other = entry is None or entry.envelope.text != text
        self._ledger.expect(conflicts and other, f"{key} of {heard.natural} conflicts: {entry}")

    def _expect_answer(
        self, heard: Heard, key: str, receipt: Receipt, before: Entry | None
    ) -> None:
        """The receipt belongs to the only answer to the event under this key."""
        check()
        ledger, scope = self._ledger, heard.scope(key)
        ledger.secret_places.append(repr(receipt))
        entry = ledger.find(receipt.envelope_id)
        if entry is None or entry.receipt is None:
            ledger.wrong(f"a receipt without an end: {receipt.envelope_id}")
            return
        same = entry.receipt.disposition is receipt.disposition
        ledger.expect(same, f"{entry} ended {entry.receipt.disposition}, but told other")
        ledger.expect(entry.envelope.key == key, f"{key} is answered by {entry}")
        if before is not None and ledger.holder(scope) is before:
            ledger.expect(entry is before, f"{key} has its answer {before}, and got {entry}")
        ledger.note("event", "answered", key, receipt.disposition, receipt.replayed)


def _heard(
    place: Place, said: Any, names: list[str | None], thread: str | None, *, quotes: bool
) -> Heard:
    """The facts of an event, read by code that the adapters do not share."""
    if place.channel == "telegram":
        message = said["message"]
        room, number = str(message["chat"]["id"]), str(message["message_id"])
        natural = f"update-{said['update_id']}"
    elif place.channel == "slack":
        room, number = said["event"]["channel"], said["event"]["ts"]
        natural = f"{room}:{number}"
    else:
        room, number = said["d"]["channel_id"], said["d"]["id"]
        natural = number
    direct = place.channel == "slack" and room.startswith("D")
    if place.channel == "telegram" and SUPERGROUPS < int(room) < 0:
        number = f"{room}:{number}"  # after the group has moved, it must name no other message
    return Heard(
        place=place,
        said=said,
        room=room,
        thread=None if place.channel == "discord" else thread,
        quoted=number if quotes and not direct else None,
        natural=natural,
        names=names,
    )
