"""Reads and writes who takes part and who owns which account. Blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, TypeAlias
from uuid import UUID

import attrs
import psycopg

from gateway_contrib.postgres.connections.members import own_name
from gateway_contrib.postgres.connections.membership import NOTED_FOR, Owner
from gateway_contrib.postgres.names import ALL, name_of, text_in, text_out
from gateway_contrib.postgres.spreading.balance import Member
from gateway_contrib.postgres.spreading.shares import Account
from gateway_core.outboxes import OutboxError

Connection: TypeAlias = psycopg.Connection[Any]

SLOTS = 128
"""Members that can own accounts at once: each draws ids that no other member draws."""
CHANGED = "UPDATE shares SET version = version + 1"
_LOOK = """SELECT s.version, m.member, m.name, m.lease, m.counter, m.weight, m.ready, m.draining,
        m.unfinished
    FROM shares s LEFT JOIN members m ON true"""
_ACCOUNTS = "SELECT instance, member, epoch, pinned FROM accounts"
_BUSY = f"{_ACCOUNTS} WHERE NOT idle UNION {_ACCOUNTS} WHERE account = ANY (%b::text[])"
_AWAITED = """SELECT a.instance FROM accounts a WHERE a.idle AND a.instance IN (
        SELECT instance FROM handed WHERE waiting
        UNION SELECT instance FROM requests WHERE done_at IS NULL)
    UNION SELECT a.instance FROM requests o,
        LATERAL (SELECT account FROM envelopes e WHERE e.seq = o.seq
            UNION ALL SELECT account FROM history h WHERE h.seq = o.seq
            UNION ALL SELECT account FROM groups g WHERE g.seq = o.seq) found
        JOIN accounts a USING (account) WHERE o.done_at IS NULL AND a.idle"""
"""Idle accounts for which something was handed over or requested."""
_LACKS = "SELECT member, lacks FROM members WHERE weight IS NOT NULL"
_SLOT = """INSERT INTO members (member, name, release, lease, weight, slot)
    SELECT %(member)s, %(name)s, %(release)s, %(lease)s, %(weight)s, free.slot
    FROM generate_series(0, %(slots)s - 1) free(slot)
    WHERE NOT EXISTS (SELECT 1 FROM members m WHERE m.slot = free.slot)
    ORDER BY free.slot <> %(before)s, free.slot LIMIT 1
    ON CONFLICT (member) DO NOTHING"""
_ADD = """INSERT INTO accounts (account, instance, member, epoch)
    SELECT v.account, v.instance, whole.member, 0
    FROM unnest(%b::text[], %b::text[]) v(account, instance) LEFT JOIN
        (SELECT m.member FROM accounts a JOIN members m USING (member)
            WHERE a.account = '' AND m.weight IS NULL) whole ON true
    ON CONFLICT DO NOTHING"""
_TAKE = """UPDATE accounts
    SET member = %s, epoch = epoch + 1, owned_since = clock_timestamp(), idle = false
    WHERE account = %s AND epoch = %s AND member IS NOT DISTINCT FROM %s"""


@attrs.frozen(kw_only=True)
class Seen:
    """The members that took part at a look.

    version  changes with everything that decides who is to own what
    whole    members that own all accounts, or would own them
    spread   members that own some accounts; without the instances that each lacks
    owners   all members, with their leases
    counts   how many unfinished envelopes each member counts, by class
    """

    version: int
    whole: tuple[Owner, ...]
    spread: tuple[Member, ...]
    owners: tuple[Owner, ...]
    counts: Mapping[UUID, Sequence[int]]

    @property
    def present(self) -> frozenset[UUID]:
        """All members."""
        return frozenset(owner.member for owner in self.owners)


def look(connection: Connection) -> Seen:
    """Look who takes part. It costs the same however many accounts there are."""
    rows = connection.execute(_LOOK).fetchall()
    owners, whole, spread, counts = [], [], [], {}
    for _, member, name, lease, counter, weight, ready, draining, unfinished in rows:
        if member is None:
            continue
        counts[member] = unfinished
        owner = Owner(member=member, name=name, lease=lease, counter=counter)
        owners.append(owner)
        if weight is None:
            whole.append(owner)
        else:
            spread.append(
                Member(member=member, name=name, weight=weight, ready=ready, draining=draining)
            )
    return Seen(
        version=rows[0][0] if rows else 0,
        whole=tuple(whole),
        spread=tuple(spread),
        owners=tuple(owners),
        counts=counts,
    )


def accounts(connection: Connection, idle: Collection[str] | None = None) -> dict[str, Account]:
    """All accounts that have a row, by instance.

    idle  of the idle accounts, only these; None: all
    """
    if idle is None:
        rows = connection.execute(_ACCOUNTS).fetchall()
    else:
        rows = connection.execute(_BUSY.encode(), ([*map(name_of, idle)],)).fetchall()
    return {
        name: Account(instance=name, member=member, epoch=epoch, pinned=pinned)
        for name, member, epoch, pinned in ((text_out(row[0]), *row[1:]) for row in rows)
    }


def awaited(connection: Connection) -> frozenset[str]:
    """Idle accounts that have work to do by now. The cost depends on the waiting rows alone."""
    rows = connection.execute(_AWAITED).fetchall()
    return frozenset(text_out(name) for (name,) in rows)


def lacks(connection: Connection) -> dict[UUID, frozenset[str]]:
    """The accounts that each member should own but cannot."""
    rows = connection.execute(_LACKS).fetchall()
    return {member: frozenset(map(text_out, names)) for member, names in rows}


def join(connection: Connection, member: UUID, lease: float, weight: float, before: int) -> int:
    """Take part; returns the slot for the member's ids, `before` if that is free.

    No other process becomes the owner of all accounts meanwhile. Raises `OutboxError` if there are
    too many members.
    """
    asked = {
        "member": member, "name": own_name(), "release": version("gateway-contrib"),
        "lease": lease, "weight": weight, "slots": SLOTS, "before": before,
    }  # fmt: skip
    with connection.transaction():
        connection.execute("SELECT 1 FROM accounts WHERE account = '' FOR SHARE")
        connection.execute(CHANGED)  # only one process at a time goes beyond this
        connection.execute(_SLOT, asked)
        row = connection.execute("SELECT slot FROM members WHERE member = %s", (member,)).fetchone()
        if row is None:
            raise OutboxError(
                f"{SLOTS} processes share its accounts already, which is the most: stop one of"
                " them first"
            )
        sql = "DELETE FROM batches WHERE noted_at < now() - make_interval(days => %s)"
        connection.execute(sql, (NOTED_FOR,))
    return int(row[0])


def drain(connection: Connection, member: UUID) -> None:
    """Say that the member is to own nothing more: it is ending."""
    with connection.transaction():
        connection.execute("UPDATE members SET draining = true WHERE member = %s", (member,))
        connection.execute(CHANGED)


def leave(connection: Connection, member: UUID) -> None:
    """Give up all accounts at once, and no longer take part."""
    with connection.transaction():
        connection.execute("DELETE FROM members WHERE member = %s", (member,))
        connection.execute("UPDATE accounts SET member = NULL WHERE member = %s", (member,))
        connection.execute("DELETE FROM batches WHERE member = %s", (member,))
        connection.execute(CHANGED)


def end(connection: Connection, owner: Owner) -> bool:
    """End the owner's lease, unless it has just renewed it. Waits for the owner's transactions."""
    sql = "DELETE FROM members WHERE member = %s AND counter = %s"
    return connection.execute(sql, (owner.member, owner.counter)).rowcount > 0


def add(connection: Connection, instances: Iterable[str]) -> None:
    """Add the missing rows of accounts; the owner is nobody, or the member that owns all."""
    names = list(instances)
    with connection.transaction():
        asked = ([name_of(name) for name in names], [text_in(name) for name in names])
        if connection.execute(_ADD, asked).rowcount:
            connection.execute(CHANGED)


def say_lacks(connection: Connection, member: UUID, instances: Collection[str]) -> None:
    """Say which accounts the member should own but cannot; with that, the member is ready."""
    with connection.transaction():
        sql = "UPDATE members SET lacks = %s, ready = true WHERE member = %s"
        connection.execute(sql, (sorted(map(text_in, instances)), member))
        connection.execute(CHANGED)


def take(connection: Connection, member: UUID, instance: str) -> int:
    """Own the account, unless another member does; returns its epoch. Call it in a transaction.

    Raises `OutboxError`, which names the other owner.
    """
    account = name_of(instance) if instance else ALL
    sql = """SELECT a.member, a.epoch, m.name FROM accounts a LEFT JOIN members m USING (member)
        WHERE a.account = %s"""
    row = connection.execute(sql, (account,)).fetchone()
    if row is None:
        add(connection, [instance])
        row = connection.execute(sql, (account,)).fetchone()
    owner, epoch, name = row if row is not None else (None, 0, None)
    if owner == member:
        return int(epoch)
    if name is None and connection.execute(_TAKE, (member, account, epoch, owner)).rowcount:
        return int(epoch) + 1
    raise OutboxError(
        f"account {instance} is owned by another process: {name or 'it has just started'}"
    )


def give(
    connection: Connection, member: UUID, instances: Iterable[str], idle: Collection[str] = ()
) -> None:
    """Give up those of the accounts that the member owns. Call it at the end of a transaction.

    idle  accounts that have nothing to do, as far as the process knows: it may not have heard that
          an envelope is stored
    """
    names = [name_of(each) if each else ALL for each in instances]
    sql = """UPDATE accounts SET member = NULL, idle = account = ANY (%b::text[])
            AND NOT EXISTS (SELECT 1 FROM envelopes e WHERE e.account = accounts.account)
        WHERE member = %s AND account = ANY (%b::text[])"""
    if connection.execute(sql, ([*map(name_of, idle)], member, names)).rowcount:
        connection.execute(CHANGED)
