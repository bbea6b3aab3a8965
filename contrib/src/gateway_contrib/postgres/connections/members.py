"""Reads who takes part in an outbox: who owns it, since when, and who stands by.

Whether a member is still there is judged by the server's clock alone, with which the member's last
renewal was noted. This is for people only; a takeover does not rely on that clock.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any, TypeAlias
from uuid import UUID

import attrs
import psycopg

Connection: TypeAlias = psycopg.Connection[Any]

NOTES_EACH = 5.0
"""Seconds between two notes of a member that it stands by."""
FORGOTTEN = 3 * NOTES_EACH
"""Seconds without a note after which a standby is taken for gone."""


@attrs.frozen(kw_only=True)
class Part:
    """One process that takes part. Times are POSIX times by the server's clock.

    owns      whether it owns the outbox, or some of its accounts; otherwise it stands by
    since     when it began to own or to stand by
    seen      when it last said that it is there
    epoch     the owner's number, counted from the first; lease: in seconds; None: it stands by
    accounts  how many it owns if accounts are spread over processes; None: they are not
    weight    its share of spread accounts, relative to others' weights; None: not spread
    draining  whether it gives up all of its accounts
    """

    name: str
    release: str
    owns: bool
    since: float
    seen: float
    epoch: int | None = None
    lease: float | None = None
    accounts: int | None = None
    weight: float | None = None
    draining: bool = False

    def __str__(self) -> str:
        return self.name


_OWNER = """SELECT m.name, m.release, extract(epoch FROM a.owned_since)::float8,
        extract(epoch FROM m.renewed_at)::float8, a.epoch, m.lease
    FROM accounts a JOIN members m USING (member)
    WHERE a.account = ''
        AND m.renewed_at > clock_timestamp() - make_interval(secs => 1.1 * m.lease)"""
_SHARING = """SELECT m.name, m.release, extract(epoch FROM m.joined_at)::float8,
        extract(epoch FROM m.renewed_at)::float8, m.lease, m.weight, m.draining,
        (SELECT count(*) FROM accounts a WHERE a.member = m.member AND a.account <> '')
    FROM members m WHERE m.weight IS NOT NULL
        AND m.renewed_at > clock_timestamp() - make_interval(secs => 1.1 * m.lease)
    ORDER BY m.joined_at, m.name"""
_STANDBYS = """SELECT name, release, extract(epoch FROM since)::float8,
        extract(epoch FROM seen_at)::float8
    FROM standbys WHERE seen_at > clock_timestamp() - make_interval(secs => %s)
    ORDER BY since, name"""


def owner_in(connection: Connection) -> Part | None:
    """The process that owns the outbox and has renewed its lease in time; None: there is none."""
    row = connection.execute(_OWNER).fetchone()
    if row is None:
        return None
    name, release, since, seen, epoch, lease = row
    return Part(
        name=name, release=release, owns=True, since=since, seen=seen, epoch=epoch, lease=lease
    )


def _sharing_in(connection: Connection) -> list[Part]:
    """The processes that each own some accounts."""
    return [
        Part(
            name=name, release=release, owns=True, since=since, seen=seen, lease=lease,
            accounts=accounts, weight=weight, draining=draining,
        )
        for name, release, since, seen, lease, weight, draining, accounts in connection.execute(
            _SHARING
        ).fetchall()
    ]  # fmt: skip


def parts_in(connection: Connection) -> list[Part]:
    """The owner, if there is one, processes that each own some accounts, and the standbys."""
    owner, found = owner_in(connection), _sharing_in(connection)
    rows = connection.execute(_STANDBYS, (FORGOTTEN,)).fetchall()
    if owner is not None and owner.name not in {part.name for part in found}:
        found.insert(0, owner)
    for name, release, since, seen in rows:
        found.append(Part(name=name, release=release, owns=False, since=since, seen=seen))
    return found


def own_name() -> str:
    """The name of this process, for people."""
    return f"{platform.node()}, process {os.getpid()}"


def note_standby(connection: Connection, process: UUID) -> None:
    """Note that the process stands by now."""
    sql = """INSERT INTO standbys (process, name, release) VALUES (%s, %s, %s)
        ON CONFLICT (process) DO UPDATE SET seen_at = clock_timestamp()"""
    connection.execute(sql, (process, own_name(), version("gateway-contrib")))


def forget_standby(connection: Connection, process: UUID) -> None:
    """Forget a process that no longer stands by, and standbys that were not seen for long."""
    sql = """DELETE FROM standbys WHERE process = %s
        OR seen_at < clock_timestamp() - make_interval(secs => %s)"""
    connection.execute(sql, (process, 100 * FORGOTTEN))
