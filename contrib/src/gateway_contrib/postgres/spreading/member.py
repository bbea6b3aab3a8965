"""One process's membership in an outbox whose accounts are spread, on a thread of its own.

The member renews its lease each quarter of a lease, and looks four times a second who takes part. A
member that is silent for 1.1 leases on this machine's clock is taken for gone: its row is deleted,
which frees its accounts.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from itertools import zip_longest
from uuid import UUID

import attrs
import psycopg

from gateway_contrib.postgres.connections import membership
from gateway_contrib.postgres.connections.connecting import Link
from gateway_contrib.postgres.connections.failing import Place
from gateway_contrib.postgres.connections.membership import (
    SAYS_EACH,
    Connection,
    Membership,
    Owner,
    Watched,
)  # fmt: skip
from gateway_contrib.postgres.names import ALL
from gateway_contrib.postgres.spreading import tables
from gateway_contrib.postgres.spreading.shares import Account, Share, share_of
from gateway_contrib.postgres.spreading.tables import Seen
from gateway_core.outboxes import OutboxError

LOOK = 0.25
"""Seconds between two looks at who takes part."""


class SpreadMember(Membership):
    """A member that owns some accounts.

    share     the accounts that it is to take and to give up, by its last look
    weighed   the instances for which that look decided who is to own them
    slot      which ids of a millisecond it draws
    on_share  called on the thread of the lease after each look that changed something
    sourced   whether a source gives it accounts that it does not serve, once they have work to do
    beyond    the accounts that the source does not know
    untidy    whether others have gone, or it has begun the common work, since this was last cleared
    beside    what other members count, by class
    _left     accounts that it has given up, and in which epoch, until the database says so
    """

    def __init__(self, link: Link, place: Place, lease: float, weight: float) -> None:
        super().__init__(link, place, lease)
        self._weight = weight
        self._watching: dict[UUID, Watched] = {}
        self._served: frozenset[str] | None = None
        self._owned: dict[str, int] = {}
        self._left: dict[str, int] = {}
        self._known: tuple[object, ...] | None = None
        self._present: frozenset[UUID] = frozenset()
        self._accounts: dict[str, Account] = {}
        self._lacks: frozenset[str] | None = None
        self._renewed = 0.0
        self.beside: Sequence[int] = ()
        self._said_at = -math.inf
        self._ends = False
        self._woken = threading.Event()
        self.slot = 0
        self.share = Share()
        self.weighed: frozenset[str] = frozenset()
        self.sourced = False
        self.beyond: frozenset[str] = frozenset()
        self.untidy = False
        self.on_share: Callable[[], None] | None = None

    # -- taking part

    def attempt(self) -> Owner | None:
        """Take part from now on. Raises `OutboxError` if too many processes do."""
        if self._thread is not None:  # the thread of this process's former member
            self._thread.join()
        before = membership.boottime()
        joined = partial(
            tables.join, member=self.member, lease=self._lease, weight=self._weight,
            before=self.slot,
        )  # fmt: skip
        self.slot = self.link.call(joined)
        self._covered, self._renewed = before + self._lease, before
        self._owned, self._known, self._lacks, self._said = {}, None, None, ()
        self._left.clear()
        self.share, self.weighed = Share(), frozenset()
        self.owns = True
        return None

    def _renew_on(self) -> None:
        stop = self._stop
        while not stop.is_set():
            try:
                if membership.boottime() >= self._renewed + self._lease / 4 and not self._renew():
                    return
                self.look()
            except (psycopg.Error, OSError):  # the next renewal or look makes a new connection
                pass
            self._woken.wait(LOOK)
            self._woken.clear()

    def _renew(self) -> bool:
        before = membership.boottime()
        still = self.renew()
        self._renewed = before
        return still

    def lose(self) -> None:
        """Stop, since other members took this one for gone."""
        super().lose()
        self._woken.set()

    def leave(self) -> None:
        """Give up all accounts at once, and take part no more. Blocks."""
        self._stop.set()
        self._woken.set()
        super().leave()

    def _leave(self, connection: Connection) -> None:
        tables.leave(connection, self.member)

    # -- what it owns, called on trio's thread

    @property
    def common(self) -> bool:
        """Whether this member does the work that is common to all accounts."""
        return self.common_epoch is not None

    @property
    def common_epoch(self) -> int | None:
        """The epoch in which this member does the common work; None: it does not do that."""
        return self._owned.get(ALL)

    def serve(self, instances: Collection[str]) -> None:
        """Note that this process can own these accounts."""
        self._served = frozenset(instances)
        self.beyond -= self._served
        self.look_again()

    def lack(self, instance: str) -> None:
        """Note that this process cannot own the account, since the source does not know it."""
        self.beyond |= {instance}
        self.look_again()

    def end(self) -> None:
        """Note that this process is ending: others are to own the accounts that it gives up."""
        self._ends = True
        self.look_again()

    def took(self, instance: str, epoch: int) -> None:
        """The account is owned. If the last look no longer offers it, another may be to own it."""
        self._owned[instance] = epoch
        self._left.pop(instance, None)
        if instance != ALL and instance not in self.share.take:
            self.look_again()

    def gave(self, instance: str) -> None:
        """The account is given up; the next batch writes that."""
        epoch = self._owned.pop(instance, None)
        if epoch is not None and instance != ALL:
            self._left[instance] = epoch

    def knows(self, instance: str) -> bool:
        """Whether the account had a row at the last look."""
        return instance in self._accounts

    def look_again(self) -> None:
        """Weigh all accounts anew with the next look, since something may have changed."""
        self._known = None
        self._woken.set()

    def not_offered(self, instance: str) -> None:
        """The account could not be taken; the next look decides whether it is offered again."""
        self.share = attrs.evolve(self.share, take=self.share.take - {instance})
        self.look_again()

    @property
    def taken_away(self) -> list[str]:
        """Owned accounts that another member had taken by the last look."""
        owned, seen = self._owned.copy(), self._accounts
        return [name for name, epoch in owned.items() if name in seen and seen[name].epoch > epoch]

    # -- looking, on the thread of the lease

    def look(self) -> None:
        """See which members take part, and decide which accounts this member is to own."""
        if self._ends:
            self.link.call(partial(tables.drain, member=self.member))
            self._ends = False
        seen = self.link.call(tables.look)
        if self.member not in seen.present:
            self.lose()
            return
        if self._ended(seen):
            seen = self.link.call(tables.look)
        self.untidy = self.untidy or not self._present <= seen.present
        self._present = seen.present
        self._count(seen)
        awaited = self.link.call(tables.awaited) if self.sourced else frozenset[str]()
        known = (seen.version, seen.present, seen.spread, self._served, awaited)
        if known != self._known:
            self._known = known
            try:
                self._weigh(seen, awaited)
            except BaseException:
                self._known = None
                raise
            if self.on_share is not None:
                self.on_share()

    def _count(self, seen: Seen) -> None:
        """See what the others count; say what this member counts."""
        others = [counts for member, counts in seen.counts.items() if member != self.member]
        self.beside = tuple(map(sum, zip_longest(*others, fillvalue=0)))
        now = membership.boottime()
        if now >= self._said_at + SAYS_EACH:
            self._said_at = now
            self._say_counts()

    def _ended(self, seen: Seen) -> bool:
        """End members that were silent for too long; returns whether there were any."""
        others = [owner for owner in seen.owners if owner.member != self.member]
        self._watching = {it.member: self._watching.get(it.member) or Watched() for it in others}
        now = membership.boottime()
        silent = [it for it in others if self._watching[it.member].silent(it, now)]
        ended = [it for it in silent if self.link.call(partial(tables.end, owner=it))]
        return bool(ended)

    def _weigh(self, seen: Seen, awaited: frozenset[str]) -> None:
        """Decide which accounts to own, of all; with a source, of those that have work to do."""
        lacks, sourced = self.link.call(tables.lacks), self.sourced
        idle = awaited | (self._served or frozenset()) if sourced else None
        self._accounts = self.link.call(partial(tables.accounts, idle=idle))
        members = [attrs.evolve(it, lacks=lacks.get(it.member, frozenset())) for it in seen.spread]
        for name, epoch in self._left.copy().items():
            row = self._accounts.get(name)
            if row is None or (row.member, row.epoch) != (self.member, epoch):  # or taken again
                self._left.pop(name, None)
        owned, served = frozenset(self._owned.copy()), self._served
        if served is None:
            return
        share = share_of(
            self.member, members, self._accounts, served, owned, seen.present, self._left.copy(),
            self.beyond if sourced else None,
        )  # fmt: skip
        if share.unknown:
            self.link.call(partial(tables.add, instances=share.unknown))
        if share.lacks != self._lacks:
            say = partial(tables.say_lacks, member=self.member, instances=share.lacks)
            self.link.call(say)
            self._lacks = share.lacks
        if share.free:
            self.link.call(partial(self._give_back, instances=share.free))
        if ALL in share.take:
            self._take_common()
        if ALL in share.give:
            self.gave(ALL)
            self.link.call(self._give_common)
        self.share = attrs.evolve(share, take=share.take - {ALL}, give=share.give - {ALL})
        self.weighed = served
        if self._owned.copy().keys() - owned - share.take:  # taken meanwhile, by an earlier share
            self._known = None

    def _take_common(self) -> None:
        def take(connection: Connection) -> int:
            with connection.transaction():
                sql = "SELECT 1 FROM members WHERE member = %s FOR KEY SHARE"
                if connection.execute(sql, (self.member,)).fetchone() is None:
                    return -1
                return tables.take(connection, self.member, ALL)

        try:
            epoch = self.link.call(take)
        except OutboxError:  # another member was faster
            self._known = None
            return
        if epoch >= 0:
            self.took(ALL, epoch)
            self.untidy = True

    def _give_common(self, connection: Connection) -> None:
        self._give_back(connection, [ALL])

    def _give_back(self, connection: Connection, instances: Iterable[str]) -> None:
        with connection.transaction():
            tables.give(connection, self.member, instances)
