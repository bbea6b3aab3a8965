"""An outbox in memory that gateways share: one owns it, and others hand over; in virtual time."""

import json
from itertools import count

import attrs
import trio

from gateway_core import OutboxError
from gateway_core.outboxes import News, Request, RequestWithdrawn
from gateway_core.testing import MemoryOutbox, virtual_wall


@attrs.define(eq=False)
class Row:
    """A request that was handed over, and its outcome."""

    request: Request
    handed_at: float
    desk: object
    answer: str | None = None
    envelope_id: str | None = None
    withdrawn: bool = False

    @property
    def waits(self):
        return self.answer is None and self.envelope_id is None and not self.withdrawn


class SharedMemory(MemoryOutbox):
    """The shared outbox. `away`: it cannot be reached.

    `latency`: seconds until the owner sees a request that is handed over.
    """

    def __init__(self, latency=0.05):
        self._owner, self.rows = None, []
        super().__init__()
        self.away, self.latency, self.counts = False, latency, {}
        self._numbers = count(1)

    @property
    def requested(self):
        return self._owner

    @requested.setter
    def requested(self, owner):
        self._owner = owner
        for row in self.rows:
            self.give(row)

    async def __aexit__(self, *_):
        self._owner = None

    def give(self, row):
        if self._owner is not None and not self.away and row.waits:
            age = trio.current_time() - row.handed_at
            self._owner(attrs.evolve(row.request, age=age))

    def back(self):
        """Make the outbox reachable again."""
        self.away = False
        for row in self.rows:
            self.give(row)

    def share_count(self, classes):
        self.counts = classes
        return {}

    def handover(self):
        self.desk = Desk(self)
        return self.desk

    async def add(self, desk, **asked):
        self.check()
        if desk.dead:
            await trio.sleep_forever()
        number = next(self._numbers)
        row = Row(Request(number=number, **asked), trio.current_time(), desk)
        self.rows.append(row)
        await trio.sleep(self.latency)
        self.give(row)
        return row

    def check(self):
        if self.away:
            raise OutboxError("it is away")

    async def find(self, what):
        self.check()
        return await super().find(what)

    async def append(self, entry, on_stored):
        row = None if entry.request is None else self.rows[entry.request - 1]
        if row is not None and row.withdrawn:
            raise RequestWithdrawn("it was withdrawn")
        if entry.after and self.rows[entry.after - 1].waits:
            raise OutboxError("the room's request before it is not answered yet")

        def stored():
            on_stored()
            if row is not None:
                row.envelope_id = entry.id

        await super().append(entry, stored)
        if row is not None:
            row.desk.hears(row)

    def answered(self, request, answer):
        row = self.rows[request.number - 1]
        row.answer = answer
        row.desk.hears(row)

    def finished(self, receipt):
        super().finished(receipt)
        for row in self.rows:
            if receipt.envelope_id in (row.envelope_id, _accepted(row)):
                row.desk.hears(row)


def _accepted(row):
    plain = {} if row.answer is None or row.request.kind != "submit" else json.loads(row.answer)
    return plain.get("accepted")


class Desk:
    """The handover of one process, which reports nothing more once it is `dead`."""

    def __init__(self, outbox):
        self.dead = False
        self._outbox = outbox
        self._answered = {}
        self.asked = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def hand_over(self, envelope, *, awaited, files):
        place = 8192 + len(self._outbox.rows)
        own_id = f"{int(virtual_wall() * 1000):012x}{place:06x}{'0' * 12}"
        row = await self._outbox.add(
            self,
            kind="submit",
            instance_id=envelope.instance_id,
            room=envelope.external_room_id,
            envelope=envelope,
            envelope_id=own_id,
            awaited=awaited,
            claims=True,
        )
        return row.request.envelope_id

    async def ask(self, instance_id, question, *, files=()):
        row = await self._ask(instance_id, question, files)
        event = self._answered.setdefault(row, trio.Event())
        try:
            if row.waits:
                await event.wait()
        except trio.Cancelled:
            row.withdrawn = row.waits
            raise
        return row.answer

    async def tell(self, instance_id, question):
        await self._ask(instance_id, question)

    async def _ask(self, instance_id, question, files=()):
        self.asked.append(question)
        place = f"asked {len(self._outbox.rows)}"
        given = {"asked": question, "files": frozenset(files)}
        return await self._outbox.add(
            self, kind="ask", instance_id=instance_id, room=place, **given
        )

    def leave(self, handed_id):
        raise NotImplementedError

    async def unfinished(self):
        self._outbox.check()
        return self._outbox.counts

    async def find(self, what):
        self._outbox.check()
        rows = [row for row in self._outbox.rows if row.request.envelope_id == what]
        return self._news(rows[0]) if rows else None

    def hears(self, row):
        if row.request.kind == "ask":
            self._answered.setdefault(row, trio.Event()).set()
        elif row.request.envelope_id in self.waiting():
            self.heard(self._news(row))

    def _news(self, row):
        asked, found = row.request, None
        said = {} if row.answer is None else json.loads(row.answer)
        name = row.envelope_id or said.get("accepted")
        if name is not None:
            found = self._outbox.look_up(name)
        return News(
            id=asked.envelope_id,
            instance_id=asked.instance_id,
            room=asked.room,
            handed_at=row.handed_at,
            answered_at=None if row.waits else 1.0,
            envelope_id=name,
            replayed=said.get("ended", False),
            refused=said.get("error"),
            receipt=None if found is None else found.receipt,
            stored=found is not None and found.stored is not None,
        )
