"""Bounds how many unfinished envelopes a durable outbox may store, by class. Sans-I/O.

As for the bounds of memory, each class may use the whole capacity: a bound for a class counts the
envelopes of that class and of higher classes. If several processes share the outbox, the envelopes
that others count take slots as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import attrs

from gateway_core.contract.envelopes import Priority
from gateway_core.outboxes.records import Overview
from gateway_core.scheduling.classes import BULK, RANKS
from gateway_core.scheduling.slot_queue import SlotQueue, Waiter

MOST_GONE = 10_000


def _by_account() -> defaultdict[str, list[int]]:
    return defaultdict(lambda: [0] * (BULK + 1))


@attrs.define(eq=False)
class Capacity:
    """The outbox's own bound, no matter how many envelopes are in memory. A rank names a class.

    wake     asks the pager for a new round, so that ended envelopes can be forgotten
    _stored  envelopes that were accepted and have not ended, by class
    _of      the same since the outbox was opened, by account and class
    _beside  what other processes counted when they were last asked, by class
    """

    _most: int
    _wake: Callable[[], None]
    closed: bool = attrs.field(default=False, init=False)
    _waiting: SlotQueue = attrs.field(factory=SlotQueue, init=False)
    _taken: list[int] = attrs.field(factory=lambda: [0] * (BULK + 1), init=False)
    _stored: list[int] = attrs.field(factory=lambda: [0] * (BULK + 1), init=False)
    _coming: dict[str, int] = attrs.field(factory=dict, init=False)
    _gone: set[str] = attrs.field(factory=set, init=False)
    _of: defaultdict[str, list[int]] = attrs.field(factory=_by_account, init=False)
    _beside: list[int] = attrs.field(factory=lambda: [0] * (BULK + 1), init=False)

    def open(self, overview: Overview) -> None:
        """Count what previous process runs left."""
        for priority, count in overview.classes.items():
            self._add(RANKS[priority], count)

    def recount(self, overview: Overview, now: int) -> None:
        """Count anew what is stored, which another process has changed; held slots stay held."""
        self._of.clear()
        for rank, count in enumerate(self._stored.copy()):
            self._add(rank, -count)
        self.open(overview)
        self._hand_on(now)

    @property
    def unfinished(self) -> int:
        """How many envelopes were accepted and have not ended."""
        return sum(self._stored)

    @property
    def classes(self) -> dict[Priority, int]:
        """How many envelopes of each class were accepted and have not ended."""
        return {priority: self._stored[rank] for priority, rank in RANKS.items()}

    def count_beside(self, classes: Mapping[Priority, int], now: int) -> None:
        """Let what other processes count take slots, instead of what they counted before."""
        for priority, rank in RANKS.items():
            count = classes.get(priority, 0)
            self._taken[rank] += count - self._beside[rank]
            self._beside[rank] = count
        self._hand_on(now)

    def _add(self, rank: int, count: int) -> None:
        self._taken[rank] += count
        self._stored[rank] += count

    def gained(self, instance_id: str, classes: Mapping[Priority, int]) -> None:
        """Count the stored envelopes of an account that this process owns from now on."""
        for priority, count in classes.items():
            self._add(RANKS[priority], count)
            self._of[instance_id][RANKS[priority]] += count

    def lost(self, instance_id: str, now: int) -> None:
        """Stop counting the stored envelopes of an account that another process owns now."""
        for rank, count in enumerate(self._of.pop(instance_id, ())):
            self._add(rank, -count)
        self._hand_on(now)

    def let_through(self, instance_id: str) -> None:
        """Let callers go on that wait for an account of another process, and hear of that then."""
        for waiter in [it for it in self._waiting if it.instance_id == instance_id]:
            self._grant(waiter)

    def forget(self, instance_id: str) -> None:
        """Forget an account that has no unfinished envelopes and is taken out of memory."""
        self._of.pop(instance_id, None)

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for a slot."""
        return bool(self._waiting.size)

    def depth_for(self, rank: int) -> int:
        """How many slots the class and higher classes have taken."""
        return sum(self._taken[: rank + 1])

    def take(self, rank: int) -> bool:
        """Hold a slot until `coming` or `let_go`; false: none is free."""
        taken = self._taken
        if sum(taken) >= self._most and (
            self.depth_for(rank) >= self._most or self._waiting.before(rank)
        ):
            return False
        taken[rank] += 1
        return True

    def wait(self, waiter: Waiter) -> None:
        """Queue for a slot, which is held for the waiter once it is granted."""
        self._waiting.add(waiter)

    def give_up(self, waiter: Waiter, now: int) -> None:
        """The waiter was cancelled: return its slot, or take it out of the queue."""
        if waiter.granted:
            self.let_go(waiter.rank, now)
        elif waiter in self._waiting:
            self._waiting.remove(waiter)
            self._hand_on(now)

    def let_go(self, rank: int, now: int) -> None:
        """Free a held slot that is not needed after all."""
        self._taken[rank] -= 1
        self._hand_on(now)

    def close(self) -> None:
        """Wake all waiters without a slot."""
        self.closed = True
        waiting, self._waiting = self._waiting, SlotQueue()
        for waiter in waiting:
            waiter.wake()

    def coming(self, envelope_id: str, rank: int) -> None:
        """Use a held slot: the outbox may store the envelope, which is not accepted yet."""
        self._coming[envelope_id] = rank

    def came(self, envelope_id: str, instance_id: str, rank: int) -> None:
        """The envelope is stored and accepted."""
        self._coming.pop(envelope_id, None)
        self._gone.discard(envelope_id)  # a first try to store the envelope may have failed
        self._stored[rank] += 1
        self._of[instance_id][rank] += 1

    def failed(self, envelope_id: str, now: int, *, elsewhere: bool) -> None:
        """The envelope was not accepted after all; `elsewhere`: another process may accept it."""
        rank = self._coming.pop(envelope_id, None)
        if not elsewhere:
            self._note_gone(envelope_id)
        if rank is not None:
            self.let_go(rank, now)

    def freed(self, envelope_id: str, instance_id: str, rank: int, now: int) -> None:
        """An envelope ended."""
        self._stored[rank] -= 1
        self._of[instance_id][rank] -= 1
        self._note_gone(envelope_id)
        self.let_go(rank, now)

    def reopened(self, envelope_id: str, instance_id: str, rank: int, *, over: bool) -> None:
        """An ended envelope is unfinished again; `over`: it has already ended a second time."""
        self._add(rank, 1)
        self._of[instance_id][rank] += 1
        if not over:
            self._gone.discard(envelope_id)

    def reclass(self, instance_id: str, rank: int, new: int) -> None:
        """Move the slot of an unfinished envelope from one class to another."""
        for taken in (self._taken, self._stored, self._of[instance_id]):
            taken[rank] -= 1
            taken[new] += 1

    def lacks(self, envelope_id: str) -> bool:
        """Whether a page may show the envelope though it is not accepted yet, or has ended."""
        return envelope_id in self._coming or envelope_id in self._gone

    def read_anew(self) -> None:
        """Forget the ended envelopes: later pages do not show them."""
        self._gone.clear()

    def _note_gone(self, envelope_id: str) -> None:
        self._gone.add(envelope_id)
        if len(self._gone) > MOST_GONE:
            self._wake()

    def _hand_on(self, now: int) -> None:
        """Give free slots to the waiters, before any later caller of their class."""
        while self._waiting.size:
            free = (w for w in self._waiting.in_turn(now) if self.depth_for(w.rank) < self._most)
            waiter = next(free, None)
            if waiter is None:
                return
            self._grant(waiter)

    def _grant(self, waiter: Waiter) -> None:
        self._waiting.remove(waiter)
        self._taken[waiter.rank] += 1
        waiter.granted = True
        waiter.wake()
