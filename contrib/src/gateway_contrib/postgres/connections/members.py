"""Who takes part in an outbox: who owns it, since when, and who stands by.

Whether a member is still there is told by the server's clock alone, which wrote down when that
renewed its lease: for people, while a takeover trusts in no clock.
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
"""Seconds without one after which it is taken to be gone."""


@attrs.frozen(kw_only=True)
class Part:
    """One process that takes part. Times are POSIX times by the server's clock.

    owns      whether it owns the outbox, or takes part in one of which it owns some accounts; else
              it stands by
    since     when it began to
    seen      when it last said that it is there
    epoch     which owner it is, counted from the first; lease: in seconds; None: of a standby
    accounts  how many it owns, where they are spread over processes; None: they are not
    weight    its share of them, beside others'; None likewise
    draining  whether it gives up all of them
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
    """Who owns the outbox and has renewed its lease in time; None: nobody."""
    row = connection.execute(_OWNER).fetchone()
    if row is None:
        return None
    name, release, since, seen, epoch, lease = row
    return Part(
        name=name, release=release, owns=True, since=since, seen=seen, epoch=epoch, lease=lease
    )


def _sharing_in(connection: Connection) -> list[Part]:
    """Those of which each owns some accounts."""
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
    """The owner, if there is one, those that own some accounts each, and those that stand by."""
    owner, found = owner_in(connection), _sharing_in(connection)
    rows = connection.execute(_STANDBYS, (FORGOTTEN,)).fetchall()
    if owner is not None and owner.name not in {part.name for part in found}:
        found.insert(0, owner)
    for name, release, since, seen in rows:
        found.append(Part(name=name, release=release, owns=False, since=since, seen=seen))
    return found


def own_name() -> str:
    """How this process is called, for people."""
    return f"{platform.node()}, process {os.getpid()}"


def note_standby(connection: Connection, process: UUID) -> None:
    """It stands by, or still does."""
    sql = """INSERT INTO standbys (process, name, release) VALUES (%s, %s, %s)
        ON CONFLICT (process) DO UPDATE SET seen_at = clock_timestamp()"""
    connection.execute(sql, (process, own_name(), version("gateway-contrib")))


def forget_standby(connection: Connection, process: UUID) -> None:
    """It owns the outbox, or does not wait for it any more; so do those that were not seen."""
    sql = """DELETE FROM standbys WHERE process = %s
        OR seen_at < clock_timestamp() - make_interval(secs => %s)"""
    connection.execute(sql, (process, 100 * FORGOTTEN))
