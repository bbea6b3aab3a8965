"""Makes callers that send messages with files, replace or remove files, and lose patience."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import attrs
import trio
from simulated.callers import EXPECTED, Callers
from simulated.drawing import Setup
from simulated.ledger import Ledger
from simulated.lives import check
from simulated.traffic import Filing
from simulated.uploads import SHARED, content_of, drawn_name

from gateway_core import (
    Delete,
    Edit,
    File,
    Gateway,
    IdempotencyConflict,
    Invalid,
    MessageRef,
    Receipt,
    Send,
    Ticket,
)


class Posters:
    """All posters of one world. In the next life, they still have the refs that they got."""

    gateway: Gateway

    def __init__(self, setup: Setup, ledger: Ledger, callers: Callers) -> None:
        self._setup = setup
        self._ledger = ledger
        self._callers = callers
        self._left = 0 if setup.files is None else setup.files.messages
        self._names = 0
        self._posted: list[tuple[Send, Ticket | Receipt | MessageRef]] = []

    async def run(self, gateway: Gateway) -> None:
        """Run each poster until all is sent."""
        drawn = self._setup.files
        if drawn is None:
            return
        self.gateway = gateway
        self._posted = [(send, _kept(known)) for send, known in self._posted]
        async with trio.open_nursery() as nursery:
            for number in range(drawn.posters):
                rng = self._setup.generator(f"poster {number} of life {self._ledger.life}")
                nursery.start_soon(self._poster, rng, drawn)

    async def _poster(self, rng: Random, drawn: Filing) -> None:
        kinds, weights = list(drawn.kinds), list(drawn.kinds.values())
        while self._left > 0:
            self._left -= 1
            await trio.sleep(rng.choice(drawn.pauses))
            kind = rng.choices(kinds, weights)[0]
            patience = math.inf
            if rng.random() < drawn.patience:
                patience = rng.choice([0.0, 0.25, 1.0, 4.0])
            with trio.move_on_after(patience):
                await self._attempted(kind, rng, drawn)

    async def _attempted(self, kind: str, rng: Random, drawn: Filing) -> None:
        ledger, callers = self._ledger, self._callers
        callers.calls += 1
        number = callers.calls
        callers.inside[number] = None
        try:
            await getattr(self, f"_{kind}")(rng, drawn)
        except (*EXPECTED, IdempotencyConflict) as refusal:
            ledger.refused[type(refusal).__name__] += 1
            ledger.note("refused", "files", type(refusal).__name__)
        except Invalid as refusal:
            ledger.note("refused", "files", refusal)
            ledger.expect(kind in ("replace", "take_off"), f"a message is refused: {refusal}")
        finally:
            del callers.inside[number]

    # -- what is sent

    def files(self, rng: Random, drawn: Filing) -> tuple[File, ...]:
        """Files of this message alone, at least one, and files that others have as well."""
        names = []
        for place in range(rng.choice(drawn.files)):
            if place and rng.random() < drawn.shared:
                names.append(rng.choice(SHARED))
            else:
                self._names += 1
                names.append(drawn_name(rng, self._names))
        rng.shuffle(names)
        large = rng.random() < drawn.large
        return tuple(self._file(name, large=large and name not in SHARED) for name in names)

    def _file(self, name: str, *, large: bool) -> File:
        content = content_of(name, large=large)
        self._ledger.contents[name] = content
        return File(content, name=name)

    def envelope(self, rng: Random, drawn: Filing) -> Send:
        """A message with files; some have a key."""
        callers = self._callers
        place = callers.place(rng)
        fields = callers.fields(rng, place)
        files = self.files(rng, drawn)
        count = rng.choice(drawn.words)
        return Send(
            text=self.text(count),
            thread_id=callers.thread(place),
            key=f"files {self._names}" if rng.random() < drawn.keyed else None,
            files=files,
            on_file_error="send_text" if count and rng.random() < drawn.text_alone else "fail",
            **fields,
        )

    def text(self, count: int) -> str:
        """So many words that occur nowhere else."""
        self._callers.texts += 1
        return " ".join(f"m{self._callers.texts}x{index}" for index in range(count))

    def of_group(self, name: str) -> tuple[File, ...]:
        """The files of a group; some groups have none."""
        drawn, rng = self._setup.files, self._setup.generator(f"files of {name}")
        if drawn is None or rng.random() >= drawn.groups:
            return ()
        return self.files(rng, drawn)

    # -- what posters do

    async def _post(self, rng: Random, drawn: Filing) -> None:
        await self._submitted(self.envelope(rng, drawn), rng)

    async def _submitted(self, send: Send, rng: Random) -> None:
        if rng.random() < 0.5:
            ticket = await self.gateway.submit(send)
            self._posted.append((send, ticket))
            if rng.random() < 0.5:
                await ticket.receipt()
            return
        fields = attrs.asdict(send, recurse=False)
        given = {name: fields[name] for name in GIVEN}
        receipt = await self.gateway.send(
            send.instance_id,
            send.external_room_id,
            send.text,
            thread=send.thread_id,
            raises=False,
            **given,
        )
        check()
        self._posted.append((send, receipt))

    async def _again(self, rng: Random, drawn: Filing) -> None:
        """The same message under the same key, from bytes that are read anew."""
        keyed = [send for send, _ in self._posted if send.key is not None]
        if not keyed:
            await self._post(rng, drawn)
            return
        send = attrs.evolve(rng.choice(keyed), deadline=None, not_before=None)
        await self._submitted(send, rng)

    async def _replace(self, rng: Random, drawn: Filing) -> None:
        """Another text, and other files instead of the message's files."""
        await self._edited(rng, {"files": self.files(rng, drawn)})

    async def _reword(self, rng: Random, drawn: Filing) -> None:
        """Another text; the files stay."""
        del drawn
        await self._edited(rng, {})

    async def _take_off(self, rng: Random, drawn: Filing) -> None:
        del drawn
        await self._edited(rng, {"files": ()})

    async def _edited(self, rng: Random, more: dict[str, Any]) -> None:
        send, target = self._target(rng)
        if send is None:
            return
        fields = self._fields(rng, send)
        edit = Edit(target=target, text=self.text(rng.choice([1, 2])), **fields, **more)
        ticket = await self.gateway.submit(edit)
        if rng.random() < 0.5:
            await ticket.receipt()

    async def _remove(self, rng: Random, drawn: Filing) -> None:
        del drawn
        send, target = self._target(rng)
        if send is not None:
            await self.gateway.submit(Delete(target=target, **self._fields(rng, send)))

    async def _cancel(self, rng: Random, drawn: Filing) -> None:
        del drawn
        tickets = [known for _, known in self._posted if isinstance(known, Ticket)]
        if not tickets:
            await trio.lowlevel.checkpoint()
            return
        done = await self.gateway.cancel(rng.choice(tickets))
        self._ledger.note("files", "cancelled", done)

    def _fields(self, rng: Random, send: Send) -> dict[str, Any]:
        place = next(p for p in self._setup.places if p.instance == send.instance_id)
        fields = self._callers.fields(rng, place)
        fields["external_room_id"] = send.external_room_id
        fields.pop("not_before" if "not_before" in fields else "ttl", None)
        return fields

    def _target(self, rng: Random) -> tuple[Send | None, Any]:
        """A message that was sent."""
        if not self._posted:
            return None, None
        send, known = rng.choice(self._posted)
        if isinstance(known, MessageRef):
            return send, known
        return (send, known.ref) if known.ref is not None else (None, None)


GIVEN = (
    "reply_to", "key", "ttl", "deadline", "not_before", "priority", "order", "on_unknown",
    "files", "on_file_error",
)  # fmt: skip
"""Fields that `send` takes by the same names."""


def _kept(known: Ticket | Receipt | MessageRef) -> Receipt | MessageRef:
    """What an application keeps when its process ends."""
    return known.ref if isinstance(known, Ticket) else known
