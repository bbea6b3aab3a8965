"""Takes several accounts with as few statements as one, and reads their last states. Blocks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import psycopg

from gateway_contrib.durable.damage import LAST, are_times
from gateway_contrib.durable.rows import priority_of
from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.names import name_of, text_out
from gateway_contrib.postgres.operators import suspensions
from gateway_contrib.postgres.reading import last_id, spent_of
from gateway_contrib.postgres.spreading import tables
from gateway_core.outboxes import STREAMS, Overview, Priority, Recovery

Connection: TypeAlias = psycopg.Connection[Any]

_OWNED = """SELECT a.account, a.epoch, a.member, m.name FROM accounts a
    LEFT JOIN members m USING (member) WHERE a.account = ANY (%b::text[])"""
_TAKE = """UPDATE accounts a SET member = %s, epoch = a.epoch + 1,
        owned_since = clock_timestamp(), idle = false
    FROM unnest(%b::text[], %b::bigint[]) v(account, epoch)
    WHERE a.account = v.account AND a.epoch = v.epoch
        AND NOT EXISTS (SELECT 1 FROM members m WHERE m.member = a.member)
    RETURNING a.account, a.epoch"""
_CLOSURES = "SELECT account, operation, until, wait FROM closures WHERE account = ANY (%b::text[])"
_MOVES = """SELECT account, room, moved_to FROM moves WHERE account = ANY (%b::text[])
    ORDER BY moved_at"""
_SPENT = "SELECT account, at, standings FROM spent WHERE account = ANY (%b::text[])"
_HIGHEST = f"""SELECT a.account, max(p.position) FROM unnest(%b::text[]) a(account)
    CROSS JOIN generate_series(0, %s - 1) s(number) JOIN LATERAL
        (SELECT e.position FROM envelopes e WHERE e.account = a.account AND e.stream = s.number
            AND e.due IS NULL AND e.position < {LAST}
            ORDER BY e.position DESC LIMIT 1) p ON true GROUP BY 1"""  # noqa: S608 - constants
_ENDED = f"SELECT max(sequence) FROM history WHERE sequence < {LAST}"  # noqa: S608 - constants
_UNFINISHED = """SELECT account, stream, due IS NOT NULL, count(*) FROM envelopes
    WHERE account = ANY (%b::text[]) GROUP BY 1, 2, 3"""


def take(connection: Connection, member: UUID, instances: Sequence[str]) -> dict[str, int]:
    """Own those that no other member owns; returns each one's epoch. Call it in a transaction."""
    names = {name_of(each): each for each in instances}
    asked = (list(names),)
    rows = connection.execute(_OWNED, asked).fetchall()
    if len(rows) < len(names):
        known = {account for account, *_ in rows}
        tables.add(connection, [each for name, each in names.items() if name not in known])
        rows = connection.execute(_OWNED, asked).fetchall()
    had = {names[account]: int(epoch) for account, epoch, owner, _ in rows if owner == member}
    free = sorted((account, epoch) for account, epoch, _, name in rows if name is None)
    if free:
        columns = [list(column) for column in zip(*free, strict=True)]
        taken = connection.execute(_TAKE, (member, *columns)).fetchall()
        had |= {names[account]: int(epoch) for account, epoch in taken}
    return had


def recoveries(
    connection: Connection, seals: Seals, instances: Collection[str]
) -> dict[str, Recovery]:
    """The state in which each account was left."""
    names = {name_of(each): each for each in instances}
    asked = (list(names),)
    closures: defaultdict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    for account, what, until, wait in connection.execute(_CLOSURES, asked).fetchall():
        if are_times(until, wait):
            closures[account][text_out(what)] = (until, wait)
    moves: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for account, room, moved_to in connection.execute(_MOVES, asked).fetchall():
        moves[account][text_out(room)] = text_out(moved_to)
    spent = {row[0]: row[1:] for row in connection.execute(_SPENT, asked).fetchall()}
    suspended = suspensions.suspended(connection, seals, list(instances))
    places = dict(connection.execute(_HIGHEST.encode(), (*asked, len(STREAMS))).fetchall())
    row = connection.execute(_ENDED.encode()).fetchone()
    ended, newest = None if row is None else row[0], last_id(connection)
    return {
        instance: Recovery(
            last_id=newest,
            sequence=_highest(ended, places.get(account)),
            moves=moves[account],
            closures=closures[account],
            spent=spent_of(instance, spent.get(account)),
            suspended=suspended.get(instance),
        )
        for account, instance in names.items()
    }


def _highest(*numbers: int | None) -> int | None:
    return max((number for number in numbers if number is not None), default=None)


def unfinished(connection: Connection, instances: Collection[str]) -> Mapping[str, Overview]:
    """Totals of each account's unfinished entries."""
    names = {name_of(each): each for each in instances}
    classes: defaultdict[str, Counter[Priority]] = defaultdict(Counter)
    scheduled: Counter[str] = Counter()
    rows = connection.execute(_UNFINISHED, (list(names),)).fetchall()
    for account, stream, is_due, count in rows:
        classes[account][priority_of(stream)] += count
        scheduled[account] += count if is_due else 0
    return {
        instance: Overview(
            unfinished={instance: found.total()} if (found := classes[account]) else {},
            classes=dict(found),
            scheduled=scheduled[account],
        )
        for account, instance in names.items()
    }
