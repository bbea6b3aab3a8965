"""Decides who owns the outbox, by a lease that the owner renews on a thread of its own.

The owner's row has a counter, which the owner raises each quarter of the lease. A standby looks at
the counter twice a second, and takes over once it has itself seen the counter unchanged for 1.1
leases, on a clock that also runs while the machine is suspended. Two clocks are never compared,
not even with the server's. A takeover deletes the owner's row if its counter is still the same; a
renewal that finds no row has come too late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import attrs
import psycopg

from gateway_contrib.postgres.connections.connecting import Link
from gateway_contrib.postgres.connections.failing import Place
from gateway_contrib.postgres.connections.members import (
    NOTES_EACH,
    forget_standby,
    note_standby,
    own_name,
)

Connection: TypeAlias = psycopg.Connection[Any]

LOOK = 0.5
"""Seconds between two looks at the owner's counter."""
BEYOND = 1.1
"""Leases for which a counter must have been seen unchanged before a takeover."""
SAYS_EACH = 1.0
"""Seconds, at least, between two times at which a member says how much it counts."""
NOTED_FOR = 7
"""Days for which a former owner may ask whether its last transaction was committed."""


def boottime() -> float:
    """Seconds on a clock that runs while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@attrs.frozen(kw_only=True)
class Owner:
    """Who owns the outbox. `name` says host and process."""

    member: UUID
    name: str
    lease: float
    counter: int

    def __str__(self) -> str:
        return self.name


_ALL_OF_THEM = """INSERT INTO accounts (account, instance, member, epoch)
    VALUES ('', '', NULL, 0) ON CONFLICT DO NOTHING"""


class Watched:
    """How long an owner has been seen without a sign of life. Sans-I/O."""

    def __init__(self) -> None:
        self._seen: tuple[UUID, int] | None = None
        self._since = 0.0

    def silent(self, owner: Owner, now: float) -> bool:
        """Whether the counter has been seen unchanged for so long that the lease is over."""
        seen = (owner.member, owner.counter)
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since >= BEYOND * owner.lease


class Membership:
    """One process's part in the outbox.

    owns       whether this process owns the outbox, as far as it knows
    counts     how many unfinished envelopes it counts, by class; others are told now and then
    stands_by  whether another process owned the outbox at the last look
    on_lost    called on the thread of the lease once another process owns the outbox
    takeovers  how often this process became the owner
    """

    def __init__(self, link: Link, place: Place, lease: float) -> None:
        self.link = link
        self._place = place
        self._lease = lease
        self._watched = Watched()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._covered = 0.0
        self._noted = -NOTES_EACH
        self._process = uuid4()
        self.counts: Sequence[int] = ()
        self._said: Sequence[int] = ()
        self.member = uuid4()
        self.owns = False
        self.stands_by = False
        self.takeovers = 0
        self.on_lost: Callable[[], None] | None = None

    def anew(self) -> None:
        """Take part as a new member, so that transactions of the former one stay fenced."""
        self.member, self._said = uuid4(), ()

    # -- becoming the owner: `attempt` blocks, and is called twice a second

    def attempt(self) -> Owner | None:
        """Become the owner if there is none or its lease is over; otherwise returns the owner."""
        before = boottime()
        owner = self.link.call(self._attempt)
        self.stands_by = owner is not None
        if owner is not None and before - self._noted >= NOTES_EACH:
            self._noted = before
            self.link.call(partial(note_standby, process=self._process))
        if owner is None:
            self._covered = before + self._lease
            self.takeovers += 1
            self.owns = True
        return owner

    def _attempt(self, connection: Connection) -> Owner | None:
        owner = self._owner(connection)
        if owner is not None and owner.member == self.member:
            return None  # this process is the owner; the answer to its COMMIT was lost
        if owner is not None and not self._watched.silent(owner, boottime()):
            return owner
        taken = False
        with connection.transaction():
            # One process at a time: one that waited here looks again, since its look is stale.
            sql = "SELECT 1 FROM accounts WHERE account = '' FOR UPDATE"
            if not connection.execute(sql).rowcount:  # somebody emptied the table
                connection.execute(_ALL_OF_THEM)
            taken = self._owner(connection) == owner and (
                owner is None or self._end(connection, owner)
            )
            if not taken:
                raise psycopg.Rollback
            self._take(connection)
        return None if taken else self._owner(connection) or owner

    def _end(self, connection: Connection, owner: Owner) -> bool:
        """End the owner's lease, unless it has just renewed it."""
        sql = "DELETE FROM members WHERE member = %s AND counter = %s"
        return connection.execute(sql, (owner.member, owner.counter)).rowcount > 0

    def _owner(self, connection: Connection) -> Owner | None:
        """Who owns the whole outbox now; None: nobody."""
        sql = """SELECT a.member, m.name, m.lease, m.counter
            FROM accounts a LEFT JOIN members m USING (member) WHERE a.account = ''"""
        row = connection.execute(sql).fetchone()
        if row is None or row[0] is None or row[1] is None:
            return None
        member, name, lease, counter = row
        return Owner(member=member, name=name, lease=lease, counter=counter)

    def _take(self, connection: Connection) -> None:
        """All accounts are this member's from now on."""
        sql = """INSERT INTO members (member, name, release, lease) VALUES (%s, %s, %s, %s)
            ON CONFLICT DO NOTHING"""
        of = (self.member, own_name(), version("gateway-contrib"), self._lease)
        connection.execute(sql, of)
        sql = "UPDATE accounts SET member = %s, epoch = epoch + 1, owned_since = clock_timestamp()"
        connection.execute(sql, (self.member,))
        forget_standby(connection, self._process)
        sql = "DELETE FROM batches WHERE noted_at < now() - make_interval(days => %s)"
        connection.execute(sql, (NOTED_FOR,))

    # -- being the owner

    @property
    def covered(self) -> bool:
        """Whether the lease still runs, counted from before its last renewal."""
        return self.left > 0

    @property
    def left(self) -> float:
        """Seconds for which the lease still runs; 0: it does not."""
        return max(0.0, self._covered - boottime()) if self.owns else 0.0

    def begin(self) -> None:
        """Renew the lease from now on."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_on, name="gateway lease", daemon=True)
        self._thread.start()

    def _renew_on(self) -> None:
        left = pause = self._lease / 4
        while not self._stop.wait(rest := min(SAYS_EACH, left)):
            left -= rest
            try:
                if left <= 0.0:
                    left = pause
                    if not self.renew():
                        return
                self._say_counts()
            except psycopg.Error:  # the next renewal makes a new connection
                continue

    def renew(self) -> bool:
        """Raise the counter; returns whether this member still owns the outbox."""
        before = boottime()
        sql = """UPDATE members SET counter = counter + 1, renewed_at = clock_timestamp()
            WHERE member = %s"""
        if self.link.call(lambda it: it.execute(sql, (self.member,)).rowcount):
            self._covered = before + self._lease
            return True
        self.lose()
        return False

    def _say_counts(self) -> None:
        """Tell the others how much this member counts, if that has changed."""
        counts = self.counts
        if counts != self._said:
            sql = "UPDATE members SET unfinished = %s WHERE member = %s"
            self.link.call(lambda it: it.execute(sql, (list(counts), self.member)))
            self._said = counts

    def lose(self) -> None:
        """Note that another process owns the outbox."""
        self._stop.set()
        if self.owns:
            self.owns = False
            if self.on_lost is not None:
                self.on_lost()

    def leave(self) -> None:
        """Give up the outbox, so that a standby can take over at once. Blocks.

        Raises `psycopg.Error` if that cannot be written; this process then no longer owns it
        either.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self.owns:
            self.owns = False
            self.link.call(self._leave)
        elif self.stands_by:
            self.link.call(partial(forget_standby, process=self._process))

    def _leave(self, connection: Connection) -> None:
        with connection.transaction():
            connection.execute("DELETE FROM members WHERE member = %s", (self.member,))
            connection.execute(
                "UPDATE accounts SET member = NULL WHERE member = %s", (self.member,)
            )
            connection.execute("DELETE FROM batches WHERE member = %s", (self.member,))
