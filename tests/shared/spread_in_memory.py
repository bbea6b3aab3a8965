"""An outbox in memory whose accounts are spread over gateways, all on one virtual clock.

The test decides who owns which account, with `Store.give`. Handed-over requests are seen after
`latency` seconds.
"""

import json
from collections import Counter
from itertools import count

import attrs
import trio

from gateway_core import OutboxError
from gateway_core.outboxes import News, Overdue, Overview, Request, RequestWithdrawn
from gateway_core.testing import MemoryOutbox, virtual_wall

LATER = 100


@attrs.define(eq=False)
class Row:
    """A request that was handed over, and its outcome."""

    request: Request
    handed_at: float
    answer: str | None = None
    envelope_id: str | None = None
    withdrawn: bool = False
    taken_by: object = None
    seen: bool = False

    @property
    def own_id(self):
        """The id that the submitted envelope has already; None for other requests."""
        return self.request.envelope_id if self.request.kind == "submit" else None

    @property
    def waits(self):
        return self.answer is None and self.envelope_id is None and not self.withdrawn


class Store:
    """What all members share: the rows, and each account's present and next owner."""

    def __init__(self, latency=0.05):
        self.rows, self.latency = MemoryOutbox(), latency
        self.handed = []
        self.wanted, self.owners = {}, {}
        self.suspended = {}
        self.members, self.desks = [], []
        self.away = False

    def give(self, instance_id, member):
        """Let the member own the account as soon as its present owner has given it up."""
        self.wanted[instance_id] = member
        owner = self.owners.get(instance_id)
        if owner is not None and owner is not member:
            owner.leaving(instance_id)
        elif owner is None and member is not None:
            member.offered()

    @property
    def waits(self):
        """Whether anything is unfinished."""
        return bool(len(self.rows)) or any(row.waits for row in self.handed)

    def kill(self, member):
        """Kill the member: its accounts are free, even if it has attempts under way."""
        member.dead = True
        for instance_id, owner in list(self.owners.items()):
            if owner is member:
                self.freed(instance_id)

    def take_away(self, instance_id, member):
        """Give the account to the member at once, as if its owner were dead."""
        owner, self.wanted[instance_id] = self.owners[instance_id], member
        self.freed(instance_id)
        owner.lost(instance_id)

    def freed(self, instance_id):
        del self.owners[instance_id]
        for row in self.handed:
            if row.request.instance_id == instance_id:
                row.taken_by = None
        wanted = self.wanted.get(instance_id)
        if wanted is not None and wanted.offered is not None:
            wanted.offered()

    def check(self):
        if self.away:
            raise OutboxError("the store is away")

    def show(self):
        """Show each waiting request to the owner of its account."""
        for row in self.handed:
            owner = self.owners.get(row.request.instance_id)
            if row.seen and row.waits and owner is not None and row.taken_by is not owner:
                row.taken_by = owner
                owner.requested(attrs.evolve(row.request, age=trio.current_time() - row.handed_at))

    def tell(self, row):
        for desk in self.desks:
            desk.hears(row)


class Member:
    """One process's outbox: an engine whose accounts are spread."""

    spreads = True

    def __init__(self, store):
        self.store, self.dead = store, False
        self.requested = self.lost = self.arrived = self.next_position = None
        self.offered = self.leaving = self.wanted = None
        self.keys_for, self.counts = 0.0, {}
        self.id_slot = len(store.members) % 128
        self._numbers = count(1)
        store.members.append(self)

    def __getattr__(self, name):
        return getattr(self.store.rows, name)

    async def __aenter__(self):
        await self.store.rows.__aenter__()
        return self

    async def __aexit__(self, *_):
        for instance_id, owner in list(self.store.owners.items()):
            if owner is self:
                self.store.freed(instance_id)

    def handover(self):
        return Desk(self.store)

    def owned(self, instance_id):
        return not self.dead and self.store.owners.get(instance_id) is self

    def check(self, instance_id):
        self.store.check()
        if not self.owned(instance_id):
            raise OutboxError(f"account {instance_id} is another process's")

    # -- ownership of accounts

    def serves(self, instance_ids):
        self.served = set(instance_ids)

    def passed_on(self, request):
        for row in self.store.handed:
            if row.request.instance_id == request.instance_id and row.taken_by is self:
                row.taken_by = None

    def is_known(self, instance_id):
        return True

    def lacks(self, instance_id):
        """Does nothing, since the test decides who owns which account."""

    def share_count(self, classes):
        self.counts = classes
        total = Counter()
        for member in self.store.members:
            if member is not self and not member.dead:
                total.update(member.counts)
        return total

    def idles(self, instance_id):
        """Does nothing, since the test decides who owns which account."""

    def ends(self):
        """Does nothing, for the same reason."""

    def offers(self, instance_id):
        free = instance_id not in self.store.owners
        return free and self.store.wanted.get(instance_id) is self and not self.store.away

    async def recover(self, instance_id):
        await trio.lowlevel.checkpoint()
        found = await self.store.rows.recover(instance_id)
        if not instance_id:
            return found
        if not self.owned(instance_id):
            if not self.offers(instance_id):
                raise OutboxError(f"account {instance_id} is not to be had")
            self.store.owners[instance_id] = self
        rows = [r for r in self._rows.values() if r.entry.envelope.instance_id == instance_id]
        self.store.show()
        seen = await self.store.rows.overview()
        stored = Overview(
            unfinished={instance_id: len(rows)} if rows else {},
            classes=Counter(row.stream.priority for row in rows),
            scheduled=sum(row.due is not None for row in rows),
        )
        return attrs.evolve(
            found,
            last_id=seen.last_id,
            sequence=self._newest_position(),
            stored=stored,
            suspended=self.store.suspended.get(instance_id),
        )

    async def store_suspension(self, instance_id, suspension, age=0.0):
        self.check(instance_id)
        await trio.sleep(self.store.latency)
        self.check(instance_id)
        if suspension is None:
            self.store.suspended.pop(instance_id, None)
        else:
            self.store.suspended[instance_id] = suspension

    def _newest_position(self):
        given = [position for position, _ in self._order]
        return max([*given, self.__dict__.get("given", -1)])

    def covers(self, instance_id):
        return self.owned(instance_id)

    def release(self, instance_id, at, standings):
        self.store.rows.release(instance_id, at, standings)
        if instance_id and self.owned(instance_id):
            self.store.freed(instance_id)

    # -- methods for owned accounts

    async def overview(self):
        seen = await self.store.rows.overview()
        return attrs.evolve(seen, unfinished={}, classes={}, scheduled=0)

    def _mine(self, found):
        return [each for each in found if self.owned(each.entry.envelope.instance_id)]

    async def scheduled(self, *, until, after=(0.0, -1), limit=1000):
        found = await self.store.rows.scheduled(until=until, after=after, limit=LATER * limit)
        return self._mine(found)[:limit]

    async def overdue(self, *, until, after=(0.0, -1), limit=1000):
        found = await self.store.rows.overdue(until=until, after=after, limit=LATER * limit)
        return Overdue(stored=self._mine(found.stored)[:limit], next=found.next)

    async def page(self, instance_id, **asked):
        self.check(instance_id)
        return await self.store.rows.page(instance_id, **asked)

    async def append(self, entry, on_stored):
        instance_id = entry.envelope.instance_id
        self.check(instance_id)
        row = None if entry.request is None else self.store.handed[entry.request - 1]
        if row is not None and not row.waits:
            raise RequestWithdrawn("it was withdrawn, or another owner has answered it")
        if entry.after and self.store.handed[entry.after - 1].waits:
            raise OutboxError("the room's request before it is not answered yet")

        def stored():
            on_stored()
            if row is not None:
                row.envelope_id = entry.id

        await self.store.rows.append(entry, stored)
        if row is not None:
            self.store.tell(row)

    async def attempt_started(self, envelope_id, record):
        stored = self._rows.get(envelope_id)
        if stored is not None:
            self.check(stored.entry.envelope.instance_id)
        await self.store.rows.attempt_started(envelope_id, record)

    def answered(self, request, answer):
        row = self.store.handed[request.number - 1]
        if row.waits and row.taken_by is self:
            row.answer = answer
            self.store.tell(row)

    def finished(self, receipt):
        if self.owned(receipt.instance_id):
            self.store.rows.finished(receipt)
            for desk in self.store.desks:
                desk.ended(receipt)


class Desk:
    """The handover of one process."""

    def __init__(self, store):
        self.store = store
        self._answered = {}

    async def __aenter__(self):
        self.store.desks.append(self)
        return self

    async def __aexit__(self, *_):
        self.store.desks.remove(self)
        for event in self._answered.values():  # no answer will come any more
            event.set()

    async def hand_over(self, envelope, *, awaited, files):
        place = 8192 + len(self.store.handed)
        own_id = f"{int(virtual_wall() * 1000):012x}{place:06x}{'0' * 12}"
        await self._add(
            kind="submit",
            instance_id=envelope.instance_id,
            room=envelope.external_room_id,
            envelope=envelope,
            envelope_id=own_id,
            awaited=awaited,
            claims=True,
        )
        return own_id

    async def _add(self, **asked):
        self.store.check()
        if self not in self.store.desks:
            raise OutboxError("the process has closed")
        row = Row(Request(number=len(self.store.handed) + 1, **asked), trio.current_time())
        self.store.handed.append(row)
        await trio.sleep(self.store.latency)
        row.seen = True
        self.store.show()
        return row

    async def ask(self, instance_id, question, *, files=()):
        given = frozenset(files)
        return await self._asked(kind="ask", instance_id=instance_id, asked=question, files=given)

    async def _asked(self, **asked):
        row = await self._add(room=f"asked {len(self.store.handed)}", **asked)
        if self not in self.store.desks:
            raise OutboxError("the process has closed")
        event = self._answered.setdefault(row, trio.Event())
        try:
            if row.waits:
                await event.wait()
        except trio.Cancelled:
            row.withdrawn = row.waits
            raise
        if row.answer is None:
            raise OutboxError("the process has closed")
        return row.answer

    async def tell(self, instance_id, question):
        place = f"asked {len(self.store.handed)}"
        await self._add(kind="ask", room=place, instance_id=instance_id, asked=question)

    def expect(self):
        """Does nothing, since this desk gets all news anyway."""

    def leave(self, handed_id):
        for row in self.store.handed:
            if row.own_id == handed_id and row.waits:
                row.withdrawn = True

    async def cancel(self, envelope_id):
        for row in self.store.handed:
            if row.own_id == envelope_id and row.waits:
                row.withdrawn = True
                self.store.tell(row)
                return True
        news = await self.find(envelope_id)
        if news is None or not news.stored:
            return False
        asked = {"instance_id": news.instance_id, "envelope_id": news.envelope_id}
        return await self._asked(kind="cancel", **asked) == "cancelled"

    async def find(self, what):
        self.store.check()
        for row in self.store.handed:
            if row.own_id == what:
                return self._news(row)
        found = self.store.rows.look_up(what)
        return None if found is None else _news_of(found)

    async def unfinished(self):
        self.store.check()
        total = Counter()
        for member in self.store.members:
            if not member.dead:
                total.update(member.counts)
        return total

    async def endings(self, *, after, limit=1000):
        return await self.store.rows.endings(after=after, limit=limit)

    def hears(self, row):
        if row.request.kind != "submit":
            self._answered.setdefault(row, trio.Event()).set()
        elif row.request.envelope_id in self.waiting():
            self.heard(self._news(row))

    def ended(self, receipt):
        for name in self.waiting():
            rows = [row for row in self.store.handed if row.own_id == name]
            if rows and receipt.envelope_id in (rows[0].envelope_id, _accepted(rows[0])):
                self.heard(self._news(rows[0]))
            elif name == receipt.envelope_id and not rows:
                self.heard(_news_of(self.store.rows.look_up(name)))

    def _news(self, row):
        said = {} if row.answer is None else json.loads(row.answer)
        name, found = row.envelope_id or said.get("accepted"), None
        if name is not None:
            found = self.store.rows.look_up(name)
        return News(
            id=row.request.envelope_id,
            instance_id=row.request.instance_id,
            room=row.request.room,
            handed_at=row.handed_at,
            answered_at=None if row.waits else 1.0,
            envelope_id=name,
            replayed=said.get("ended", False),
            cancelled=row.withdrawn,
            refused=said.get("error"),
            receipt=None if found is None else found.receipt,
            stored=found is not None and found.stored is not None,
        )


def _accepted(row):
    plain = {} if row.answer is None or row.request.kind != "submit" else json.loads(row.answer)
    return plain.get("accepted")


def _news_of(found):
    envelope = found.receipt or found.stored.entry.envelope
    return News(
        id=found.envelope_id,
        instance_id=envelope.instance_id,
        room=envelope.external_room_id,
        handed_at=0.0,
        answered_at=1.0,
        envelope_id=found.envelope_id,
        receipt=found.receipt,
        stored=found.stored is not None,
    )
