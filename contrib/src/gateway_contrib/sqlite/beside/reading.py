"""Reads groups, their members and failures, and bytes, on the connection that reads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import apsw

from gateway_contrib.durable.damage import unquoted
from gateway_contrib.durable.group_rows import (
    member_of,
    members_in,
    seq_of,
    state_of,
)
from gateway_contrib.durable.rows import Row, receipt_of
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.sqlite.beside.byte_files import (
    SEGMENT,
    Folder,
    key_in,
    place_of,
    segment_at,
    segments_of,
)
from gateway_core import Invalid
from gateway_core.outboxes import (
    BytesLost,
    FormatVersionError,
    GroupState,
    Member,
    OutboxError,
    Receipt,
)

STATE_READ = """seq, id, instance, size, CAST(fingerprint AS BLOB), CAST(content AS BLOB), taken,
    paused, cancelled, ended_at IS NULL AND EXISTS (SELECT 1 FROM turns t
        WHERE t.grp = groups.seq AND t.disposition IS NOT NULL AND t.number < 0)"""
_STATE = f"SELECT {STATE_READ} FROM groups WHERE stored"  # noqa: S608 - constants


class BesideReader:
    """Reads what the file has besides entries. `unreadable` as for `Reader`."""

    def __init__(
        self,
        connection: apsw.Connection,
        keyring: Keyring,
        folder: Folder,
        unreadable: Callable[[str, Exception], None],
    ) -> None:
        self._db = connection
        self._keyring = keyring
        self._folder = folder
        self._unreadable = unreadable

    def state(self, seq: int) -> GroupState | None:
        """The group of that number; None: it is not there, or cannot be read."""
        rows = self._db.execute(f"{_STATE} AND seq = ?", (seq,)).fetchall()
        return next(iter(self._states(rows)), None)

    def states(self, instance: str, after: str, limit: int) -> list[GroupState]:
        """The next groups of an account by their ids."""
        sql = f"{_STATE} AND instance = ? AND seq > ? ORDER BY seq LIMIT ?"
        place = seq_of(after) if after else -1
        while True:
            rows: list[Row] = self._db.execute(sql, (instance, place, limit)).fetchall()
            states = self._states(rows)
            if states or not rows:
                return states
            place = rows[-1][0]

    def _states(self, rows: Sequence[Row]) -> list[GroupState]:
        found: list[GroupState] = []
        for row in rows:
            sql = "SELECT disposition, count FROM counts WHERE grp = ?"
            counts: list[Row] = self._db.execute(sql, (row[0],)).fetchall()
            try:
                found.append(state_of(self._keyring, row, dict(counts)))
            except (FormatVersionError, Invalid) as error:  # the row stays where it is
                self._unreadable(row[1], error)
        return found

    def members(self, group_id: str, after: int, limit: int) -> list[tuple[int, Member]]:
        """The group's next members that have no entry, with their numbers."""
        sql = """SELECT seq, next, returned FROM groups
            WHERE seq = ? AND id = ? AND stored AND NOT cancelled"""
        for seq, upcoming, returned in self._db.execute(sql, (seq_of(group_id), group_id)):
            back = [turn for turn in sorted(json.loads(returned)) if turn > after]
            found = (self._back(seq, back), self._upcoming(seq, max(upcoming, after + 1)))
            return list(islice((one for some in found for one in some), limit))
        return []

    def _back(self, seq: int, turns: Sequence[int]) -> Iterator[tuple[int, Member]]:
        """The members whose entries were withdrawn."""
        for turn in turns:
            yield from islice(self._upcoming(seq, turn), 1)

    def _upcoming(self, seq: int, start: int) -> Iterator[tuple[int, Member]]:
        """All members from that number on."""
        sql = """SELECT number, first, CAST(members AS BLOB) FROM members WHERE grp = ?1
            AND first >= (SELECT max(first) FROM members WHERE grp = ?1 AND first <= ?2)
            ORDER BY first"""
        for row, first, stored in self._db.execute(sql, (seq, start)):
            try:
                members = members_in(self._keyring.open("members", row, stored))
                for turn, plain in enumerate(members, first):
                    if plain is not None and turn >= start:
                        yield turn, member_of(plain)
            except (FormatVersionError, Invalid) as error:
                raise OutboxError(f"members of a group cannot be read: {unquoted(error)}") from None

    def failed(self, group_id: str, after: str, limit: int) -> list[Receipt]:
        """The receipts of failed members, which may be tried again."""
        sql = """SELECT h.seq, h.id, CAST(h.receipt AS BLOB)
            FROM turns t CROSS JOIN history h ON h.seq = t.seq
            WHERE t.grp = ? AND t.disposition IS NOT NULL AND t.seq > ? ORDER BY t.seq LIMIT ?"""
        place = seq_of(after) if after else -1
        found: list[Receipt] = []
        while True:
            rows: list[Row] = self._db.execute(sql, (seq_of(group_id), place, limit)).fetchall()
            for seq, name, stored in rows:
                try:
                    found.append(receipt_of(self._keyring.open("receipt", seq, stored)))
                except (FormatVersionError, Invalid) as error:
                    self._unreadable(name, error)
            if found or not rows:
                return found
            place = rows[-1][0]

    def rows_with(self, instance: str, room: str) -> list[int]:
        """The rows of `members` that have the room; reads all rows of the account's groups."""
        sql = """SELECT m.number, CAST(m.members AS BLOB) FROM groups g
            CROSS JOIN members m ON m.grp = g.seq WHERE g.instance = ? AND g.stored"""
        rows = self._db.execute(sql, (instance,))
        return [row for row, stored in rows if self._has(room, row, stored)]

    def _has(self, room: str, row: int, stored: bytes) -> bool:
        try:
            members = members_in(self._keyring.open("members", row, stored))
        except Invalid as error:
            raise OutboxError(f"members of a group cannot be read: {unquoted(error)}") from None
        return any(each is not None and each[0] == room for each in members)

    def bytes_at(self, digest: str, offset: int, limit: int) -> bytes:
        """Some of the bytes. Raises `BytesLost` if they are not there or damaged."""
        sql = "SELECT size, key, content FROM bytes WHERE digest = ?"
        rows: list[Row] = self._db.execute(sql, (digest,)).fetchall()
        if not rows:
            raise BytesLost(f"the bytes {digest} are not there")
        size, key, content = rows[0]
        end = min(size, offset + limit)
        try:
            if content is not None:
                place = place_of(digest, 0, last=True)
                return self._keyring.open_bytes(key, place, content)[offset:end]
            return self._in_file(digest, size, offset, end)
        except FileNotFoundError:
            raise BytesLost(f"the bytes {digest} are not there") from None
        except Invalid as error:
            raise BytesLost(f"the bytes {digest} cannot be read: {error}") from None

    def _in_file(self, digest: str, size: int, offset: int, end: int) -> bytes:
        if end <= offset:
            return b""
        file = self._folder.open(digest)
        try:
            key = key_in(file)
            first, last = offset // SEGMENT, (end - 1) // SEGMENT
            some = [
                segment_at(file, self._keyring, key, digest, size, which)
                for which in range(first, min(last, segments_of(size) - 1) + 1)
            ]
        finally:
            os.close(file)
        begin = first * SEGMENT
        return b"".join(some)[offset - begin : end - begin]
