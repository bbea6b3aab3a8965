"""Reads groups, their members and failures, and bytes, on the connection that reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias

import psycopg

from gateway_contrib.durable.damage import unquoted, unreadable
from gateway_contrib.durable.group_rows import member_of, members_in, seq_of, state_of, turns_in
from gateway_contrib.durable.rows import Row, receipt_of
from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.beside.adopting import PIECE, piece_place
from gateway_contrib.postgres.names import members_place, name_of, text_out
from gateway_core import Invalid
from gateway_core.outboxes import (
    BytesLost,
    FormatVersionError,
    GroupState,
    Member,
    OutboxError,
    Receipt,
)

Connection: TypeAlias = psycopg.Connection[Any]

_STATE = """SELECT g.seq, g.id, coalesce(a.instance, g.account), g.size, g.fingerprint, g.content,
        g.taken, g.paused, g.cancelled, g.ended_at IS NULL AND EXISTS (SELECT 1 FROM turns t
            WHERE t.grp = g.seq AND t.disposition IS NOT NULL AND t.number < 0)
    FROM groups g LEFT JOIN accounts a USING (account) WHERE g.stored"""


def state_at(connection: Connection, seals: Seals, seq: int) -> GroupState | None:
    """The group of that number; None: it is not there, or cannot be read."""
    rows = connection.execute(f"{_STATE} AND g.seq = %s".encode(), (seq,)).fetchall()
    return next(iter(_states(connection, seals, rows)), None)


def states(
    connection: Connection, seals: Seals, instance: str, after: str, limit: int
) -> list[GroupState]:
    """The next groups of an account by their ids."""
    sql = f"{_STATE} AND g.account = %s AND g.seq > %s ORDER BY g.seq LIMIT %s".encode()
    place = seq_of(after) if after else -1
    while True:
        rows = connection.execute(sql, (name_of(instance), place, limit)).fetchall()
        found = _states(connection, seals, rows)
        if found or not rows:
            return found
        place = rows[-1][0]


def _states(connection: Connection, seals: Seals, rows: Sequence[Row]) -> list[GroupState]:
    found: list[GroupState] = []
    for row in rows:
        sql = "SELECT disposition, count FROM counts WHERE grp = %s"
        counts = dict(connection.execute(sql, (row[0],)).fetchall())
        seq, name, instance, size, fingerprint, *rest = row
        read = (seq, name, text_out(instance), size, text_out(fingerprint), *rest)
        try:
            found.append(state_of(seals, read, counts))
        except (FormatVersionError, Invalid) as error:  # the row stays where it is
            unreadable(name, error)
    return found


def members(
    connection: Connection, seals: Seals, group_id: str, after: int, limit: int
) -> list[tuple[int, Member]]:
    """The group's next members that have no entry, with their numbers."""
    sql = """SELECT seq, next, returned, id FROM groups WHERE seq = %s AND stored
        AND NOT cancelled"""
    row = connection.execute(sql, (seq_of(group_id),)).fetchone()
    if row is None or row[3] != group_id:
        return []
    seq, upcoming, returned, _ = row
    try:
        back = [turn for turn in sorted(turns_in(returned)) if turn > after]
    except Invalid as error:
        raise OutboxError(f"group {group_id} cannot be read: {error}") from None
    upcoming = max(upcoming, after + 1)
    found = (_back(connection, seals, seq, back), _upcoming(connection, seals, seq, upcoming))
    return list(islice((one for some in found for one in some), limit))


def _back(
    connection: Connection, seals: Seals, seq: int, turns: Sequence[int]
) -> Iterator[tuple[int, Member]]:
    """The members whose entries were withdrawn."""
    for turn in turns:
        yield from islice(_upcoming(connection, seals, seq, turn), 1)


def _upcoming(
    connection: Connection, seals: Seals, seq: int, start: int
) -> Iterator[tuple[int, Member]]:
    """All members from that number on, read row by row."""
    sql = """SELECT first, members FROM group_members WHERE grp = %s AND first >= coalesce(
            (SELECT max(first) FROM group_members WHERE grp = %s AND first <= %s), 0)
        AND first > %s ORDER BY first LIMIT 1"""
    last = -1
    while (row := connection.execute(sql, (seq, seq, start, last)).fetchone()) is not None:
        last, stored = row
        try:
            text = seals.open("members", members_place(seq, last), stored)
            for turn, plain in enumerate(members_in(text), last):
                if plain is not None and turn >= start:
                    yield turn, member_of(plain)
        except (FormatVersionError, Invalid) as error:
            raise OutboxError(f"members of a group cannot be read: {unquoted(error)}") from None


def failed(
    connection: Connection, seals: Seals, group_id: str, after: str, limit: int
) -> list[Receipt]:
    """The receipts of failed members, which may be tried again."""
    sql = """SELECT h.seq, h.id, h.receipt FROM turns t JOIN history h ON h.seq = t.seq
        WHERE t.grp = %s AND t.disposition IS NOT NULL AND t.seq > %s ORDER BY t.seq LIMIT %s"""
    place = seq_of(after) if after else -1
    found: list[Receipt] = []
    while True:
        rows = connection.execute(sql, (seq_of(group_id), place, limit)).fetchall()
        for seq, name, text in rows:
            try:
                found.append(receipt_of(seals.open("receipt", seq, text)))
            except (FormatVersionError, Invalid) as error:
                unreadable(name, error)
        if found or not rows:
            return found
        place = rows[-1][0]


def bytes_at(connection: Connection, seals: Seals, digest: str, offset: int, limit: int) -> bytes:
    """Some of the bytes. Raises `BytesLost` if they are not there or damaged."""
    sql = "SELECT size, upload FROM bytes WHERE digest = %s"
    row = connection.execute(sql, (digest,)).fetchone() if "\0" not in digest else None
    if row is None:
        raise BytesLost(f"the bytes {digest} are not there")
    size, upload = row
    end = min(size, offset + limit)
    if end <= offset:
        return b""
    sql = """SELECT number, key, content FROM pieces WHERE upload = %s AND number BETWEEN %s AND %s
        ORDER BY number"""
    first = offset // PIECE
    rows = connection.execute(sql, (upload, first, (end - 1) // PIECE)).fetchall()
    try:
        opened = [
            seals.open_bytes(key, piece_place(digest, number), bytes(content))
            for number, key, content in rows
        ]
    except Invalid as error:
        raise BytesLost(f"the bytes {digest} cannot be read: {error}") from None
    found = b"".join(opened)
    some = found[offset - first * PIECE : end - first * PIECE]
    if len(some) != end - offset:
        raise BytesLost(f"the bytes {digest} cannot be read: a piece of them is missing")
    return some
