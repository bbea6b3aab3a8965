"""The outbox in a database file: group commit in one worker thread, one owner at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import time as system_time
from types import TracebackType
from typing import Any, Self, TypeVar

import trio

from gateway_contrib.durable.batch import Batch
from gateway_contrib.durable.committer import POLL, Committer
from gateway_contrib.durable.damage import unreadable
from gateway_contrib.durable.group_rows import Claim
from gateway_contrib.durable.rows import entry_row, numbers_of
from gateway_contrib.durable.sealing.contents import key_row, sealed_entry
from gateway_contrib.durable.sealing.known import keys_in
from gateway_contrib.sqlite.beside.byte_files import Folder
from gateway_contrib.sqlite.beside.contents import Contents
from gateway_contrib.sqlite.beside.desk import BesideDesk
from gateway_contrib.sqlite.beside.groups import Groups
from gateway_contrib.sqlite.beside.storing import AT_ONCE, Storing
from gateway_contrib.sqlite.failing import logged, typed
from gateway_contrib.sqlite.files.log import Log, has_log
from gateway_contrib.sqlite.files.opening import check_place, connect, make
from gateway_contrib.sqlite.files.ownership import Ownership, refusal
from gateway_contrib.sqlite.files.presence import Presence
from gateway_contrib.sqlite.files.shrinking import BREATH, Bounds, Shrinker
from gateway_contrib.sqlite.files.slots import paths_of
from gateway_contrib.sqlite.operators import suspensions
from gateway_contrib.sqlite.reading import Reader
from gateway_contrib.sqlite.sealing.known import keyring_at
from gateway_contrib.sqlite.settings import SqliteSettings
from gateway_contrib.sqlite.writing import Writer
from gateway_core import Secret
from gateway_core.outboxes import (
    OUTBOX_FAILED,
    OUTBOX_WORKS,
    STREAMS,
    Endings,
    Entry,
    Found,
    OutboxError,
    Overdue,
    Overview,
    PastAttempt,
    Recovery,
    Request,
    StoredEntry,
    Stream,
    Suspension,
    log_event,
    position_of,
)

T = TypeVar("T")


class SqliteOutbox(Storing):
    """Stores entries in the database file at `path`; made at first use, never made anew.

    Entering the outbox raises `OutboxError` if the file is damaged, is not an outbox, needs a later
    release, cannot be opened, has another owner, or is sealed with a key that is not among `keys`.
    With `slots`, the file is the first one of several that has no owner.

    keys    the keys of its texts: the first one seals, all open; raises ValueError for a bad key
    sealed  whether there are keys
    """

    def __init__(
        self,
        path: Path | str,
        settings: SqliteSettings | None = None,
        *,
        wall_clock: Callable[[], float] | None = None,
        keys: Sequence[Secret] = (),
    ) -> None:
        self.settings = settings or SqliteSettings()
        resolved = Path(path).resolve()  # one owner, by whatever name the file is opened
        self._paths = paths_of(resolved, self.settings.slots)
        self.path = self._paths[0]
        self._wall = wall_clock or system_time
        self._keys = keys_in(keys)
        self.sealed = bool(self._keys)
        self._begin()

    def _begin(self) -> None:
        """Set the initial state, at construction and each time that the outbox is entered."""
        self._requested: Callable[[Request], None] | None = None
        self.lost: Callable[[str], None] | None = None  # not called: the owner keeps the file
        self.arrived: Callable[[str], None] | None = None  # not called: only the owner adds groups
        self.next_position: Callable[[], int] | None = None  # unused: only the owner appends
        self.keys_for = 86_400.0
        self._committer = Committer(
            self._write, queue=self.settings.queue, linger=self.settings.linger
        )
        self._stack = ExitStack()
        self._writing = trio.CapacityLimiter(1)
        self._reading = trio.CapacityLimiter(1)
        self._storing = trio.CapacityLimiter(AT_ONCE)
        self._tasks: Any = None
        self._at(self.path)

    def _at(self, path: Path) -> None:
        self.path = path
        self._folder, self._presence = Folder(path), Presence(path)
        self._ownership = Ownership(path)

    @property
    def requested(self) -> Callable[[Request], None] | None:
        """Called with operators' requests; until it is set, nobody looks for them."""
        return self._requested

    @requested.setter
    def requested(self, told: Callable[[Request], None] | None) -> None:
        self._requested = told
        self._committer.between = self._look_after
        self._committer.wake()  # the committer may be waiting without a limit

    # -- opening and closing

    async def __aenter__(self) -> Self:
        self._begin()
        try:
            await self._own()
            with typed("cannot be opened", self.path):
                await self._in_thread(self._open, self._writing)
        except BaseException:
            self._stack.close()
            raise
        self._tasks = trio.open_nursery()
        nursery = await self._tasks.__aenter__()
        nursery.start_soon(self._committer.run)
        return self

    async def _own(self) -> None:
        """Become the owner of the first free file, waiting for one for at most `owner_wait`."""
        deadline = trio.current_time() + self.settings.owner_wait
        while True:
            for path in self._paths:
                self._at(path)
                with typed("cannot be opened", path):
                    check_place(path)
                    owner = self._ownership.take()
                if owner is None:
                    self._stack.callback(self._ownership.give_back)
                    return
            if trio.current_time() >= deadline and owner is not None:
                if len(self._paths) == 1:
                    raise refusal(self.path, owner)
                number, last = len(self._paths), self.path
                raise OutboxError(
                    f"all {number} slots are taken, the last one ({last}) by {owner}: stop one of"
                    " these gateways, or give more slots"
                )
            await trio.sleep(0.1)

    def _open(self) -> None:
        if not self.path.exists():
            make(self.path)
            owner = self._ownership.lock()
            if owner is not None:
                raise refusal(self.path, owner)
        begun = has_log(self.path)
        connection = connect(self.path, synchronous=self.settings.synchronous)
        self._stack.callback(connection.close)
        if self.settings.integrity_check:
            found = connection.execute("PRAGMA integrity_check(1)").get
            if found != "ok":
                raise OutboxError(f"outbox {self.path} is damaged: {found}")
        self._keyring = keyring_at(connection, self._keys, self.path, owner=True)
        self._reader = Reader(self.path, unreadable, self._keyring)
        self._stack.callback(self._reader.close)
        self._connection = connection
        self._log = Log(connection, begun=begun)
        with typed("cannot be opened", self.path, connection):
            self._log.seal()
        self._open_beside(connection)
        self._writer = Writer(connection, self._log, self._groups, self._contents)
        self._desk = BesideDesk(connection, self._keyring, self._groups, self._contents)
        self._shrinker = Shrinker(connection, self._contents)
        self._presence.opened()

    def _open_beside(self, connection: Any) -> None:
        """Open groups and bytes, and remove what a killed run left half done."""
        self._contents = Contents(connection, self._folder)
        self._groups = Groups(connection, self._keyring, self._contents)
        with typed("cannot be opened", self.path, connection):
            self._groups.tidy()
            self._contents.tidy()

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
            with logged(OUTBOX_FAILED):
                self._stack.close()

    def _keys_since(self) -> float:
        """A POSIX time: keys of envelopes that ended before it are forgotten."""
        window = self.settings.key_window
        return self._wall() - (self.keys_for if window is None else window)

    # -- what the committer does

    async def _write(self, batch: Batch) -> None:
        wall = self._wall()
        with self._presence.typed("cannot write", self._connection):
            await self._in_thread(lambda: self._writer.commit(batch, wall), self._writing)

    async def _look_after(self) -> None:
        """Now and then, carry out requests, forget old rows, and see that the files are there."""
        committer = self._committer
        if self._requested is None or not self._desk.due(trio.current_time(), committer.patience):
            return
        self._presence.look()
        wall, bounds = self._wall(), self._bounds()
        with logged(OUTBOX_FAILED):
            asked, more = await self._in_thread(lambda: self._tend(wall, bounds), self._writing)
            committer.patience = BREATH if more else POLL
            for request in asked:
                self._requested(request)

    def _tend(self, wall: float, bounds: Bounds) -> tuple[list[Request], bool]:
        """Do that work; returns requests for the gateway, and whether there is more to do."""
        more = False
        with logged(OUTBOX_FAILED):
            if self._ownership.renew():
                log_event(OUTBOX_FAILED, error=f"{self.path}.owner was deleted; it was made again")
                log_event(OUTBOX_WORKS, seconds=0.0)  # so that an alert ends
        with logged(OUTBOX_FAILED, lambda why: self._committer.tending.fails(why, wall)):
            if self._presence.log_gone:
                self._log.rescue()
            else:
                more = self._shrinker.step(wall, bounds)
        asked = self._desk.serve(wall)
        return asked, self._desk.reseal(wall) or more

    def _bounds(self) -> Bounds:
        wall, settings = self._wall(), self.settings
        return Bounds(
            history=wall - settings.history_for,
            keys=self._keys_since(),
            refs=wall - settings.refs_for,
            size=settings.history_size,
        )

    async def _in_thread(self, do: Callable[[], T], limiter: trio.CapacityLimiter) -> T:
        if not self.settings.in_thread:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return do()
        return await trio.to_thread.run_sync(do, limiter=limiter, abandon_on_cancel=False)

    # -- what the gateway reports

    async def append(self, entry: Entry, on_stored: Callable[[], None]) -> None:
        """Store the entry; returns once it is on the disk.

        No more entries are taken once the file has turned out to be damaged or was taken away.
        """
        self._presence.check()
        seq = position_of(entry.id)
        scope = entry.scope
        key = key_row(self._keyring, scope, seq) if scope is not None else None
        row = entry_row(entry, seq)
        if self.sealed:
            row = sealed_entry(self._keyring, row)
        claim = None
        if entry.files or entry.member is not None:
            claim = Claim(seq, entry.member, entry.files)
        try:
            await self._committer.stored(row, key, on_stored, claim)
        except trio.Cancelled:
            self.withdraw(entry.id)
            raise

    def answered(self, request: Request, answer: str) -> None:
        """Written with the next batch; about accounts, it also says if the file takes no more."""
        if request.kind == "accounts":
            answer = self._presence.said_in(answer)
        super().answered(request, answer)

    async def erase(self, request: Request, in_flight: int) -> None:
        """Erase everything of a room, and answer the request."""
        wall = self._wall()
        place = (request.instance_id, request.room)
        seqs = await self._read(lambda: self._reader.of_room(*place))
        rows = await self._read(lambda: self._reader.beside.rows_with(*place))

        def erase() -> None:
            self._desk.forget(request.room, seqs, rows, wall)
            self._desk.erase(request, seqs, in_flight, wall)

        with typed("cannot erase", self.path, self._connection):
            await self._in_thread(erase, self._writing)

    async def store_suspension(
        self,
        instance_id: str,
        suspension: Suspension | None,
        age: float = 0.0,  # noqa: ARG002 - of engines that processes ask while nobody owns an account
    ) -> None:
        """Store it in a write of its own.

        Answers come first: the next process run repeats a request whose answer is not written, and
        must not undo a newer one.
        """
        if not self._committer.idle:
            await self.flush()
        store = partial(suspensions.store, self._connection, instance_id, suspension)
        with typed("cannot store a suspension", self.path, self._connection):
            await self._in_thread(store, self._writing)

    # -- what the gateway asks

    async def overview(self) -> Overview:
        """Totals of what previous process runs left."""
        return await self._read(self._reader.overview)

    async def recover(self, instance_id: str) -> Recovery:
        """The account's last state; the file is owned as a whole, from its opening on."""
        return await self._read(lambda: self._reader.recovery(instance_id))

    async def attempts(
        self, *, since: float, instance_id: str | None = None, limit: int = 1000
    ) -> Sequence[PastAttempt]:
        """Attempts of envelopes that ended since then, and of unfinished ones."""
        wall = self._wall()
        return await self._read(lambda: self._reader.attempts(since, wall, instance_id, limit))

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
        if room is not None:
            await self._file()
        wanted = numbers_of(streams)
        return await self._read(lambda: self._reader.page(instance_id, room, wanted, after, limit))

    async def scheduled(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Sequence[StoredEntry]:
        """Scheduled entries, by their times."""
        return await self._read(lambda: self._reader.scheduled(until, after, limit))

    async def overdue(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Overdue:
        """Overdue entries, by their deadlines."""
        await self._file()
        return await self._read(lambda: self._reader.overdue(until, after, limit))

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """Endings by their numbers; all endings that were reported before are written first."""
        return await self._read(lambda: self._reader.endings(after, limit))

    async def find(self, what: str | tuple[str, str, str, str]) -> Found | None:
        """Find an envelope or a group by id or key.

        If changes are queued, an unfinished envelope or a group is read again once they are
        written, since they may have been written between the first look and its answer.
        """
        behind = not self._committer.idle
        found = await self._look_up(what)
        changing = found is not None and (found.stored is not None or found.group is not None)
        if changing and (behind or not self._committer.idle):
            if not self._committer.idle:
                await self.flush()
            found = await self._look_up(what)
        return found

    async def _look_up(self, what: str | tuple[str, str, str, str]) -> Found | None:
        since = self._keys_since()
        with self._presence.typed("cannot be read"):
            return await self._in_thread(lambda: self._reader.look_up(what, since), self._reading)

    async def _file(self) -> None:
        """Put all entries into the indexes by room and by deadline."""
        if not self._committer.idle:
            await self.flush()
        with self._presence.typed("cannot write", self._connection):
            while await self._in_thread(self._writer.file, self._writing):
                pass

    async def _read(self, do: Callable[[], T]) -> T:
        """Read once all earlier reports are written, including the batch being written now."""
        if not self._committer.idle:
            await self.flush()
        with self._presence.typed("cannot be read"):
            return await self._in_thread(do, self._reading)
