"""Makes callers that stream: they write word by word, finish, break off, or lose patience."""

from __future__ import annotations

import math
from functools import partial
from random import Random
from typing import Any

import trio
from simulated.callers import EXPECTED, Callers
from simulated.drawing import Place, Setup, Streaming
from simulated.ledger import Ledger, number_of, words_of
from simulated.lives import check
from simulated.platforms import Platforms
from simulated.spoken import SHORT, Spoken

from gateway_core import DeliveryError, Gateway, IdempotencyConflict, Invalid, Receipt

KEYS = 3
MOST_TEXT = 20_000


class Broke(Exception):
    """A model's own failure, in the block of its stream."""


class Writers:
    """All writers of a world; in the next life, they write the answers that are left."""

    def __init__(
        self, setup: Setup, ledger: Ledger, platforms: Platforms, callers: Callers
    ) -> None:
        self._setup = setup
        self._ledger = ledger
        self._platforms = platforms
        self._callers = callers
        self._gateway: Gateway | None = None
        self._left = 0 if setup.streams is None else setup.streams.answers

    async def run(self, gateway: Gateway) -> None:
        """Run each writer until there is nothing left to answer."""
        if self._setup.streams is None:
            return
        self._gateway = gateway
        async with trio.open_nursery() as nursery:
            for number in range(self._setup.streams.writers):
                rng = self._setup.generator(f"writer {number} of life {self._ledger.life}")
                nursery.start_soon(self._writer, rng, self._setup.streams)

    async def _writer(self, rng: Random, drawn: Streaming) -> None:
        while self._left > 0:
            self._left -= 1
            await trio.sleep(rng.choice(drawn.between))
            patience = math.inf
            if rng.random() < drawn.patience:
                patience = rng.choice([0.0, 0.25, 1.0, 4.0, 12.0])
            with trio.move_on_after(patience):
                await self._answered(rng, drawn)

    async def _answered(self, rng: Random, drawn: Streaming) -> None:
        try:
            await self._answer(rng, drawn)
        except DeliveryError as error:
            self._ledger.secret_places.append(f"{error} {error!r}")
            self._expect_same(error.receipt)
        except (*EXPECTED, IdempotencyConflict) as refusal:
            self._ledger.refused[type(refusal).__name__] += 1
            self._ledger.note("refused", "stream", type(refusal).__name__)
        except Broke:
            self._ledger.note("stream", "breaks")

    # -- one answer

    async def _answer(self, rng: Random, drawn: Streaming) -> None:
        places = self._setup.places[: drawn.rooms]
        which = rng.randrange(len(places))
        place = places[which]
        key = None
        if rng.random() < drawn.keyed:
            key = f"answer {which} {rng.randrange(KEYS)}"
        saying = _Saying(self._callers, rng, drawn)
        spoken = self._spoken(place, key, saying)
        assert self._gateway is not None
        try:
            await self._block(self._gateway, place, key, spoken, saying)
        finally:
            self._ledger.closes_block(spoken)

    async def _block(
        self, gateway: Gateway, place: Place, key: str | None, spoken: Spoken, saying: _Saying
    ) -> None:
        async with gateway.stream(
            (place.instance, place.room),
            thread=self._callers.thread(place),
            key=key,
            ttl=spoken.ttl,
            on_error=spoken.on_error,  # type: ignore[arg-type]  # one of the three
            broken_off=spoken.broken_off,
            max_text=MOST_TEXT,
        ) as out:
            first = self._ledger.opens(spoken)
            try:
                await self._say(out, spoken, saying)
            except BaseException:
                check()
                self._ledger.ends(spoken, spoken.on_error)
                raise
            text = saying.last if spoken is first else None
            self._ledger.ends(spoken, "finished", text)
            receipt = await self._finished(out, text)
            check()
            self._expect_same(receipt)
            if first is not spoken and first.entry is not None:
                joins = receipt.envelope_id == first.entry.id
                self._ledger.expect(joins, f"a stream that joined {first.entry} was told another")

    async def _finished(self, out: Any, text: str | None) -> Receipt:
        """The stream's receipt; nobody waits for a receipt of a gateway that has closed."""
        self._callers.calls += 1
        number = self._callers.calls
        self._callers.inside[number] = None
        try:
            if text is None and number % 3 == 0:
                await self._finish_by_leaving(out)
            receipt: Receipt = await out.finish(text)
        finally:
            del self._callers.inside[number]
        return receipt

    async def _finish_by_leaving(self, out: Any) -> None:
        """A program whose buttons are refused goes on without them, and leaves its block."""
        try:
            await out.finish(buttons=5)
        except Invalid as refusal:
            if not any(problem.place.startswith("buttons") for problem in refusal.problems):
                raise  # the message itself is refused
        await out.__aexit__(None, None, None)
        ended = out.receipt is not None
        self._ledger.expect(ended, "the end of the block did not wait for the stream's end")

    def _spoken(self, place: Place, key: str | None, saying: _Saying) -> Spoken:
        until = trio.current_time() + sum(pause for pause, _, _ in saying.acts)
        spoken = Spoken(
            scope=None if key is None else (place.instance, place.room, key),
            broken_off=saying.mark,
            on_error=saying.on_error,
            ttl=saying.ttl,
            until=until,
            numbers=saying.numbers,
            short=saying.longest <= SHORT,
        )
        spoken.statuses.update(saying.statuses)
        return spoken

    async def _say(self, out: Any, spoken: Spoken, saying: _Saying) -> None:
        ledger = self._ledger
        for pause, act, text in saying.acts:
            await trio.sleep(pause)
            check()
            if out.stopped and saying.stops:
                return
            if act == "break":
                raise Broke
            if act == "vanish":
                self._take_away(spoken, text)
            elif act == "status":
                ledger.note("stream", "status", text)
                out.status(text)
            elif act == "replace":
                ledger.says(spoken, text)
                out.replace(text)
            else:
                ledger.says(spoken, spoken.text + text)
                out.write(text)
            self._make_known(out, spoken)

    def _make_known(self, out: Any, spoken: Spoken) -> None:
        """If others change streams, let them know the stream from its acceptance on."""
        drawn, entry = self._setup.streams, spoken.entry
        if drawn is None or not drawn.shared or entry is None or out.ticket is None:
            return
        if all(known is not out.ticket for _, known in self._callers.sent):
            self._callers.sent.append((entry.envelope, out.ticket))

    def _take_away(self, spoken: Spoken, which: str) -> None:
        """Let somebody delete one of the stream's messages."""
        there = [
            message
            for message in self._platforms.messages()
            if not message.deleted and spoken.numbers.intersection(_numbers(message.text))
        ]
        if there and spoken.is_open:
            message = there[int(which) % len(there)]
            message.deleted = True
            spoken.taken.add(message.id)
            self._ledger.note("stream", "vanishes", message.id)

    def _expect_same(self, receipt: Receipt) -> None:
        """The receipt is the same as in the observers' event."""
        entry = self._ledger.find(receipt.envelope_id)
        self._ledger.secret_places.append(repr(receipt))
        if entry is None or entry.receipt is None:
            self._ledger.wrong(f"a receipt without an end: {receipt.envelope_id}")
        else:
            same = entry.receipt.disposition is receipt.disposition
            self._ledger.expect(same, f"{entry} ended {entry.receipt.disposition}, but told other")


def _numbers(text: str) -> set[int]:
    return set(map(number_of, words_of(text)))


class _Saying:
    """Everything that one answer will do, drawn before the answer begins.

    acts  (pause, what, text): a word that is written, a status, a text to begin anew with, the
          exception that ends the block, a message that somebody deletes
    last  the text that `finish` is given; None: the text that was written
    """

    def __init__(self, callers: Callers, rng: Random, drawn: Streaming) -> None:
        self._callers = callers
        self.numbers: set[int] = set()
        self.statuses: set[str] = set()
        self.on_error = rng.choice(["mark", "mark", "keep", "delete"])
        self.ttl = rng.choice(drawn.ttls)
        self.stops = rng.random() < 0.5
        self.mark = f" {self._word(self._number())}" if rng.random() < 0.8 else ""
        self.acts: list[tuple[float, str, str]] = []
        self.last: str | None = None
        self.longest = 0
        count = rng.choice(drawn.words)
        breaks = rng.randrange(count + 1) if rng.random() < drawn.broken else None
        number, said, text, status = self._number(), 0, "", ""
        for index in range(count):
            pause = partial(rng.choice, drawn.pauses)
            if index == breaks:
                self.acts.append((pause(), "break", ""))
            if rng.random() < drawn.statuses:
                status = self._word(self._number()) if rng.random() < 0.7 else ""
                self.statuses.update(words_of(status))
                self.acts.append((pause(), "status", status))
            if rng.random() < drawn.vanishing:
                self.acts.append((pause(), "vanish", str(rng.randrange(10))))
            if said and rng.random() < drawn.replaced:
                number, said = self._number(), 0
                text = f"{self._word(number)} "
                self.acts.append((pause(), "replace", text))
            else:
                text += f"{self._word(number, said)} "
                self.acts.append((pause(), "write", f"{self._word(number, said)} "))
            said += 1
            self.longest = max(self.longest, len(text) + len(status) + 2 + len(self.mark))
        for turn in range(rng.choice(drawn.lasting)):
            status = self._word(self._number()) if turn % 2 == 0 else ""
            self.statuses.update(words_of(status))
            self.acts.append((rng.choice(drawn.pauses), "status", status))
            self.longest = max(self.longest, len(text) + len(status) + 2 + len(self.mark))
        if breaks == count:
            self.acts.append((0.0, "break", ""))
        if rng.random() < drawn.rewritten:
            number = self._number()
            words = [self._word(number, index) for index in range(rng.choice([1, count]))]
            self.last = " ".join(words)
            self.longest = max(self.longest, len(self.last))

    def _number(self) -> int:
        self._callers.texts += 1
        self.numbers.add(self._callers.texts)
        return self._callers.texts

    @staticmethod
    def _word(number: int, index: int = 0) -> str:
        return f"m{number}x{index}"
