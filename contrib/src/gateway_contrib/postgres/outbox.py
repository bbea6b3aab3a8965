"""The outbox in PostgreSQL: group commit in a worker thread; one process owns it, others wait."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from time import time as system_time
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs
import trio

from gateway_contrib.durable.batch import Batch
from gateway_contrib.durable.committer import POLL, Committer, Failing, Trouble
from gateway_contrib.durable.group_rows import Claim
from gateway_contrib.durable.rows import entry_row, numbers_of
from gateway_contrib.durable.sealing.contents import sealed_entry
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.durable.sealing.known import keys_in
from gateway_contrib.postgres import past, reading
from gateway_contrib.postgres.beside.keys import Keys
from gateway_contrib.postgres.connections.connecting import Link, options_of
from gateway_contrib.postgres.connections.failing import Place, typed
from gateway_contrib.postgres.connections.migrations import migrate, migrated
from gateway_contrib.postgres.handed import LATELY, Handed, Refused
from gateway_contrib.postgres.names import ALL
from gateway_contrib.postgres.operators.requests import Desk
from gateway_contrib.postgres.producing.handover import PostgresHandover
from gateway_contrib.postgres.sealing.known import keyring_at
from gateway_contrib.postgres.settings import PostgresSettings
from gateway_contrib.postgres.sharing import Sharing
from gateway_contrib.postgres.spreading.reading import place_of_all
from gateway_contrib.postgres.writes import ageing
from gateway_contrib.postgres.writes.statements import key_row
from gateway_contrib.postgres.writes.writing import NotCommon, Writer
from gateway_core import Secret
from gateway_core.outboxes import (
    OUTBOX_FAILED,
    REQUEST_REFUSED,
    STREAMS,
    Endings,
    Entry,
    Found,
    OutboxError,
    Overdue,
    Overview,
    PastAttempt,
    Request,
    StepRecord,
    StoredEntry,
    Stream,
    log_event,
    position_of,
)

T = TypeVar("T")

READS_FOR = 60.0
"""Seconds that a look into the database may take."""
BREATH = 0.05
"""Seconds between two steps of forgetting, while there are more old rows."""
LEAST = 0.05
"""Seconds, at least, between two looks for requests, however many accounts are gained."""


class PostgresOutbox(Sharing):
    """Stores entries in the database at `url`, in a schema of their own, made at first use.

    Entering the outbox raises `OutboxError` if the database cannot be reached or used, the schema
    needs a later release, another process owns the outbox for longer than `owner_wait`, or the
    texts are sealed with a key that is not among `keys`.

    keys     the keys of its texts: the first one seals, all open; raises ValueError for a bad key
    sealed   whether there are keys
    spreads  whether several processes own its accounts; this process then owns some of them
    """

    def __init__(
        self,
        url: str,
        settings: PostgresSettings | None = None,
        *,
        wall_clock: Callable[[], float] | None = None,
        keys: Sequence[Secret] = (),
    ) -> None:
        self.settings = settings or PostgresSettings()
        self.place = Place(url, self.settings.schema)
        self.url = url
        self._wall = wall_clock or system_time
        self._keys = keys_in(keys)
        self.sealed = bool(self._keys)
        self.spreads = self.settings.accounts == "spread"
        self._failing = Failing()
        self._begin()

    def handover(self) -> PostgresHandover:
        """The handover to the owner of this outbox, for a process that delivers nothing itself."""
        return PostgresHandover(self.url, self.settings, self._wall, self._keys, self._failing)

    def _begin(self) -> None:
        """Set the initial state, at construction and each time that the outbox is entered."""
        super()._begin()
        settings = self.settings
        self._keyring = Keyring()
        self.requested: Callable[[Request], None] | None = None
        self.lost: Callable[[str], None] | None = None
        self.arrived: Callable[[str], None] | None = None
        self.next_position: Callable[[], int] | None = None
        self.keys_for = 86_400.0
        self._failing.parts.clear()
        self._committer = Committer(
            self._write, queue=settings.queue, linger=settings.linger, failing=self._failing
        )
        self._committer.between = self._look_after
        self._writing = trio.CapacityLimiter(1)
        self._reading = trio.CapacityLimiter(1)
        self._lasting = trio.CapacityLimiter(1)
        self._turn = trio.Lock()
        self._tenure = self._lost = 0
        quick = options_of(self.url, settings, patience=settings.patience, by_index=True)
        slow = options_of(self.url, settings, patience=READS_FOR, by_index=False)
        self._reader = Link(slow, limit=READS_FOR + settings.connect_for)
        lease = Link(quick, limit=settings.lease / 2)
        self._membership = self._member_by(lease)
        self._handed = Handed()
        self._writer = Writer(
            Link(quick, limit=settings.lease),
            self.place,
            self._membership.member,
            self._keyring,
            self._handed,
            spreads=self.spreads,
        )
        self._desk = Desk(self._keyring)
        self._forgetting = ageing.Forgetting(self._writer.contents)
        self._scopes = Keys(self._look)
        self._links = (self._reader, self._writer.link, lease)
        self._accounts: set[str] = set()
        self._troubled = Trouble()
        self._looked = -1.0
        self._tasks: Any = None

    # -- opening and closing

    async def __aenter__(self) -> Self:
        self._begin()
        try:
            with typed(self.place, "cannot be opened"):
                prepare = partial(migrate, schema=self.settings.schema)
                call = partial(self._reader.call, prepare)
                await migrated(lambda: self._in_thread(call, self._reading), self.place)
                await self._look(lambda it: keyring_at(it, self._keys, self.place, owner=False))
                await self._own()
            self._writer.is_of(self._membership.member)
            await self._know_keys()
            await self._tidy()
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._leave()
            raise
        self._tasks = trio.open_nursery()
        nursery = await self._tasks.__aenter__()
        nursery.start_soon(self._commit_on, nursery.cancel_scope)
        nursery.start_soon(self._watch)
        nursery.start_soon(self._take_handed)
        if self.spreads:
            nursery.start_soon(self._take_part_on)
        return self

    async def _commit_on(self, others: trio.CancelScope) -> None:
        await self._committer.run()
        others.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._committer.close()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            with trio.CancelScope(shield=True):
                await self._leave()

    async def _leave(self) -> None:
        await self._give_back()
        for link in self._links:
            link.close()

    # -- what the committer does

    async def _write(self, batch: Batch) -> None:
        wall = self._wall()
        try:
            await self._transacted(lambda: self._writer.commit(batch, wall))
        finally:
            while self._writer.lost:
                self._lose(self._writer.lost.pop())
        self._writer.idle -= batch.spent.keys()
        self._handed.answered(batch.answers)
        self._desk.answered(batch.answers)
        self._handed.answered(self._writer.claimed)
        self._writer.claimed.clear()

    async def _look_after(self) -> None:
        """Now and then, carry out operators' requests and forget old rows."""
        now = trio.current_time()
        if self.requested is None or now - self._looked < self._committer.patience:
            return
        self._looked = now
        wall, settings = self._wall(), self.settings
        bounds = ageing.Bounds(
            history=wall - settings.history_for,
            keys=self._keys_since(),
            refs=wall - settings.refs_for,
        )
        try:
            more = await self._serve()
            await self._tidy_up()
            if self._common:
                step = partial(self._forgetting.step, bounds=bounds)
                more = await self._apart(step, ALL) or more
        except NotCommon:  # another process has just taken over the common work
            return
        except OutboxError as error:
            if (times := self._committer.tending.fails(str(error), now)) is not None:
                log_event(OUTBOX_FAILED, error=str(error), times=times)
            return
        self._committer.patience = BREATH if more else POLL

    def _keys_since(self) -> float:
        """A POSIX time: keys of envelopes that ended before it are forgotten."""
        window = self.settings.key_window
        return self._wall() - (self.keys_for if window is None else window)

    async def _take_handed(self) -> None:
        """Give the gateway the requests that applications handed over, as they become visible."""
        came = -math.inf
        while True:
            if self.requested is not None and self._membership.owns:
                tenure = self._tenure
                try:
                    look = self._of_its_own(self._handed.look)
                    taken = await self._look(partial(look, now=trio.current_time()))
                except OutboxError as error:
                    taken = []
                    if (times := self._troubled.fails(str(error), trio.current_time())) is not None:
                        log_event(OUTBOX_FAILED, error=str(error), times=times)
                if tenure != self._tenure or not self._membership.owns:
                    self._handed.anew()  # another owner may have answered these rows meanwhile
                    taken = []
                for one in taken:
                    came = trio.current_time()
                    if not self._handed.knows(one.number):  # its account was lost meanwhile
                        continue
                    if isinstance(one, Request):
                        self.requested(one)
                    else:
                        self._refuse_handed(one)
            lately = trio.current_time() - came < LATELY
            pause = self.settings.poll if lately else self.settings.poll * 10
            least = min(pause, LEAST)
            await trio.sleep(least)
            with trio.move_on_after(pause - least):
                await self._gains.wait()
            self._gains = trio.Event()

    def _refuse_handed(self, row: Refused) -> None:
        """Refuse a row that no request can be made of, and log it: perhaps nobody asks for it."""
        self._answer(row.number, json.dumps({"refused": row.why}), row.kind)
        if row.kind == "submit":
            kind = row.why.partition(":")[0]
            error = kind if kind.isidentifier() else "Invalid"
            log_event(REQUEST_REFUSED, instance=row.instance, error=error, where=None)

    def answered(self, request: Request, answer: str) -> None:
        """Write the answer with the batch that has the accepted entry, or with a later one."""
        if request.number < 0:
            self._answer_asked(request, answer)
        elif self._handed.knows(request.number):
            self._answer(request.number, answer, request.kind)

    def _answer(self, number: int, answer: str, kind: str) -> None:
        self._committer.batch.answers[number] = (number, self._wall(), answer, kind)
        self._committer.wake()

    # -- what the gateway reports

    async def append(self, entry: Entry, on_stored: Callable[[], None]) -> None:
        """Store the entry; returns once it is committed."""
        self._check(entry.envelope.instance_id)
        seq, scope, key, claim = position_of(entry.id), entry.scope, None, None
        if scope is not None:
            key = key_row(self._keyring, scope, seq)
        if entry.files or entry.member is not None or entry.request is not None:
            claim = Claim(seq, entry.member, entry.files, entry.request, entry.after)
        row = (*sealed_entry(self._keyring, entry_row(entry, seq)), entry.sequence)
        try:
            await self._committer.stored(row, key, on_stored, claim)
        except trio.Cancelled:
            if entry.request is None:
                self.withdraw(entry.id)
            else:  # a written entry has answered the request, and its next owner goes on with it
                self._committer.batch.leave_out(seq)
            raise

    async def attempt_started(self, envelope_id: str, record: StepRecord) -> None:
        """Record the attempt; returns once that is committed, if the lease still runs."""
        self._check()
        await super().attempt_started(envelope_id, record)
        if not self._membership.covered:
            undone = attrs.evolve(record, number=record.number - 1, started=False)
            self.attempt_ended(envelope_id, undone)
            raise OutboxError(f"outbox {self.place}: the lease is over, or could not be renewed")

    # -- what the gateway asks

    async def overview(self) -> Overview:
        """Totals of what previous process runs left."""
        return await self._read(place_of_all if self.spreads else reading.overview)

    async def attempts(
        self, *, since: float, instance_id: str | None = None, limit: int = 1000
    ) -> Sequence[PastAttempt]:
        """Attempts of envelopes that ended since then, and of unfinished ones."""
        wall = self._wall()
        return await self._read(
            lambda it: past.attempts(it, self._keyring, since, wall, instance_id, limit)
        )

    async def page(
        self,
        instance_id: str,
        *,
        room: str | None = None,
        streams: Sequence[Stream] = STREAMS,
        after: int = -1,
        limit: int = 1000,
    ) -> Sequence[StoredEntry]:
        """Unfinished entries of an instance or a room, by position."""
        wanted = numbers_of(streams)
        return await self._read(
            lambda it: reading.page(it, self._keyring, instance_id, room, wanted, after, limit)
        )

    async def scheduled(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Sequence[StoredEntry]:
        """Scheduled entries, by their times."""
        read = self._of_its_own(reading.scheduled)
        return await self._read(lambda it: read(it, self._keyring, until, after, limit))

    async def overdue(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Overdue:
        """Overdue entries, by their deadlines."""
        read = self._of_its_own(reading.overdue)
        return await self._read(lambda it: read(it, self._keyring, until, after, limit))

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """Endings by their numbers; all endings that were reported before are written first."""
        return await self._read(lambda it: reading.endings(it, self._keyring, after, limit))

    async def find(self, what: str | tuple[str, str, str, str]) -> Found | None:
        """Find an envelope or a group by id or key.

        If changes are queued, an unfinished envelope or a group is read again once they are
        written, since they may have been written between the first look and its answer.
        """
        behind, since = not self._committer.idle, self._keys_since()
        if not isinstance(what, str) and not await self._scopes.known(self._keyring, what, since):
            return None  # true of most keys, and each new key is looked up here
        found = await self._look(lambda it: reading.look_up(it, self._keyring, what, since))
        changing = found is not None and (found.stored is not None or found.group is not None)
        if changing and (behind or not self._committer.idle):
            found = await self._read(lambda it: reading.look_up(it, self._keyring, what, since))
        return found
