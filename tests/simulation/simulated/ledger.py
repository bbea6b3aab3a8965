"""Records what happened, as seen from outside the engine: envelopes, calls, events, the trace.

Nothing here asks the engine what it thinks: waits, order and bounds are checked at once, against
what the ledger itself has seen.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import trio
from simulated import reserve
from simulated.drawing import GRID, Setup
from simulated.grouped import GroupLedger
from simulated.heard import Asked, Heard
from simulated.refuted import Vouched
from simulated.spoken import RECORD, Spoken

from gateway_contrib.durable.committer import LONGEST_PAUSE
from gateway_core import (
    Disposition,
    Edit,
    ErrorClass,
    Gateway,
    Instance,
    KeyRef,
    Limit,
    MessageRef,
    Reason,
    Receipt,
    Scope,
    Send,
    Status,
    Verdict,
)
from gateway_core.authors import Answer, Attempt
from gateway_core.deliveries.retries import MOST_TRANSFORMS
from gateway_core.deliveries.steps import ARRIVED
from gateway_core.outboxes.records import Entry as Kept
from gateway_core.ratelimits.circuit import JITTER
from gateway_core.ratelimits.trial import LONGEST_BELIEVED
from gateway_core.scheduling.classes import RANKS
from gateway_core.scheduling.pressure import HYSTERESIS, LEVELS
from gateway_core.submission.draft import LONGEST_OPEN
from gateway_core.testing import virtual_wall

if TYPE_CHECKING:
    from simulated.vault import StepKept, Truth

WORD = re.compile(r"m[0-9]+x[0-9]+")
HAIR = 1e-6
MAKES = ("send", "upload")
"""The operations that make a message."""
WHOLE, ENDS = 1 << 40, ("finished", "mark", "delete")
"""From this number on, a file has whole texts of streams, by how the streams ended."""
LONGEST_COMMIT = 1.5
"""Seconds until a change that lingered is in the file, at the most: two commits, with a read."""


def words_of(text: str) -> list[str]:
    """The words of a text: each names its text and its place in it, and occurs once."""
    return WORD.findall(text)


def number_of(word: str) -> int:
    """The number of the text that a word belongs to."""
    return int(word[1 : word.index("x")])


@attrs.define(eq=False)
class Call:
    """One call of an adapter's async hook.

    verdict, answered  what became of it
    evidence           how often its instance had been seen to work when the verdict was known
    trusted            like `evidence`, but the application's resumes count as well
    life               the life in which it was made
    moment             when it was made, in the ledger's count of moments
    stranger           its instance was taken out meanwhile, and is another one now
    limits             the limits that it uses, if there are streams
    """

    entry: Entry
    attempt: Attempt
    begun: float
    ended: float | None = None
    answered: bool = False
    verdict: Verdict | None = None
    evidence: int = 0
    trusted: int = 0
    life: int = 0
    moment: int = 0
    stranger: bool = False
    limits: Sequence[Limit] = ()

    @property
    def down(self) -> bool:
        """Whether it failed as in an outage."""
        return self.verdict is not None and _as_in_an_outage(self.verdict)

    @property
    def repeated(self) -> bool:
        """Whether its verdict lets it be made again."""
        return self.verdict is None or self.verdict.error_class is ErrorClass.RETRYABLE

    @property
    def in_doubt(self) -> bool:
        """Whether the platform may have acted without our knowing."""
        if self.answered:
            return False
        return self.verdict is None or self.verdict.dispatched != "no"


@attrs.define(eq=False)
class Entry:
    """One accepted envelope. `lane` is None if the envelope has a lane of its own.

    rank    its place among all of its lane
    born    the life that accepted it; `heard`: its caller heard so
    hold    the time until which its platform wants no call of it, as was reported at `held_at`;
            `longest`: the same, whether or not a life that was killed had written it down;
            `held_for`: the only operation that it does not want; None: it wants none at all
    stands  the rank from which on it may stand: the rank of an older entry whose place it took
    useless  the newer entry that collapses with it, and that came while it waited
    kept    of an edit: it changes what the next newer edit leaves, and so is made as well
    spoken  of a stream: the texts that it was given; `apart`: its first message stands, and later
            entries of its lane no longer wait for it
    told    how it ended, according to lives that were killed before they wrote that down
    handed_over, accepted, ended  when that was, in a count of such moments
    reopened, reopened_at  when it last became unfinished again, in moments and in seconds;
            `tried_again`: how often; `displaced`: its new place was forgotten in a kill
    behind  the numbers of the streams of its lane that were held back as it came: it may go first
    """

    number: int
    envelope: Any
    accepted_at: float
    accepted_wall: float
    deadline: float
    lane: tuple[str, str, str | None] | None
    partition: int
    priority: str = "normal"
    parked: bool = False
    voted_out: bool = False
    id: str = ""
    receipt: Receipt | None = None
    ended_at: float = 0.0
    calls: list[Call] = attrs.field(factory=list)
    freed_by: int | None = None
    rank: int = 0
    born: int = 0
    heard: bool = True
    told: list[Receipt] = attrs.field(factory=list)
    hold: float = 0.0
    held_for: str | None = None
    held_at: float = 0.0
    longest: float = 0.0
    handed_over: int = 0
    behind: frozenset[int] = frozenset()
    accepted: int = 0
    ended: int = 0
    stands: int = attrs.field(default=attrs.Factory(lambda self: self.rank, takes_self=True))
    useless: Entry | None = None
    spoken: Spoken | None = None
    apart: bool = False
    kept: bool = False
    reopened: int = 0
    tried_again: int = 0
    reopened_at: float = 0.0
    displaced: bool = False

    @property
    def words(self) -> list[str]:
        """The words of a send or an edit; for a stream, the words of its whole text."""
        return lane_words(self.envelope) if self.spoken is None else words_of(self.spoken.whole)

    @property
    def collapses(self) -> tuple[str, str, str | None, str] | None:
        """The place and the value by which it collapses with others; None: with none."""
        envelope = self.envelope
        if not isinstance(envelope, Send) or envelope.collapse is None:
            return None
        place = envelope.instance_id, envelope.external_room_id, envelope.thread_id
        return *place, envelope.collapse

    def precedes(self, other: Entry) -> bool:
        """Whether it was accepted before the other one was even handed over.

        If two were being written at the same time, either may have come first. And the other one
        may stand where an older entry stood that it collapsed with.
        """
        return self.rank < min(other.rank, other.stands) and self.accepted < other.handed_over

    @property
    def open_call(self) -> bool:
        """Whether an attempt is under way."""
        return bool(self.calls) and self.calls[-1].ended is None

    def __str__(self) -> str:
        kind = type(self.envelope).__name__
        text, room = getattr(self.envelope, "text", ""), self.envelope.external_room_id
        return f"#{self.number} {kind} {room} {text[:12]!r} {self.id[:18]}"


@attrs.frozen
class Offered:
    """An entry that an outbox was asked to store, and when."""

    entry: Kept
    at: float
    moment: int
    set_back: float


class Ledger:
    """Everything that was seen in one world, and what was wrong with it."""

    at_the_door: dict[int, Any]
    worked: Counter[str]
    resumed: Counter[str]
    _votes: dict[int, str | None]
    _lifted: dict[str, float]
    _opened: dict[str, float]
    _worked_at: dict[str, float]
    _closed_at: dict[Any, float]
    _told: dict[Any, list[tuple[float, float]]]
    spoken: dict[int, Spoken]
    heard: list[Heard]
    contents: dict[str, bytes]
    asked: dict[int, Asked]
    reopening: dict[str, float]
    _speaking: dict[tuple[str, str, str], Spoken]
    _done: set[tuple[str, str]]
    _keys: dict[str, tuple[str, str | None, dict[str, Any]]]
    _probed: dict[str, float]

    def __init__(self, setup: Setup) -> None:
        self.setup, self._lifted, self._opened, self._worked_at = setup, {}, {}, {}
        self.gateway: Gateway | None = None
        self.limits: Callable[[str, Attempt], tuple[Limit, ...]] = lambda *_: ()
        self.independent: Mapping[str, bool] = {}
        self.violations: list[str] = []
        self.trace: list[str] = []
        self.secret_places: list[str] = []
        self.entries: list[Entry] = []
        self.refused: Counter[str] = Counter()
        self.worked, self.resumed = Counter(), Counter()
        self.tries: Counter[tuple[str, str]] = Counter()
        self.perhaps: Counter[tuple[str, str]] = Counter()
        self.changed: Counter[str] = Counter()
        self._suspended: set[str] = set()
        self._changing: dict[str, Entry] = {}
        self._edits: dict[str, Entry] = {}
        self.sessions: Counter[str] = Counter()
        self._probed, self._vouched = {}, Vouched(setup.config.circuit.window)
        self.appending = self.life = self.recovered = self.reopened_here = 0
        self.offset = self.set_back = 0.0
        self.unwritten_at = -1e9
        self.folder = "no folder"
        self.fell_at = self.born_at = self.returned_at = 0.0
        self.all_ended: Counter[Disposition] = Counter()
        self._offered: dict[str, Offered] = {}
        self._withdrawn: dict[str, float] = {}
        self._rank = self._moments = 0
        self.faults = 0
        self.ended: Counter[Disposition] = Counter()
        self.levels: dict[int, str] = defaultdict(lambda: "nominal")
        self._by_object: dict[int, Entry] = {}
        self._by_id: dict[str, Entry] = {}
        self._by_key: dict[tuple[str, str, str, str], Entry] = {}
        self._lanes: dict[Any, dict[int, Entry]] = defaultdict(dict)
        self._last: dict[Any, Call] = {}
        self._unfinished: Counter[Any] = Counter()
        self._calls: dict[int, tuple[Any, float]] = {}
        self._in_flight: Counter[Any] = Counter()
        self._closed: dict[Any, float] = {}
        self._closed_at, self._told, self.spoken, self._speaking = {}, {}, {}, {}
        self._alias: dict[tuple[str, str], str] = {}
        self._out_of_order: set[str] = set()
        self.held: set[str] = set()
        self.absent: set[str] = set()
        self.groups = GroupLedger(self)
        self._votes, self.at_the_door, self.reopening = {}, {}, {}
        self.heard, self.asked, self.contents = [], {}, {}
        self.begun: set[tuple[str, str, int]] = set()
        self.recorded: set[tuple[str, str, int]] = set()
        self._done, self._keys = set(), {}

    # -- the trace

    def note(self, event: str, *words: object) -> None:
        """Add a line to the trace, without the name of the folder, which differs each time."""
        told = " ".join(map(str, words)).replace(self.folder, "…")
        self.trace.append(f"{trio.current_time():.3f} {event} {told}")

    def wrong(self, text: str) -> None:
        """Note a violation; the world stops at its next rest."""
        self.note("VIOLATION", text)
        self.violations.append(f"{trio.current_time():.3f} {text}")

    def expect(self, holds: object, text: str) -> None:
        """Note a violation if something does not hold."""
        if not holds:
            self.wrong(text)

    # -- envelopes

    def looked_at(self, before: Any, after: Any) -> None:
        """The envelope's files were looked at: from here on, the envelope is another object."""
        if identity(before) in self._calls:
            self._calls[identity(after)] = (after, self._calls[identity(before)][1])

    def called(self, envelope: Any) -> None:
        """The envelope is handed over: its time counts from here."""
        self._calls[identity(envelope)] = (envelope, trio.current_time())

    def voted(self, envelope: Any, vote: str | None) -> None:
        """The gateway asks for votes, before the envelope waits for anything."""
        self._votes[identity(envelope)] = vote
        entry = self._by_object.get(identity(envelope))
        if entry is not None and vote == "shed":  # the account's owner asks when it takes it on
            entry.voted_out = True

    def rank_of(self, envelope: Any) -> int:
        """The rank of its class, as the vote left it."""
        vote = self._votes.get(identity(envelope))
        return RANKS[envelope.priority if vote in (None, "shed") else vote]  # type: ignore[index]  # a class

    def accepted(self, envelope: Any, partition: int) -> Entry:
        """From here on the envelope is accepted."""
        vote = self._votes.get(identity(envelope))
        entry = self._entry(envelope, vote, partition)
        self._by_object[identity(envelope)] = entry
        kept = next((k for k in self._offered.values() if k.entry.envelope is envelope), None)
        if kept is not None:
            self._name(entry, kept.entry.id)
            entry.handed_over = kept.moment
            entry.deadline += self.set_back - kept.set_back
        self.groups.takes_turn(entry, None if kept is None else kept.entry.member)
        self.note("accepted", entry)
        self._collapse(entry)
        target = getattr(envelope, "target", None)
        if isinstance(envelope, Edit) and isinstance(target, MessageRef) and vote != "shed":
            before = self._edits.get(target.envelope_id)
            if before is not None and not _replaces(envelope, before.envelope):
                before.kept = True
            self._edits[target.envelope_id] = entry
        return entry

    def _collapse(self, entry: Entry) -> None:
        """Entries that wait and collapse with the newest are useless from here on, if that is seen.

        In an outbox, nobody sees when the two meet, nor for an entry whose time is still to come.
        """
        if (
            self.setup.durable
            or entry.collapses is None
            or entry.voted_out
            or self._is_ahead(entry)
        ):
            return
        for other in self._older(entry):
            delivery = self._delivery(other)
            waits = delivery is not None and not (delivery.started or delivery.parked)
            if waits and delivery.lane is not None:
                other.useless = entry
                entry.parked |= other.parked
                if other.lane is not None and other.lane == entry.lane:
                    entry.rank = entry.stands = other.rank
                    entry.handed_over, entry.accepted = other.handed_over, other.accepted

    def _is_ahead(self, entry: Entry) -> bool:
        return bool((entry.envelope.not_before or 0.0) > self.wall())

    def _older(self, entry: Entry) -> list[Entry]:
        """The older entries that collapse with it."""
        alike = [e for e in self.unfinished if e.collapses == entry.collapses and e is not entry]
        return [other for other in alike if other.number < entry.number]

    def _delivery(self, entry: Entry) -> Any:
        assert self.gateway is not None
        deliveries = self.gateway._partitions[entry.partition].deliveries.values()
        return next((d for d in deliveries if d.envelope is entry.envelope), None)

    def _superseded(self, entry: Entry) -> None:
        """Only a newer entry that collapses with it supersedes it, and may take its place."""
        if not isinstance(entry.envelope, Send):
            return
        # If two were being written at the same time, either may be the newer one.
        first = 0 if self.setup.durable else entry.number
        alike = [e for e in self.entries[first:] if e.collapses == entry.collapses]
        newer = [other for other in alike if other is not entry]
        known = entry.collapses is not None and newer
        self.expect(known, f"{entry} is superseded, and there is nothing newer")
        begun = any(call.life == self.life or call.answered for call in entry.calls)
        self.expect(not begun, f"{entry} had begun, and is superseded")
        for other in newer:
            if other.lane == entry.lane:
                other.stands = min(other.stands, entry.stands)

    def _entry(self, envelope: Any, vote: str | None, partition: int) -> Entry:
        now = trio.current_time()
        priority = str(vote if vote not in (None, "shed") else envelope.priority)
        entry = Entry(
            number=len(self.entries),
            envelope=envelope,
            accepted_at=now,
            accepted_wall=self.wall(),
            deadline=now + self._left(envelope, priority),
            lane=self._lane(envelope),
            partition=partition,
            priority=priority,
            parked=self._may_step_aside(envelope),
            voted_out=vote == "shed",
            rank=self._next_rank(),
            born=self.life,
            handed_over=self.moment(),
            accepted=self.moment(),
        )
        self.entries.append(entry)
        self._speaks(entry)
        self._answers_event(entry)
        self._count(entry, 1)
        if entry.lane is not None:
            streams = [other for other in self._lanes[entry.lane].values() if other.spoken]
            entry.behind = frozenset(each.number for each in streams if self._is_held_back(each))
            self._lanes[entry.lane][entry.number] = entry
        self._take_key(entry)
        return entry

    def _answers_event(self, entry: Entry) -> None:
        """An envelope that answers an event goes to where the event came from."""
        asked = self.asked.get(number_of(entry.words[0])) if entry.words else None
        if asked is not None:
            asked.expect_in(entry, self)

    # -- streams

    def opens(self, spoken: Spoken) -> Spoken:
        """A stream opens; returns it, or the open stream with the same key, which it joins."""
        if spoken.scope is not None:
            first = self._speaking.setdefault(spoken.scope, spoken)
            if first is not spoken:
                self.note("stream", "joins", spoken.scope)
                spoken.joins = first
                self.spoken.update(dict.fromkeys(spoken.numbers, spoken))
                return first
        self.note("stream", "opens", spoken.scope or "")
        self.spoken.update(dict.fromkeys(spoken.numbers, spoken))
        return spoken

    def closes_block(self, spoken: Spoken) -> None:
        """The stream's block is left."""
        if spoken.scope is not None and self._speaking.get(spoken.scope) is spoken:
            del self._speaking[spoken.scope]

    def says(self, spoken: Spoken, text: str) -> None:
        """A stream has this text from now on."""
        if spoken.is_open:
            spoken.says(trio.current_time(), text)
            self.note("stream", "says", text[-12:])

    def ends(self, spoken: Spoken, how: str, text: str | None = None) -> None:
        """A stream is whole, or breaks off: its time counts from now."""
        if spoken.is_open:
            spoken.ends(trio.current_time(), how, text)
            self.note("stream", how, spoken.whole[-12:])
            if spoken.entry is not None:
                self._ends_by(spoken.entry, spoken)

    def streams_close(self) -> None:
        """The gateway closes: without an outbox, open streams are broken off."""
        for spoken in dict.fromkeys(self.spoken.values()):
            if spoken.is_open and not self.setup.durable:
                self.ends(spoken, spoken.on_error)
                spoken.closed = True

    def _ends_by(self, entry: Entry, spoken: Spoken) -> None:
        entry.deadline = trio.current_time() + self._ttl(entry, spoken)

    def _ttl(self, entry: Entry, spoken: Spoken) -> float:
        """Seconds that a stream has from its end on."""
        of_class = getattr(self.setup.config.ttl, entry.priority)
        return float(of_class if spoken.ttl is None else spoken.ttl)

    def _speaks(self, entry: Entry) -> None:
        """Connect a stream's message with its stream."""
        if not isinstance(entry.envelope, Send) or entry.envelope.grows is None:
            return
        numbers = map(number_of, words_of(entry.envelope.text))
        spoken = next((self.spoken[n] for n in numbers if n in self.spoken), None)
        if spoken is None:
            self.wrong(f"{entry} is a stream of nobody")
            return
        self.expect(spoken.entry is None, f"{entry} is accepted, and {spoken.entry} of one stream")
        joined = spoken.joins is not None and spoken.joins.entry is not None
        self.expect(not joined, f"{entry} is sent, though its stream joined another")
        entry.spoken, spoken.entry = spoken, entry
        entry.deadline = math.inf
        if not spoken.is_open:
            self._ends_by(entry, spoken)

    def streams(self, instance_id: str) -> list[Entry]:
        """The streams of an account that have not ended."""
        return [e for e in self.unfinished if e.spoken and e.envelope.instance_id == instance_id]

    def now(self) -> float:
        """The time, on trio's clock."""
        return trio.current_time()

    def waits_for(self, entry: Entry, operation: str) -> bool:
        """Whether such an operation of the entry has to wait, for its platform or its instance."""
        what = reserve.As(
            room=entry.calls[-1].attempt.room,
            thread=entry.calls[-1].attempt.thread,
            operation=operation,
            envelope_id=entry.id,
        )
        name, now = entry.envelope.instance_id, trio.current_time()
        closed = any(self._closed.get(key, 0.0) > now for key in self._waits_of(name, what))  # type: ignore[arg-type]  # as far as it is asked
        return closed or name in self._out_of_order or name in self.held or name in self.absent

    def rank_of_entry(self, entry: Entry) -> int:
        """The rank of its class."""
        return RANKS[entry.priority]  # type: ignore[index]  # a class

    def _slack(self, entry: Entry) -> float:
        """Seconds more for a stream, whose time counts from later if it ended while stored."""
        return LONGEST_COMMIT if entry.spoken is not None and self.setup.durable else 0.0

    def _is_held_back(self, entry: Entry) -> bool:
        """Whether a stream that shows nothing yet may step aside: for others, or for its edit."""
        if entry.spoken is None or _may_be_shown(entry):
            return False
        return reserve.may_hold(self, entry)

    def asked_at(self, entry: Entry) -> float:
        """When an outbox was asked to store the entry; without an outbox, now."""
        asked = (it.at for it in self._offered.values() if it.entry.envelope is entry.envelope)
        return next(asked, trio.current_time())

    def stored(self, envelope_id: str) -> None:
        """An outbox has stored the envelope, which is accepted by that."""
        envelope = self._offered[envelope_id].entry.envelope
        assert self.gateway is not None
        place = envelope.instance_id, envelope.external_room_id
        self.accepted(envelope, self.gateway._partition_of(*place).index)

    def moment(self) -> int:
        self._moments += 1
        return self._moments

    def _next_rank(self) -> int:
        self._rank += 1
        return self._rank

    def _may_step_aside(self, envelope: Any) -> bool:
        """Whether the envelope may leave its place in the lane.

        It does so until its time, until its target exists, and while another lane changes that
        target.
        """
        target = getattr(envelope, "target", None)
        named = target is not None and not getattr(target, "parts", ())
        shared = target is not None and self.setup.load.unordered > 0
        return envelope.not_before is not None or named or shared

    def offered(self, kept: Kept) -> None:
        """An outbox was asked to store the entry; the caller hears whether it does, or nobody."""
        self._offered[kept.id] = Offered(kept, trio.current_time(), self.moment(), self.set_back)

    def withdrawn(self, envelope_id: str) -> None:
        """The envelope was not accepted after all."""
        self._withdrawn.setdefault(envelope_id, trio.current_time())

    def not_kept(self, kept: Kept) -> None:
        """The caller hears that the envelope was refused."""
        self._offered.pop(kept.id, None)

    def wall(self) -> float:
        """POSIX time, which somebody may have set."""
        return virtual_wall() + self.offset

    def jump(self, by: float) -> None:
        """The wall clock is set.

        Envelopes that an outbox keeps outside memory are due, and end, by the wall clock. The same
        holds for envelopes that ended in a life that is killed before it wrote that down: the next
        life has them again.
        """
        self.note("jump", by)
        self.offset += by
        self.set_back += max(0.0, -by)
        for entry in self.entries:
            entry.deadline += max(0.0, -by)

    def _left(self, envelope: Any, priority: str) -> float:
        """Seconds left: a time of its own counts from the call, its class's from when it is due."""
        if envelope.deadline is not None:
            return float(envelope.deadline - self.wall())
        _, called_at = self._calls.get(identity(envelope), (None, trio.current_time()))
        waited = trio.current_time() - called_at
        if envelope.ttl is not None:
            return float(envelope.ttl - waited)
        due = envelope.not_before or 0.0
        message = self._message_of(envelope)
        if message is not None:  # the change waits for a message that is scheduled
            due = max(due, message.envelope.not_before or 0.0)
        ahead = due - self.wall()
        return float(getattr(self.setup.config.ttl, priority) + max(-waited, ahead))

    def _message_of(self, envelope: Any) -> Entry | None:
        """The unfinished message that a change targets."""
        target = getattr(envelope, "target", None)
        if isinstance(target, KeyRef):
            scope = (target.instance_id, target.external_room_id, "send", target.key)
            found = self._by_key.get(scope)
        else:
            found = self.find(getattr(target, "envelope_id", ""))
        return found if found is not None and found.receipt is None else None

    def _lane(self, envelope: Any) -> tuple[str, str, str | None] | None:
        if envelope.order == "none":
            return None
        free = self.independent[envelope.instance_id]
        thread = self._thread(envelope) if free else None
        return envelope.instance_id, envelope.external_room_id, thread

    def _thread(self, envelope: Any) -> str | None:
        """The envelope's thread; an edit by key is in the thread of the message that it names."""
        target = getattr(envelope, "target", None)
        if not isinstance(target, KeyRef):
            return envelope.thread_id
        scope = (target.instance_id, target.external_room_id, "send", target.key)
        named = self._by_key.get(scope)
        return None if named is None else named.envelope.thread_id

    def _count(self, entry: Entry, by: int) -> None:
        envelope, unfinished = entry.envelope, self._unfinished
        instance, room = envelope.instance_id, envelope.external_room_id
        rank = RANKS[entry.priority]  # type: ignore[index]  # a class
        keys = self._bounds(instance, room, entry.partition)
        for key in keys:
            unfinished[key, rank] += by
        # A durable outbox keeps envelopes that have no slot in memory; one that is voted out needs
        # none. One that waited has its slot from when it was handed on: higher ones may have come.
        free = entry.voted_out or self.groups.of(envelope) is not None  # the feed looks first
        if by > 0 and not self.setup.durable and not free:
            for key, bound in keys.items():
                held = unfinished[key, rank] - self._members_within(key, rank)
                self.expect(held <= bound, f"{key} holds {held} of {bound} of rank {rank}")

    def _members_within(self, key: Any, rank: int) -> int:
        """How many members of groups count against a bound, which did not keep them out."""
        members = self.groups.unfinished() if self.groups.all else ()
        return sum(
            RANKS[entry.priority] == rank  # type: ignore[index]  # a class
            and key
            in self._bounds(
                entry.envelope.instance_id, entry.envelope.external_room_id, entry.partition
            )
            for entry in members
        )

    def _bounds(self, instance: str, room: str, partition: int) -> dict[Any, int]:
        """The bounds that an envelope counts against."""
        config = self.setup.config
        bounds = (config.partition_bound, config.instance_share, config.room_bound)
        keys = (partition, (partition, instance), (instance, room, ""))
        return dict(zip(keys, bounds, strict=True))

    def _seen(self, key: Any, rank: int) -> int:
        """How many envelopes a class sees under a bound: its own, and those of higher classes."""
        return sum(self._unfinished[key, above] for above in range(rank + 1))

    def overloaded(self, envelope: Any, partition: int) -> None:
        """The envelope was refused: one of its bounds is reached by its class and higher ones."""
        rank = self.rank_of(envelope)
        keys = self._bounds(envelope.instance_id, envelope.external_room_id, partition)
        seen = {key: self._seen(key, rank) for key in keys}
        # Some callers may have their slot already, and not know it yet.
        coming = sum(self.rank_of(other) <= rank for other in self.at_the_door.values())
        reached = any(seen[key] + coming >= bound for key, bound in keys.items())
        self.expect(reached or self.setup.durable, f"rank {rank} was refused with {seen} inside")

    def _take_key(self, entry: Entry) -> None:
        """A key that is used again must be free: its first envelope certainly sent nothing."""
        envelope = entry.envelope
        if envelope.key is None:
            return
        scope = (
            envelope.instance_id,
            envelope.external_room_id,
            envelope.operation,
            envelope.key,
        )
        first = self._by_key.get(scope)
        self._by_key[scope] = entry
        if first is None:
            return
        self.expect(first.receipt is not None, f"the key of {first} was taken by {entry}")
        if trio.current_time() < first.ended_at + self.setup.config.idempotency_window:
            first.freed_by = entry.number

    def holder(self, scope: tuple[str, str, str, str]) -> Entry | None:
        """The newest envelope that was accepted with a key."""
        entry = self._by_key.get(scope)
        if entry is not None and not entry.id and self.gateway is not None:
            for delivery in self.gateway._partitions[entry.partition].deliveries.values():
                self.named(delivery.envelope, delivery.id)
        return entry

    def priority_of(self, envelope_id: str) -> str:
        """The class of an envelope under way, as policies left it."""
        entry = self.find(envelope_id)
        return entry.priority if entry is not None else "normal"

    def find(self, envelope_id: str) -> Entry | None:
        """The entry of an id."""
        entry = self._by_id.get(envelope_id)
        if entry is None and self.gateway is not None:
            for partition in self.gateway._partitions:
                delivery = partition.deliveries.get(envelope_id)
                if delivery is not None:
                    return self.named(delivery.envelope, envelope_id)
        return entry

    def named(self, envelope: Any, envelope_id: str) -> Entry | None:
        """The entry of an envelope, which turns out to have that id."""
        entry = self._by_object.get(identity(envelope))
        if entry is None:  # of an earlier life
            return self._by_id.get(envelope_id)
        self._name(entry, envelope_id)
        return entry

    def _name(self, entry: Entry, envelope_id: str) -> None:
        self.expect(entry.id in ("", envelope_id), f"{entry} is {envelope_id} as well")
        entry.id = envelope_id
        self._by_id[envelope_id] = entry

    def finished(self, envelope: Any, receipt: Receipt) -> None:
        """The one final event of an envelope."""
        entry = self.named(envelope, receipt.envelope_id)
        if entry is None:
            self.wrong(f"an end without acceptance: {receipt.envelope_id}")
            return
        self.expect(entry.receipt is None, f"{entry} ended twice")
        if receipt.disposition is Disposition.SUPERSEDED:
            self._superseded(entry)
        leaves = self.ending or entry.envelope.instance_id in self.absent
        self.expect(not entry.open_call or leaves, f"{entry} ended during its call")
        self._expect_late(entry, receipt)
        self._expect_just(entry, receipt)
        entry.receipt, entry.ended_at = receipt, trio.current_time()
        entry.ended = self.moment()
        self.ended[receipt.disposition] += 1
        self.all_ended[receipt.disposition] += 1
        self._count(entry, -1)
        if entry.lane is not None:
            self._lanes[entry.lane].pop(entry.number, None)
        if entry.spoken is not None:
            self._expect_whole(entry, entry.spoken, receipt)
        outcomes = ",".join(part.outcome for part in receipt.parts)
        self.note("ended", entry, receipt.disposition, outcomes)

    def reopens(self, names: Sequence[str]) -> None:
        """An outbox is to make these failed envelopes unfinished again."""
        self.reopening.update(dict.fromkeys(names, trio.current_time()))

    def reopened(self, envelope_id: str) -> None:
        """An envelope is unfinished again, and counts as accepted once more."""
        entry = self._by_id[envelope_id]
        self._reopen(entry)
        assert self.gateway is not None
        place = entry.envelope.instance_id, entry.envelope.external_room_id
        entry.partition = self.gateway._partition_of(*place).index  # another run's count differs
        self._count(entry, 1)
        if entry.lane is not None:
            self._lanes[entry.lane][entry.number] = entry
        self.reopened_here += entry.born == self.life
        self.recovered += entry.born != self.life

    def _reopen(self, entry: Entry) -> None:
        """The entry's tries and time begin anew. Others may have passed it by."""
        length = self.groups.reopened(entry)
        if entry.receipt is not None:
            self._forget_unheard(entry, entry.receipt)
        entry.receipt, entry.parked = None, True
        entry.deadline = self.reopening.pop(entry.id, trio.current_time()) + length
        entry.reopened, entry.hold = self.moment(), 0.0
        entry.tried_again += 1
        entry.reopened_at = trio.current_time()
        for key in [key for key in self.tries if key[0] == entry.id]:
            del self.tries[key]
        self.note("reopened", entry)

    def _forget_unheard(self, entry: Entry, receipt: Receipt) -> None:
        """An answer that came too late for the receipt counts as one that nobody has heard."""
        outcomes = dict(enumerate(part.outcome for part in receipt.parts))
        for call in entry.calls:
            key = step_of(call.attempt)
            if call.answered and outcomes.get(_serial(key), "delivered") not in ARRIVED:
                call.answered = False
                self._done.discard((entry.id, key))

    def _expect_whole(self, entry: Entry, spoken: Spoken, receipt: Receipt) -> None:
        """A stream is not delivered while it grows, and does not end for a lost passing state."""
        grows = spoken.is_open and receipt.delivered
        self.expect(not grows, f"{entry} is delivered, and still grows")
        gone = receipt.verdict is not None and receipt.verdict.reason is Reason.MESSAGE_GONE
        lost = gone and receipt.disposition is Disposition.REJECTED and spoken.how != "delete"
        self.expect(not lost or spoken.gone > 1, f"{entry} ended, and was not posted anew")

    def look_for_unseen(self) -> None:
        """Look for envelopes that ended while their instance was absent, unseen by observers."""
        gateway = self.gateway
        for entry in self.unfinished if self.absent and gateway is not None else ():
            if entry.id and entry.envelope.instance_id not in gateway._registry._accounts:
                status = gateway._lookup.known(entry.id)
                if status is not None and status.receipt is not None:
                    self.finished(entry.envelope, status.receipt)

    def expect_status(self, entry: Entry, status: Status | None, *, ended: bool) -> None:
        """Check that the status that the gateway gives of an envelope is right.

        ended  whether the envelope had ended when the status was asked for
        """
        if status is None:
            self.expect(entry.receipt is not None, f"{entry} is not known, and has not ended")
        elif entry.receipt is None:
            self.expect(status.receipt is None, f"{entry} has not ended, status: {status.receipt}")
        elif status.receipt is not None:
            same = status.receipt.disposition is entry.receipt.disposition
            self.expect(same, f"{entry} ended otherwise than its status: {status.receipt}")
        else:
            soon = self.setup.durable and trio.current_time() <= self._written_by(entry.ended_at)
            self.expect(soon or not ended, f"{entry} ended, status: {status.state}")

    def _expect_late(self, entry: Entry, receipt: Receipt) -> None:
        """An envelope that expired was late, by trio's clock or by the wall clock."""
        if receipt.disposition is not Disposition.EXPIRED or receipt.verdict is None:
            return
        if receipt.verdict.reason is Reason.EXPIRED and not self.setup.jumps:
            deadline = entry.deadline
            if entry.spoken is not None and deadline == math.inf:  # it is open, or a killed life's
                lasts = LONGEST_OPEN + self._ttl(entry, entry.spoken)
                deadline = entry.accepted_at - LONGEST_COMMIT + lasts  # it was stored meanwhile
            early = deadline - trio.current_time()
            self.expect(early <= HAIR, f"{entry} expired {early:.2f} s before its time")

    def _expect_just(self, entry: Entry, receipt: Receipt) -> None:
        """No envelope ends for what could be mended, or for another instance's trouble."""
        verdict, how = receipt.verdict, receipt.disposition
        if how is Disposition.REJECTED and verdict is not None:
            mended = verdict.reason in (Reason.ROOM_MOVED, Reason.REPLY_GONE)
            self.expect(not mended, f"{entry} ended for {verdict.reason}")
        if how is Disposition.SHED:
            lowest = entry.priority == "bulk" or entry.voted_out
            self.expect(lowest, f"{entry} was shed, and is {entry.priority}")
        if how is Disposition.FATAL:
            own = bool(entry.calls) and entry.calls[-1].verdict is verdict
            its = own or entry.envelope.instance_id in self._suspended
            self.expect(its, f"{entry} ended fatal, and its instance was not suspended")

    ending = False
    """Whether the gateway closes; attempts under way may then be ended."""

    @property
    def unfinished(self) -> list[Entry]:
        """The entries that are accepted and have not ended."""
        return [entry for entry in self.entries if entry.receipt is None]

    # -- calls

    def begin(self, instance_id: str, attempt: Attempt) -> Call | None:
        """An adapter's hook is called: check that it may be called now."""
        entry = self.find(attempt.envelope_id)
        now = trio.current_time()
        if entry is None:
            self.wrong(f"a call for no envelope: {attempt.envelope_id}")
            return None
        self.note("call", entry, attempt.operation, step_of(attempt)[-4:], attempt.number)
        call = Call(entry, attempt, now, life=self.life, moment=self.moment())
        self.expect(not entry.open_call, f"{entry} is called twice at once")
        self.expect(entry.receipt is None, f"{entry} is called after its end")
        self.expect(entry.useless is None, f"{entry} goes out, and {entry.useless} replaces it")
        by = entry.deadline + self._slack(entry) + HAIR
        named = entry.envelope.deadline is not None  # it counts by the clock as of the call
        late = now > by and not (named and self.setup.jumps)
        self.expect(not late, f"{entry} is called after its deadline")
        other = entry.held_for not in (None, attempt.operation)
        held = self.setup.jumps or other or now >= entry.hold - HAIR
        self.expect(held, f"{entry} is called {entry.hold - now:.2f} s before its wait is over")
        done = (attempt.envelope_id, step_of(attempt)) in self._done
        done &= entry.spoken is None or attempt.operation == "send"
        self.expect(not done, f"{entry} repeats step {step_of(attempt)} after its answer")
        self.expect(instance_id not in self._out_of_order, f"{entry} on a suspended instance")
        self.expect(instance_id not in self.held, f"{entry} on an instance that is held")
        allowed = self._vouched.allows(instance_id) or not self.setup.probes
        self.expect(allowed, f"{entry} goes out although all fail whatever a probe says")
        self._expect_recorded(attempt)
        self._expect_tries_left(attempt)
        self._expect_own_key(entry, attempt)
        self._expect_turn(entry)
        self._expect_quiet(call)
        self._expect_open(instance_id, attempt, now)
        self._expect_alone(entry)
        self._expect_doubt_is_over(entry, attempt, now)
        if entry.spoken is not None:
            self.expect(entry.spoken.gone < 2, f"{entry} is posted anew twice")
        reserve.expect_kept(self, call)
        entry.calls.append(call)
        self.begun.add((attempt.envelope_id, step_of(attempt), attempt.number))
        self._fly(entry, 1)
        return call

    def _expect_recorded(self, attempt: Attempt) -> None:
        """If a life may be killed, the outbox knows of a try before the platform does."""
        if not self.setup.durable or attempt.operation in ("edit", "delete"):
            return
        said = (attempt.envelope_id, step_of(attempt), attempt.number)
        self.expect(said in self.recorded, f"{said} is made, and nobody wrote that down")

    def _expect_own_key(self, entry: Entry, attempt: Attempt) -> None:
        """A platform that knows keys would drop a change that has the key of another request."""
        if entry.spoken is not None and attempt.operation != "draft":
            shown = (attempt.operation, attempt.message_id, dict(attempt.payload))
            same = self._keys.setdefault(attempt.key, shown) == shown
            is_change = attempt.message_id is not None
            self.expect(same or not is_change, f"{entry} changes a message as {attempt.key} again")

    def _expect_tries_left(self, attempt: Attempt) -> None:
        """A step has tries left, over all lives; one that tests an open circuit spends no try."""
        key, most = self._try_of(attempt), self.setup.config.retries
        spent = 0 if key is None else self.tries[key]
        left = spent < most.attempts or not self.setup.probes
        self.expect(left, f"{step_of(attempt)} was tried {spent} times of {most.attempts}")

    def _try_of(self, attempt: Attempt) -> tuple[str, str] | None:
        """What an attempt's tries are counted by; None: a stream's passing state needs no try.

        The whole text of a stream has tries of its own, and new ones each time it is planned anew.
        """
        entry = self.find(attempt.envelope_id)
        spoken = None if entry is None else entry.spoken
        if spoken is None or entry is None or attempt.operation == "send":
            return attempt.envelope_id, step_of(attempt)
        begun = entry.calls[-1].begun if entry.open_call else trio.current_time()
        if spoken.ended_at is None or begun <= spoken.ended_at:
            return None
        anew = f"{step_of(attempt)} {self.changed[attempt.envelope_id]} {spoken.gone}"
        return attempt.envelope_id, anew

    def _expect_turn(self, entry: Entry) -> None:
        """First in, first out within the lane, one at a time; a stream until its first message."""
        if entry.lane is None or entry.apart:
            return
        for other in self._lanes[entry.lane].values():
            if other is entry:
                continue
            # An entry of an earlier life may have lost its place: to its time, to its target, or to
            # an entry before it whose end was forgotten in a kill.
            lost = other.parked or bool(entry.told)
            # A stream that was held back stands where it stepped aside, which may be before others
            # that came later, and have begun.
            lost |= entry.spoken is not None and entry.parked
            calls = [call for call in other.calls if call.moment > other.reopened]
            begun = any(call.life == self.life or not lost for call in calls)
            begun &= not entry.displaced
            waits = other.precedes(entry) and not other.parked and not entry.parked
            shown = begun and _may_be_shown(other)
            held = self._is_held_back(other) or (other.number in entry.behind and not shown)
            if (waits or begun) and held:
                other.parked, waits, begun = True, False, False
            if self._was_due_before(other, entry):
                self.expect(False, f"{entry} comes before {other}, which was due as it came")
            self.expect(not begun, f"{entry} starts between the parts of {other}")
            self.expect(not waits, f"{entry} overtakes {other}")

    def _was_due_before(self, scheduled: Entry, entry: Entry) -> bool:
        """Whether a message that a former life accepted was due when this life accepted the other.

        It must not have begun, and nothing else may have taken it out of its place.
        """
        due, former = scheduled.envelope.not_before, scheduled.born < self.life == entry.born
        return (
            due is not None
            and former
            and due <= virtual_wall() - (trio.current_time() - self.born_at)
            and not self.offset
            and not (scheduled.calls or scheduled.told or scheduled.tried_again or entry.parked)
            and scheduled.heard
            and getattr(scheduled.envelope, "target", None) is None
        )

    def _expect_quiet(self, call: Call) -> None:
        """Nothing in the lane follows a message in doubt before the quarantine is over."""
        entry = call.entry
        if entry.lane is None or entry.apart:
            return
        last, self._last[entry.lane] = self._last.get(entry.lane), call
        if last is None or last.entry is entry or last.ended is None or not last.in_doubt:
            return
        rest = call.begun - last.ended
        quiet = rest >= self.setup.config.retries.quarantine - HAIR
        self.expect(quiet, f"{entry} follows {last.entry} {rest:.2f} s after it was in doubt")

    def _expect_doubt_is_over(self, entry: Entry, attempt: Attempt, now: float) -> None:
        """A message in doubt is sent again only within the bound, once its instance works again."""
        instance_id = attempt.instance_id
        calls = [call for call in entry.calls if call.moment > entry.reopened]
        sends = [call for call in calls if call.attempt.operation in MAKES]  # edits share a key
        doubts = [c for c in sends if step_of(c.attempt) == step_of(attempt) and c.in_doubt]
        if attempt.operation not in MAKES or not doubts or instance_id.startswith("discord"):
            return
        retries, last = self.setup.config.retries, doubts[-1]
        fewer = len(doubts) < retries.max_ambiguous
        self.expect(fewer, f"{entry} is sent again after {len(doubts)} unknown outcomes")
        works = self._trusted(instance_id) > last.trusted
        works |= not self.setup.probes  # then this attempt is the one that finds out
        self.expect(works, f"{entry} is sent again before its instance was seen to work")
        rest = now - (last.begun if last.ended is None else last.ended)
        quiet = rest >= retries.quarantine - HAIR
        self.expect(quiet, f"{entry} is sent again {rest:.2f} s after an unknown outcome")

    def _expect_open(self, instance_id: str, attempt: Attempt, now: float) -> None:
        for key in self._waits_of(instance_id, attempt):
            until = self._closed.get(key, 0.0)
            self.expect(now >= until - HAIR, f"a call within the wait of {key}, until {until:.3f}")

    def _waits_of(self, instance_id: str, attempt: Attempt) -> list[Any]:
        names = [
            self._alias.get((instance_id, limit.bucket), limit.bucket)
            for limit in self.limits(instance_id, attempt)
        ]
        return [
            (instance_id,),
            (instance_id, "operation", attempt.operation),
            (instance_id, "room", attempt.room),
            (instance_id, "thread", attempt.room, attempt.thread),
            *((instance_id, "bucket", name) for name in names),
        ]

    def maker(self, envelope: Any) -> Entry | None:
        """The send of the message that is to be changed, as far as it is known."""
        target = getattr(envelope, "target", None)
        if isinstance(target, MessageRef):
            return self.find(target.envelope_id)
        if target is None:
            return None
        return self.holder((target.instance_id, target.external_room_id, "send", target.key))

    def _expect_alone(self, entry: Entry) -> None:
        """A message has one change at a time, and only the newest of its waiting edits is made."""
        made = self.maker(entry.envelope)
        if made is None:
            return
        other = self._changing.get(made.id)
        alone = other is None or other is entry or other.receipt is not None
        self.expect(alone, f"{entry} changes what {other} changes")
        if made.spoken is not None and self.life == 0:
            self.expect(made.receipt is not None, f"{entry} changes {made}, which still grows")
        self._changing[made.id] = entry
        newest = self._edits.get(made.id)
        if newest is None or self.setup.durable or not isinstance(entry.envelope, Edit):
            return
        waits = newest.rank > entry.rank and newest.receipt is None and not entry.calls
        overtaken = waits and not entry.kept
        self.expect(not overtaken, f"{entry} goes out, though {newest} is newer")

    def _fly(self, entry: Entry, by: int, *, stranger: bool = False) -> None:
        config, running = self.setup.config, self._in_flight
        instance = entry.envelope.instance_id
        running[entry.partition] += by
        running[instance] += 0 if stranger else by
        slots = (config.attempts_per_partition, config.attempts_per_instance)
        for key, most in zip((entry.partition, instance), slots, strict=True):
            self.expect(0 <= running[key] <= most, f"{running[key]} calls at once on {key!r}")

    def answered(self, call: Call, answer: object) -> None:
        """The platform said yes; the step is done, even if the answer is worth nothing."""
        call.answered = True
        self._works(call.attempt.instance_id)
        self._vouched.worked(call.attempt.instance_id)
        self._done.add((call.attempt.envelope_id, step_of(call.attempt)))
        if call.entry.spoken is not None:
            self.changed[step_of(call.attempt)] = 0
            if not call.entry.apart and call.entry.lane is not None:
                call.entry.apart = True
                self._lanes[call.entry.lane].pop(call.entry.number, None)
        if isinstance(answer, Answer) and not call.stranger:
            self._reports(call.attempt.instance_id, answer.buckets)

    def end(self, call: Call) -> None:
        """The hook has returned, or was cut off."""
        if call.ended is not None:  # by a kill
            return
        call.ended = trio.current_time()
        self._fly(call.entry, -1, stranger=call.stranger)

    def judged(self, instance_id: str, attempt: Attempt, verdict: Verdict) -> None:
        """The verdict on an attempt's error is known, and its waits are known from here on."""
        if attempt.operation == "probe":
            return
        self.note("verdict", attempt.envelope_id[:18], verdict.reason, verdict.scope)
        entry = self.find(attempt.envelope_id)
        calls = entry.calls if entry is not None else []
        # An attempt whose session does not open is no call: a killed run's call is still in doubt.
        last = calls[-1] if calls and calls[-1].life == self.life else None
        made = (
            last is not None and step_of(last.attempt) == step_of(attempt) and last.verdict is None
        )
        if made:
            calls[-1].verdict = verdict
            calls[-1].evidence = self.worked[instance_id]
            calls[-1].trusted = self._trusted(instance_id)
        if _as_in_an_outage(verdict):
            self._vouched.failed(instance_id)
        elif verdict.error_class is not ErrorClass.FATAL:
            self._works(instance_id)
            self._vouched.worked(instance_id)
        of_another = bool(calls) and calls[-1].stranger
        if not of_another:  # whoever has the account's name now knows nothing of it
            self._reports(instance_id, verdict.buckets)
        changes = verdict.transform is not None or verdict.reason is Reason.ROOM_MOVED
        self.changed[step_of(attempt)] += changes
        if entry is not None and entry.spoken is not None:
            self.changed[attempt.envelope_id] += changes
            gone = made and verdict.reason is Reason.MESSAGE_GONE
            entry.spoken.gone += gone and attempt.operation == "edit"
        most = self.changed[step_of(attempt)] <= MOST_TRANSFORMS + 1
        self.expect(most, f"{step_of(attempt)} is changed {self.changed[step_of(attempt)]} times")
        spent = verdict.error_class is ErrorClass.RETRYABLE and not changes
        if (
            not made and verdict.reason is Reason.HOOK_ERROR
        ):  # no session: the instance is suspended
            spent = False
        limited = verdict.reason is Reason.RATE_LIMITED and verdict.dispatched == "no"
        if spent and not limited and not self._in_vain(calls, attempt, verdict):
            self.tried(attempt)
        if limited and verdict.retry_after is not None and not of_another:
            self._close(instance_id, attempt, verdict.scope, verdict.retry_after)

    def _in_vain(self, calls: list[Call], attempt: Attempt, verdict: Verdict) -> bool:
        """Whether an attempt only found its instance down, so that it spends no try.

        It could not be sent at all. Or it does no harm if it is made again, and the instance is
        known to be down, or has not worked since the step failed before. A session that did not
        open before is not seen here, so the first call of a life may be such a repeat.
        """
        sent = verdict.dispatched == "unknown" and attempt.operation in MAKES
        deduplicated = attempt.instance_id.startswith("discord")
        if not _as_in_an_outage(verdict) or (sent and not deduplicated):
            return False
        if verdict.reason is Reason.UNREACHABLE:
            return True
        name = attempt.instance_id
        account = self._account(name)
        if account is not None and account.health.refuted:  # probes succeed: it may be the step
            return False
        if account is not None and account.health.open:
            return True
        mine = [
            c for c in calls[:-1] if step_of(c.attempt) == step_of(attempt) and c.life == self.life
        ]
        before = [c for c in mine if c.down]
        # What happens at one instant has no order for those who look at a clock.
        at_once = before and self._worked_at.get(name) == before[-1].ended
        if not before or at_once:
            self.perhaps[self._try_of(attempt) or ("", "")] += 1
        return not before or bool(at_once) or before[-1].evidence == self.worked[name]

    def tried(self, attempt: Attempt) -> None:
        """A step has spent one of its tries; attempts that a limit refused spend none."""
        key = self._try_of(attempt)
        if key is None:
            return
        self.tries[key] += 1
        spent, most = self.tries[key], self.setup.config.retries.attempts
        self.expect(spent <= most, f"{step_of(attempt)} was tried {spent} times of {most}")

    def _close(self, instance_id: str, attempt: Attempt, scope: Scope, wait: float) -> None:
        if scope in (Scope.INSTANCE, Scope.OPERATION):  # nobody believes more
            wait = min(wait, LONGEST_BELIEVED / 1e9)
        until = trio.current_time() + wait
        key: Any = {
            Scope.INSTANCE: (instance_id,),
            Scope.OPERATION: (instance_id, "operation", attempt.operation),
            Scope.ROOM: (instance_id, "room", attempt.room),
            Scope.THREAD: (instance_id, "thread", attempt.room, attempt.thread),
        }.get(scope)
        if key is not None:
            told = self._told[key] if key in self._closed else []
            self._told[key] = [*told, (trio.current_time(), until)]
            self._closed[key] = max(self._closed.get(key, 0.0), until)
            self._closed_at[key] = trio.current_time()
        entry = self.find(attempt.envelope_id)
        if entry is not None:
            entry.hold, entry.held_at = until, trio.current_time()
            only = scope in (Scope.OPERATION, Scope.MESSAGE)  # a message's wait is of one route
            entry.held_for = attempt.operation if only else None
            entry.longest = max(entry.longest, until)

    def closes(self, instance_id: str, until: float) -> bool:
        """Whether platforms have closed a whole account as long as that."""
        if until <= trio.current_time() or self.setup.jumps:
            return True
        return self._closed.get((instance_id,), 0.0) >= until

    def _reports(self, instance_id: str, reports: Any) -> None:
        for report in reports:
            if report.provisional is not None:
                self._alias[instance_id, report.provisional] = report.bucket
            if report.remaining == 0 and report.reset_after is not None:
                key = (instance_id, "bucket", report.bucket)
                until = trio.current_time() + report.reset_after
                self._closed[key] = max(self._closed.get(key, 0.0), until)

    def suspended(self, instance_id: str) -> None:
        """The gateway suspends an instance: until it works again, nothing may be called there."""
        self.note("suspended", instance_id)
        self._out_of_order.add(instance_id)
        self._suspended.add(instance_id)

    def is_replaced(self, instance: Instance) -> bool:
        """Whether the application has replaced the instance meanwhile."""
        account = self._account(instance.id)
        return account is not None and account.instance is not instance

    def _account(self, instance_id: str) -> Any:
        """The account's state in this life; None: it has none."""
        return None if self.gateway is None else self.gateway._registry._accounts.get(instance_id)

    def works_again(self, instance_id: str) -> None:
        """A probe of the instance succeeded, or it is a new instance."""
        self._vouched.probed(instance_id, suspended=instance_id in self._out_of_order)
        self._out_of_order.discard(instance_id)
        self._works(instance_id)

    def _works(self, instance_id: str) -> None:
        self.worked[instance_id] += 1
        self._worked_at[instance_id] = trio.current_time()

    def _trusted(self, instance_id: str) -> int:
        """How often the instance was seen to work, or the application said that it works."""
        return self.worked[instance_id] + self.resumed[instance_id]

    def lifted(self, instance_id: str) -> None:
        """The application resumed or replaced an instance, which opens what refusals had closed.

        Messages in doubt may be repeated then; an attempt has to show whether the instance works.
        """
        self._out_of_order.discard(instance_id)
        self._vouched.worked(instance_id)
        self.resumed[instance_id] += 1
        self.returned_at = trio.current_time()
        holds = [e.hold for e in self.entries if e.envelope.instance_id == instance_id]
        self._lifted[instance_id] = max(holds, default=0.0)  # as the outbox has them
        self._closed = {
            key: until
            for key, until in self._closed.items()
            if key[0] != instance_id or key[1:2] == ("bucket",)
        }
        for entry in self.entries:
            if entry.envelope.instance_id == instance_id:
                entry.hold = 0.0

    def probed(self, instance_id: str) -> None:
        """Somebody probes an instance, which may happen at most once in a step of the backoff.

        At its shortest, a step is a fifth shorter than its ceiling.
        """
        self.note("probe", instance_id)
        since = trio.current_time() - self._probed.get(instance_id, -math.inf)
        rare = since >= (1 - JITTER) * self.setup.config.circuit.probe_base / 2 - HAIR
        self.expect(rare, f"{instance_id} is probed again after {since:.2f} s")
        self._probed[instance_id] = trio.current_time()

    def waits_until(self) -> float:
        """When the last of the waits that the platforms asked for ends.

        A room's closure is kept over a kill, with the envelope that was refused.
        """
        held = [entry.longest for entry in self.unfinished]
        return max([*self._closed.values(), *self._lifted.values(), *held], default=0.0)

    def told_until(self, instance_id: str, *, before: float) -> float:
        """When the last of the waits ends that an account was asked for until `before`."""
        return max(
            (
                min(until, stands)
                for key, stands in self._closed.items()
                if key[0] == instance_id and (len(key) == 1 or key[1] == "operation")
                for at, until in self._told.get(key, ())
                if at <= before
            ),
            default=0.0,
        )  # fmt: skip

    def address_of(self, instance_id: str, room: str) -> str:
        """The room's id by now, if it has moved."""
        return str(self.gateway._registry.account(instance_id).addresses.get(room, room))

    def _names(self, instance_id: str, room: str) -> set[str]:
        """The room's id, and its address if it has moved."""
        return {room, self.address_of(instance_id, room)}

    def refusals(self, instance_id: str, room: str) -> int:
        """How often the room was told to wait."""
        names = self._names(instance_id, room)
        return sum(len(self._told.get((instance_id, "room", name), ())) for name in names)

    def room_waits_until(self, instance_id: str, room: str) -> float:
        """When the last of the waits ends that a room was asked for."""
        names = self._names(instance_id, room)
        waits = [until for key, until in self._closed.items() if key[:2] == (instance_id, "room")
                 and key[2] in names]  # fmt: skip
        return max(waits, default=0.0)

    # -- instances that come and go

    def leaves(self, instance_id: str) -> None:
        """The application takes an instance out."""
        self.note("leaves", instance_id)
        self.absent.add(instance_id)
        self.held.discard(instance_id)

    def comes_back(self, instance_id: str) -> None:
        """A new instance has the old name; only an outbox still knows the old one's closures."""
        self.note("comes back", instance_id)
        self.returned_at = trio.current_time()
        self.absent.discard(instance_id)
        self._opened[instance_id] = trio.current_time()
        self._probed.pop(instance_id, None)
        self.works_again(instance_id)
        self._vouched.worked(instance_id)  # no probe has said anything of the new one
        self._in_flight[instance_id] = 0
        for entry in self.entries:
            if entry.envelope.instance_id == instance_id:
                entry.hold = 0.0
                if entry.open_call:
                    entry.calls[-1].stranger = True
        self._closed = {
            key: at for key, at in self._closed.items()
            if key[0] != instance_id
            or (self._outlives_accounts and (len(key) == 1 or key[1] == "operation"))
        }  # fmt: skip
        self._last = {lane: call for lane, call in self._last.items() if lane[0] != instance_id}

    @property
    def _outlives_accounts(self) -> bool:
        """Whether it is known for how long a closure stands that an outbox gives back.

        The time is written down by the wall clock: if somebody sets the clock, it is not known.
        """
        return self.setup.durable and not self.setup.jumps

    def has_come_back(self, instance_id: str) -> bool:
        """Whether the instance was taken out, in this or an earlier life, and is a new one now."""
        return instance_id in self._opened

    def opened_at(self, instance_id: str) -> float:
        """When the instance began to serve in this life; what it spent before is not known."""
        return max(self.born_at, self._opened.get(instance_id, 0.0))

    # -- lives

    def fell(self) -> None:
        """The present life was killed. Nobody will ever hear of the calls that it had under way."""
        self.note("killed")
        self.ending = True
        self.groups.fell()
        self.gateway = None
        self.fell_at = trio.current_time()
        for entry in self.entries:
            if entry.open_call:
                entry.calls[-1].ended = trio.current_time()

    def born(self, truth: Truth, partition_of: Callable[[str, str], int], *, strict: bool) -> None:
        """Another life begins with the contents of the file.

        strict  whether the last life had the time to write down all that it knew
        """
        self.life += 1
        self.born_at = trio.current_time()
        self._forget_closures(truth)
        self._forget_life()
        self._take_in_ghosts(truth)
        for entry in self.entries:
            self._compare(entry, truth, strict=strict)
        self.groups.born(truth.groups)
        self.reopening.clear()
        self.reopened_here = 0
        left = self.unfinished
        stood = {entry.id: (entry.rank, entry.stands) for entry in left}
        for entry in sorted(left, key=lambda entry: entry.id):
            entry.partition = partition_of(
                entry.envelope.instance_id, entry.envelope.external_room_id
            )
            self._count(entry, 1)
            if entry.tried_again:  # its place after all others is written down lazily
                entry.displaced |= self.fell_at <= self._written_by(entry.reopened_at)
            if not entry.told:  # what was sent before, and is sent again, stands where it stood
                entry.rank = entry.stands = self._next_rank()
            if entry.spoken is not None:
                self._goes_on(entry, entry.spoken, truth)
            if entry.lane is not None and not entry.apart:
                self._lanes[entry.lane][entry.number] = entry
            self._remember(entry, truth.unfinished.get(entry.id, {}))
        for entry in left:
            rank, stands = stood[entry.id]
            if stands < rank and not entry.told:  # it has the place, unless that was not written
                behind = [other.rank for other in left if stood[other.id][0] >= stands]
                entry.stands = min(behind)
        known = {entry.id for entry in left}
        for name in truth.unfinished:
            self.expect(name in known, f"{name} is kept, and nobody knows it")
        self.recovered = len(left)
        self._offered.clear()
        self._withdrawn.clear()
        self.note("born", self.life, len(left))

    def _goes_on(self, entry: Entry, spoken: Spoken, truth: Truth) -> None:
        """A stream that the last life left: the next life finishes it with its stored text.

        A growing text is written lazily, at most once a second, so the stored text may be older.
        """
        steps = truth.unfinished.get(entry.id, {}).values()
        entry.apart = any(step.done or step.named for step in steps)
        entry.deadline = math.inf
        spoken.gone = 0
        accepted = entry.envelope.grows.stored_as, entry.envelope.text
        number, text = truth.grown.get(entry.id, accepted)
        written = self._written_before(self.fell_at)
        cut = spoken.how == "cut"  # in an earlier life: its text is the earlier one
        since = max(spoken.ended_at or 0.0, entry.accepted_at)
        if spoken.ended_at is not None and since < written and not cut:
            ended = number >= WHOLE and (spoken.how == "delete" or text == spoken.whole)
            self.expect(ended, f"{entry} was whole as {spoken.how}, and nobody wrote that down")
        said = [(at, said) for at, said in spoken.states if entry.accepted_at < at < written]
        if said and number < WHOLE and not cut:
            newest = spoken.said_by(said[-1][0] - RECORD)
            known = {said for _, said in spoken.states[max(0, newest - 1):]}  # fmt: skip
            self.expect(text in known, f"{entry} is stored with {text[-12:]!r}, and said more")
        if number >= WHOLE:
            spoken.how, spoken.whole = ENDS[number - WHOLE], text
        elif not (text.rstrip() + spoken.broken_off).strip():
            spoken.how, spoken.whole = "delete", ""
        else:
            spoken.how, spoken.whole = "cut", text.rstrip() + spoken.broken_off
        spoken.ended_at = trio.current_time() if spoken.ended_at is None else spoken.ended_at
        self.note("stream", spoken.how, spoken.whole[-12:])

    def _written_before(self, at: float) -> float:
        """The time before which all lazy changes are in the file at the time `at`."""
        late = self.setup.linger + LONGEST_COMMIT
        for start, end in sorted(self.setup.trouble.disk, reverse=True):
            if start <= at <= end + LONGEST_PAUSE + late:  # the disk was full
                at = start
        return at - late

    def _forget_life(self) -> None:
        """Forget what only a process knows, and no file: suspensions, slots, learned limits."""
        for state in (self._in_flight, self._unfinished, self._lanes, self.levels, self.ended):
            state.clear()
        self._last.clear()
        for names in (self._out_of_order, self.held, self.absent):
            names.clear()
        self._by_object.clear()
        self._alias.clear()
        self._changing.clear()
        self._speaking.clear()
        self.sessions.clear()
        self._probed.clear()
        self._vouched.begin()
        self.appending = 0
        self.ending = False

    def _forget_closures(self, truth: Truth) -> None:
        """The closure of an account by a 429 outlives the process, once it is written down.

        A shorter closure in the file belongs to an earlier refusal. A room's closure is kept with
        the envelope that was refused, whose lane waits. If the wall clock is set, nobody knows for
        how long closures stand.
        """
        kept, now = {}, trio.current_time()
        for key, until in self._closed.items():
            name = (key[0], "" if len(key) == 1 else key[2])
            if len(key) == 1 or key[1] == "operation":
                left = truth.closed.get(name, -math.inf) - self.wall()
                written = name in truth.closed if self.setup.jumps else left >= until - now - 0.01
                late = self.fell_at > self._written_by(self._closed_at[key])
                late = late and until > now
                self.expect(written or not late, f"nobody wrote down that {key} is closed")
                if written and not self.setup.jumps:
                    kept[key] = until
        self._closed = kept

    def _take_in_ghosts(self, truth: Truth) -> None:
        """Envelopes that were stored just before the kill are accepted, though nobody heard so."""
        for name, kept in self._offered.items():
            if name in truth.unfinished and name not in self._by_id:
                entry = self._entry(kept.entry.envelope, None, 0)
                entry.heard = False
                entry.deadline = kept.at + kept.entry.deadline - kept.entry.accepted_at
                entry.deadline += self.set_back - kept.set_back
                if kept.entry.member is not None:  # that counts from its group's acceptance
                    entry.deadline = trio.current_time() + kept.entry.deadline - self.wall()
                self._name(entry, name)
                self.groups.takes_turn(entry, kept.entry.member)
                self.note("kept unheard", entry)
                self.expect_soon(entry, self._withdrawn.get(name, math.inf), "was withdrawn")
        self._unfinished.clear()
        self._lanes.clear()

    def _compare(self, entry: Entry, truth: Truth, *, strict: bool) -> None:
        """Check that the file knows of the entry what it must."""
        if entry.receipt is None:
            self.expect(entry.id in truth.unfinished, f"{entry} is lost")
        elif entry.id in truth.unfinished and entry.id in self.reopening:
            self.all_ended[entry.receipt.disposition] -= 1
            self._reopen(entry)
        elif entry.id in truth.unfinished:
            self.expect(not strict, f"{entry} ended, and the file was closed without it")
            self.expect_soon(entry, entry.ended_at, "ended")
            entry.told.append(entry.receipt)
            self.all_ended[entry.receipt.disposition] -= 1
            entry.receipt = None
        else:
            how = truth.ended.get(entry.id)
            same = how == str(entry.receipt.disposition)
            self.expect(same, f"{entry} ended {entry.receipt.disposition}, kept is {how}")

    def expect_soon(self, entry: Entry, at: float, what: str) -> None:
        """Some things are written down lazily: a moment later, unless the disk was full."""
        late = self.fell_at > self._written_by(at)
        since = self.fell_at - at
        self.expect(not late, f"{entry} {what} {since:.2f} s ago, and nobody wrote that down")

    def _written_by(self, at: float) -> float:
        """When a lazy change of that time is in the file at the latest."""
        begins = max(at, self.unwritten_at + LONGEST_PAUSE)
        return begins + self.setup.linger + LONGEST_COMMIT

    def _remember(self, entry: Entry, steps: Mapping[int, StepKept]) -> None:
        """What the next life can know of the tries of an unfinished entry."""
        if self.fell_at <= self._written_by(entry.held_at):  # perhaps nobody wrote it down
            entry.hold = 0.0
        for name, key in [
            *self.tries,
            *((entry.id, step_of(call.attempt)) for call in entry.calls),
        ]:
            if name == entry.id and " " in key:  # of the whole text of a stream
                self.tries[name, key] = 0
            elif name == entry.id:  # also a try without a call, since no session opened
                step = steps.get(_serial(key))
                self.perhaps.pop((name, key), None)
                self.tries[name, key] = 0 if step is None else step.attempts + step.open
        for call in entry.calls:
            key = step_of(call.attempt)
            step = steps.get(_serial(key))
            done = step is not None and step.done
            if call.answered and not done:  # nobody wrote the answer down
                call.answered = False
                self._done.discard((entry.id, key))
            if call.in_doubt:
                call.evidence = self.worked[entry.envelope.instance_id]

    def _expect_edge(self, level: str, previous: str, depth: int) -> None:
        """A level begins at its threshold, and is left only well below it."""
        settings, bound = self.setup.config.pressure, self.setup.config.partition_bound
        rises = LEVELS.index(level) > LEVELS.index(previous)
        share = settings.thresholds[max(LEVELS.index(level), LEVELS.index(previous)) - 1]
        if rises:
            self.expect(depth >= int(share * bound + HAIR), f"{level} at {depth} of {bound}")
            return
        edge = max(1, int((share - HYSTERESIS) * bound + HAIR))
        self.expect(depth < edge, f"not {previous} any more at {depth} of {bound}")

    def pressure(self, partition: int, level: str, previous: str, depth: int) -> None:
        """One event for each real change of level."""
        self.note("pressure", partition, previous, level)
        known = self.levels[partition]
        self._expect_edge(level, previous, depth)
        self.expect(previous == known != level, f"pressure {known} told as {previous}->{level}")
        self.levels[partition] = level


def _as_in_an_outage(verdict: Verdict) -> bool:
    """Whether the verdict leaves open that the instance does not work at all."""
    reasons = (Reason.UNREACHABLE, Reason.OUTCOME_UNKNOWN, Reason.PLATFORM_ERROR)
    retryable = verdict.error_class is ErrorClass.RETRYABLE
    return retryable and verdict.scope is Scope.INSTANCE and verdict.reason in reasons


def _may_be_shown(entry: Entry) -> bool:
    return any(call.answered or call.in_doubt for call in entry.calls)


def step_of(attempt: Attempt) -> str:
    """The name of the step; each change of a stream's message has a key of its own."""
    return ".".join(attempt.key.split(".")[:2])


def _serial(key: str) -> int:
    """The number of the step that an attempt's key names."""
    return int(key.rpartition(".")[2])


def lane_words(envelope: Any) -> list[str]:
    """The words of a send or an edit."""
    return words_of(envelope.text) if isinstance(envelope, Send | Edit) else []


__all__ = ["GRID", "Call", "Entry", "Ledger", "lane_words", "number_of", "words_of"]


def identity(envelope: Any) -> int:
    """What identifies an envelope in this process run, also a stream's, whose text changes."""
    grows = getattr(envelope, "grows", None)
    return id(envelope if grows is None else grows)


def _replaces(newer: Edit, older: Edit) -> bool:
    """Whether nothing that the older edit changes is left by the newer one."""
    return all(
        getattr(older, name) is None or getattr(newer, name) is not None
        for name in ("files", "extra", "buttons")
    )
