"""The outbox in a file, as a world has it: its thread, its disk and its time are the world's.

The file is a real one and so is all that reads and writes it; only *when* that happens is drawn.
What a life had committed when it was killed is there in the next one, and nothing else is.
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
    """A `SqliteOutbox` behind ports, and what it is told compared with what the ledger saw."""

    _ports: Ports
    store_suspension: Any = None
    """An operator's suspension ends with the life here: what is queued goes on in the next one."""

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
        """Instead of a thread: at a drawn time, on trio's; not to be cancelled once it began."""
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
        """They are there for as long as somebody needs them."""
        try:
            return await super().read_bytes(digest, offset, limit)
        except OutboxError as error:
            needed = digest in needed_by(self._ports.ledger.unfinished)
            self._ports.ledger.expect(not needed, f"bytes that are needed are gone: {error}")
            raise

    async def append(self, entry: Kept, kept: Callable[[], None]) -> None:
        """Whatever becomes of the caller, the ledger knows what was handed over."""
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
        """It must be recorded before the call, and never after the step was acknowledged."""
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
        """Once a step."""
        check()
        said, ledger = (envelope_id, record.serial), self._ports.ledger
        twice = said in self._acknowledged and not self._grows(envelope_id)
        ledger.expect(not twice, f"{said} is acknowledged twice")
        self._acknowledged.add(said)
        super().acknowledged(envelope_id, record)

    def _grows(self, envelope_id: str) -> bool:
        """Whether it is a stream: a message of it is changed again and again by one step."""
        entry = self._ports.ledger.find(envelope_id)
        return entry is not None and entry.spoken is not None

    def finished(self, receipt: Receipt) -> None:
        """The end."""
        check()
        super().finished(receipt)

    async def reopen(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> tuple[str, Sequence[StoredEntry]]:
        """Whatever becomes of who asked for it, the ledger knows what may be unfinished again."""
        check()
        failed = await super().failed(group_id)
        self._ports.ledger.reopens([each.envelope_id for each in failed])
        place, found = await super().reopen(group_id, after=after, limit=limit)
        check()
        for stored in found:
            self._acknowledged = {said for said in self._acknowledged if said[0] != stored.entry.id}
        return place, found

    def withdraw(self, envelope_id: str) -> None:
        """Not accepted after all."""
        check()
        self._ports.ledger.withdrawn(envelope_id)
        super().withdraw(envelope_id)


@attrs.frozen(kw_only=True)
class StepKept:
    """What the file knows of a step; `named`: the id of its message."""

    number: int
    started: bool
    attempts: int
    maybe_sent: int
    outcome: str | None
    named: bool = False

    @property
    def done(self) -> bool:
        """Whether it was acknowledged."""
        return self.outcome in ARRIVED

    @property
    def open(self) -> bool:
        """Whether a try had begun of which nobody knows the end."""
        return self.started and self.outcome is None


@attrs.frozen(kw_only=True)
class Truth:
    """What stands in the file between two lives.

    unfinished  its steps by serial, of every envelope that has not ended
    ended       the disposition of every one that has
    closed      what platforms closed, instances and operations of instances, and until when
    grown       of streams that have not ended: the number and the text of the newest state
    groups      all that are remembered
    stored      the digests of all bytes that have a use, and `unused` the others
    loose       files beside it that it does not know, and those it knows that are not there
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
    """Read by hand: what reads it in the next life is what is being tested."""
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
    """An application that reads what ended, from the cursor that it kept, after each life."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._after = 0
        self._told: dict[str, str] = {}

    def read(self, path: Path, truth: Truth) -> None:
        """Each ending is told once the file has it, in its order, and by no number twice."""
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
