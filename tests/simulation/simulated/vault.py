"""Makes the outbox in a file a part of the world, which has its thread, its disk and its time.

The file and the code that reads and writes it are real; only *when* that happens is drawn. The next
life finds exactly what a killed life had committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import apsw
import attrs
import trio
from simulated.bytes_stored import needed_by
from simulated.group_rows import GroupKept, kept_groups
from simulated.lives import check
from simulated.ports import Ports, Stumbled

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.reading import endings
from gateway_core import OutboxError, Receipt
from gateway_core.outboxes import StepRecord, StoredEntry
from gateway_core.outboxes.records import Entry as Kept

if TYPE_CHECKING:
    from simulated.ledger import Ledger

T = TypeVar("T")
WAITS = (0.0, 0.0, 0.0, 0.25)
ARRIVED = ("delivered", "deleted", "unchanged")


class Vault(SqliteOutbox):
    """A `SqliteOutbox` behind ports; its calls are compared with what the ledger saw."""

    _ports: Ports
    store_suspension: Any = None
    """An operator's suspension ends with the life here: the queue goes on in the next life."""

    @classmethod
    def at(cls, path: Path, ports: Ports) -> Vault:
        """The outbox of one life."""
        setup = ports.setup
        settings = SqliteSettings(
            synchronous="NORMAL",
            linger=setup.linger,
            queue=setup.queue,
            large_bytes=1 << 16,
            in_thread=False,
        )
        vault = cls(path, settings, wall_clock=ports.wall)
        vault._ports = ports
        vault._acknowledged: set[tuple[str, int]] = set()
        return vault

    async def _in_thread(self, do: Callable[[], T], limiter: trio.CapacityLimiter) -> T:
        """Work in trio's thread instead of another, at a drawn time; never cancelled midway."""
        ports = self._ports
        check()
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            await ports.passed()
            wait = ports.disk.choice(WAITS)
            if wait and ports.disk_is_slow():
                await trio.sleep(wait)
            check()
            if limiter is self._writing and ports.disk_is_full():
                raise apsw.FullError("database or disk is full")
            answer = do()
            await trio.lowlevel.checkpoint()
            await ports.passed()
            check()
        return answer

    async def read_bytes(self, digest: str, offset: int, limit: int) -> bytes:
        """Bytes are there for as long as somebody needs them."""
        try:
            return await super().read_bytes(digest, offset, limit)
        except OutboxError as error:
            needed = digest in needed_by(self._ports.ledger.unfinished)
            self._ports.ledger.expect(not needed, f"bytes that are needed are gone: {error}")
            raise

    async def append(self, entry: Kept, kept: Callable[[], None]) -> None:
        """Whatever becomes of the caller, the ledger knows the entry that was handed over."""
        check()
        ledger = self._ports.ledger
        ledger.offered(entry)
        ledger.appending += 1
        try:
            await super().append(entry, kept)
        except OutboxError:
            ledger.not_kept(entry)
            raise
        finally:
            ledger.appending -= 1

    async def attempt_started(self, envelope_id: str, record: StepRecord) -> None:
        """An attempt is recorded before its call, and never after the step was acknowledged."""
        check()
        ledger = self._ports.ledger
        said = (envelope_id, record.serial, record.number)
        key = f"{envelope_id}.{record.serial}"
        begun = (envelope_id, key, record.number) in ledger.begun
        ledger.expect(not begun, f"{said} is recorded after it was made")
        done = said[:2] in self._acknowledged and not self._grows(envelope_id)
        ledger.expect(not done, f"{said} begins after it was acknowledged")
        await super().attempt_started(envelope_id, record)
        check()
        ledger.recorded.add((envelope_id, key, record.number))
        if self._ports.breaks():
            raise Stumbled("something of the engine's own breaks")

    def acknowledged(self, envelope_id: str, record: StepRecord) -> None:
        """A step is acknowledged once."""
        check()
        said, ledger = (envelope_id, record.serial), self._ports.ledger
        twice = said in self._acknowledged and not self._grows(envelope_id)
        ledger.expect(not twice, f"{said} is acknowledged twice")
        self._acknowledged.add(said)
        super().acknowledged(envelope_id, record)

    def _grows(self, envelope_id: str) -> bool:
        """Whether the envelope is a stream: one step changes its message again and again."""
        entry = self._ports.ledger.find(envelope_id)
        return entry is not None and entry.spoken is not None

    def finished(self, receipt: Receipt) -> None:
        """Note the end of an envelope."""
        check()
        super().finished(receipt)

    async def reopen(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> tuple[str, Sequence[StoredEntry]]:
        """Whatever becomes of the caller, the ledger knows what may be unfinished again."""
        check()
        failed = await super().failed(group_id)
        self._ports.ledger.reopens([each.envelope_id for each in failed])
        place, found = await super().reopen(group_id, after=after, limit=limit)
        check()
        for stored in found:
            self._acknowledged = {said for said in self._acknowledged if said[0] != stored.entry.id}
        return place, found

    def withdraw(self, envelope_id: str) -> None:
        """Withdraw an envelope, which was not accepted after all."""
        check()
        self._ports.ledger.withdrawn(envelope_id)
        super().withdraw(envelope_id)


@attrs.frozen(kw_only=True)
class StepKept:
    """What the file knows of a step; `named`: whether it knows the id of the step's message."""

    number: int
    started: bool
    attempts: int
    maybe_sent: int
    outcome: str | None
    named: bool = False

    @property
    def done(self) -> bool:
        """Whether the step was acknowledged."""
        return self.outcome in ARRIVED

    @property
    def open(self) -> bool:
        """Whether a try had begun whose end nobody knows."""
        return self.started and self.outcome is None


@attrs.frozen(kw_only=True)
class Truth:
    """The contents of the file between two lives.

    unfinished  the steps by serial, of every envelope that has not ended
    ended       the disposition of every envelope that has ended
    closed      instances and operations of instances that platforms closed, and until when
    grown       the number and the text of the newest state, of streams that have not ended
    groups      all groups that are remembered
    stored      the digests of all bytes that have a use; `unused`: those of the other bytes
    loose       files beside the database that it does not know, or that it knows and are missing
    """

    unfinished: Mapping[str, Mapping[int, StepKept]]
    ended: Mapping[str, str]
    closed: Mapping[tuple[str, str], float] = attrs.field(factory=dict)
    grown: Mapping[str, tuple[int, str]] = attrs.field(factory=dict)
    groups: Mapping[str, GroupKept] = attrs.field(factory=dict)
    stored: frozenset[str] = frozenset()
    unused: frozenset[str] = frozenset()
    loose: frozenset[str] = frozenset()


def read(path: Path) -> Truth:
    """Read the file by hand, since the code that reads it in the next life is being tested."""
    if not path.exists():  # the first life did not get so far
        return Truth(unfinished={}, ended={})
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        unfinished: dict[str, dict[int, StepKept]] = {
            name: {} for (name,) in database.execute("SELECT id FROM envelopes ORDER BY seq")
        }
        rows = database.execute(
            """SELECT e.id, s.serial, s.number, s.started, s.attempts, s.maybe_sent, s.outcome,
                s.message_id IS NOT NULL
            FROM steps s JOIN envelopes e ON e.seq = s.seq ORDER BY 1, 2"""
        )
        for name, serial, number, started, attempts, maybe_sent, outcome, named in rows:
            unfinished[name][serial] = StepKept(
                number=number,
                started=bool(started),
                attempts=attempts,
                maybe_sent=maybe_sent,
                outcome=outcome,
                named=bool(named),
            )
        ended = dict(database.execute("SELECT id, disposition FROM history"))
        rows = database.execute("SELECT instance, operation, until FROM closures")
        closed = {(instance, operation): until for instance, operation, until in rows}
        rows = database.execute(
            """SELECT e.id, g.number, CAST(g.text AS TEXT)
            FROM grown g JOIN envelopes e ON e.seq = g.seq"""
        )
        grown = {name: (number, text) for name, number, text in rows}
        groups = kept_groups(database)
        sql = """SELECT digest, content IS NULL,
            EXISTS (SELECT 1 FROM uses u WHERE u.digest = b.digest) FROM bytes b"""
        rows = list(database.execute(sql))
    finally:
        database.close()
    folder = path.with_name(f"{path.name}.bytes")
    beside = {each.name for each in folder.iterdir()} if folder.exists() else set()
    return Truth(
        unfinished=unfinished,
        ended=ended,
        closed=closed,
        grown=grown,
        groups=groups,
        stored=frozenset(digest for digest, _, used in rows if used),
        unused=frozenset(digest for digest, _, used in rows if not used),
        loose=frozenset(beside ^ {digest for digest, apart, _ in rows if apart}),
    )


class Clerk:
    """An application that reads the endings after each life, from the cursor that it kept."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._after = 0
        self._told: dict[str, str] = {}

    def read(self, path: Path, truth: Truth) -> None:
        """Each ending in the file is reported, in its order, and with no number twice."""
        if not path.exists():
            return
        database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            page = endings(database, Keyring(), self._after, 1_000_000, _unreadable)
        finally:
            database.close()
        for number, receipt in page.ended:
            said = f"ending {number} of {receipt.envelope_id}"
            self._ledger.expect(number > self._after, f"{said} comes after {self._after}")
            self._told[receipt.envelope_id] = str(receipt.disposition)
            self._after = number
        missed = [name for name, how in truth.ended.items() if self._told.get(name) != how]
        self._ledger.expect(not missed, f"the ends of {missed} are not told")


def _unreadable(envelope_id: str, error: Exception) -> None:
    raise AssertionError(envelope_id) from error
