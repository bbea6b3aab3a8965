"""Writes turns, counts and ends of groups, on the connection that writes. Blocks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import apsw

from gateway_contrib.durable.group_rows import (
    GROUP_COLUMNS,
    Claim,
    member_texts,
    members_in,
    seq_of,
)
from gateway_contrib.durable.rows import SETTLED, Row, encode
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.durable.turns import Turns
from gateway_contrib.sqlite.beside.contents import Contents
from gateway_contrib.sqlite.schema import number
from gateway_core import Disposition
from gateway_core.outboxes import Member, OutboxError

_SOME = "(SELECT value FROM json_each(?))"
_COLUMNS = "seq, id, size, next, taken, returned, erased, cancelled"


class Groups:
    """The groups of the file.

    any      whether an entry may be a member; most files have no member, and save the queries then
    touched  the groups that the current transaction changes
    """

    def __init__(self, connection: apsw.Connection, keyring: Keyring, contents: Contents) -> None:
        self._db = connection
        self._keyring = keyring
        self._contents = contents
        self._turns: dict[int, Turns] = {}
        self.touched: set[int] = set()
        self.any = bool(number(connection, "SELECT EXISTS (SELECT 1 FROM turns)"))

    def tidy(self) -> None:
        """Remove incomplete groups, which a killed run may have left."""
        with self._db:
            for (seq,) in self._rows("SELECT seq FROM groups WHERE NOT stored"):
                self.drop(seq)

    # -- storing a group, row by row, and then as a whole

    def begin(self, row: Row) -> None:
        """Store the group's own row of `GROUP_COLUMNS`, which nobody sees yet."""
        marks = ", ".join("?" * len(GROUP_COLUMNS))
        sql = f"INSERT INTO groups ({', '.join(GROUP_COLUMNS)}) VALUES ({marks})"  # noqa: S608 - constants
        self._db.execute(sql, row)

    def add(self, seq: int, first: int, members: Sequence[Member]) -> None:
        """Store the group's next members, starting with the number `first`."""
        for before, text in member_texts(members):
            row = number(self._db, "SELECT coalesce(max(number), 0) + 1 FROM members")
            sealed = self._keyring.seal("members", row, text)
            sql = "INSERT INTO members (number, grp, first, members) VALUES (?, ?, ?, ?)"
            self._db.execute(sql, (row, seq, first + before, sealed))

    def store(self, claim: Claim) -> OutboxError | None:
        """Make the whole group visible; returns why it cannot be, if so."""
        lacking = self._contents.lacking(claim.files)
        if lacking is None:
            self._db.execute("UPDATE groups SET stored = 1 WHERE seq = ?", (claim.seq,))
            self._contents.use(claim.seq, claim.files)
            self.touched.add(claim.seq)
        return lacking

    def drop(self, seq: int) -> None:
        """Delete the group, as if it had never been there."""
        self._contents.end([seq])
        self._db.execute("DELETE FROM keys WHERE seq = ? AND operation = 'group'", (seq,))
        self._db.execute("DELETE FROM groups WHERE seq = ?", (seq,))
        for table in ("members", "turns", "counts"):
            self._db.execute(f"DELETE FROM {table} WHERE grp = ?", (seq,))  # noqa: S608 - constants

    # -- within a transaction; `close` ends it

    def take(self, claim: Claim) -> OutboxError | None:
        """Give the entry the turn that it claims, and use its bytes; returns why not, if so."""
        lacking = self._contents.lacking(claim.files)
        if lacking is not None:
            return lacking
        if claim.member is not None:
            name, turn = claim.member
            found = self._turns_of(seq_of(name))
            if found is None or found.id != name:
                return OutboxError(f"there is no group {name}")
            refused = found.refusal(turn)
            if refused is not None:
                return refused
            found.take()
            sql = "INSERT INTO turns (seq, grp, number) VALUES (?, ?, ?)"
            self._db.execute(sql, (claim.seq, found.seq, turn))
            self.any = True
        self._contents.use(claim.seq, claim.files)
        return None

    def cancel(self, seq: int) -> None:
        """Count members without an entry as cancelled; no failed member is to be tried again."""
        sql = "UPDATE turns SET number = ~number WHERE grp = ? AND number < 0"
        self._db.execute(sql, (seq,))
        self.touched.add(seq)
        found = self._turns_of(seq)
        if found is None or found.cancelled:
            return
        self._count({(seq, Disposition.CANCELLED): found.left()})
        found.cancelled = True

    def pause(self, seq: int, *, paused: bool) -> None:
        """Store whether the group is paused."""
        self._db.execute("UPDATE groups SET paused = ? WHERE seq = ?", (int(paused), seq))

    def withdrawn(self, seqs: Iterable[int]) -> None:
        """Give these entries' members their turn again, unless their groups were cancelled."""
        for seq, grp, turn in self._members(seqs):
            self._db.execute("DELETE FROM turns WHERE seq = ?", (seq,))
            found = self._turns_of(grp)
            if found is None:
                continue
            found.taken -= 1
            if found.cancelled:
                self._count({(grp, Disposition.CANCELLED): 1})
            else:
                found.returned.append(turn)

    def ended(self, how: Mapping[int, str]) -> None:
        """Count how these entries ended."""
        counts: Counter[tuple[int, str]] = Counter()
        found = self._members(how)
        for seq, grp, _ in found:
            counts[grp, how[seq]] += 1
        self._count(counts)
        settled = [seq for seq, *_ in found if how[seq] in SETTLED]
        self._db.execute(f"DELETE FROM turns WHERE seq IN {_SOME}", (json.dumps(settled),))  # noqa: S608 - constants
        failed = [(how[seq], seq) for seq, *_ in found if how[seq] not in SETTLED]
        self._db.executemany("UPDATE turns SET disposition = ? WHERE seq = ?", failed)

    def retried(self, seq: int) -> None:
        """Take back the entry's count, if it is unfinished again."""
        sql = """SELECT grp, disposition FROM turns WHERE seq = ? AND disposition IS NOT NULL
            AND EXISTS (SELECT 1 FROM envelopes e WHERE e.seq = turns.seq)"""
        for grp, disposition in self._rows(sql, seq):
            self._count({(grp, disposition): -1})
            self._db.execute(
                "UPDATE turns SET disposition = NULL, number = max(number, ~number) WHERE seq = ?",
                (seq,),
            )
            self._goes_on(grp)
            self.any = True

    def _goes_on(self, grp: int) -> None:
        """Note that the group has not ended, or no longer."""
        self._db.execute("UPDATE groups SET ended_at = NULL WHERE seq = ?", (grp,))
        sql = "UPDATE keys SET ended_at = NULL WHERE seq = ? AND operation = 'group'"
        self._db.execute(sql, (grp,))

    def retry(self, grp: int) -> int:
        """Mark the group's failed members to be tried again; returns how many they are."""
        sql = """UPDATE turns SET number = ~number
            WHERE grp = ? AND disposition IS NOT NULL AND number >= 0"""
        self._db.execute(sql, (grp,))
        sql = "SELECT count(*) FROM turns WHERE grp = ? AND disposition IS NOT NULL"
        count = number(self._db, sql, (grp,))
        if count:
            self._goes_on(grp)
        return count

    def next_retried(self, grp: int, after: int, limit: int) -> list[int]:
        """The next entries that are marked to be tried again; removes the marks."""
        sql = """SELECT seq FROM turns WHERE grp = ? AND disposition IS NOT NULL AND number < 0
            AND seq > ? ORDER BY seq LIMIT ?"""
        seqs = [seq for (seq,) in self._rows(sql, grp, after, limit)]
        sql = f"UPDATE turns SET number = ~number WHERE seq IN {_SOME}"  # noqa: S608 - a constant
        self._db.execute(sql, (json.dumps(seqs),))
        self.touched.add(grp)
        return seqs

    def erased(self, room: str, seqs: Sequence[int], rows: Iterable[int]) -> None:
        """Forget these entries, and the room's members in these rows of `members`."""
        unfinished = self._members(seqs)
        self._count(Counter((grp, str(Disposition.CANCELLED)) for _, grp, _ in unfinished))
        self._db.execute(f"DELETE FROM turns WHERE seq IN {_SOME}", (json.dumps(seqs),))  # noqa: S608 - constants
        for row in rows:
            self._erase(room, row)

    def _erase(self, room: str, row: int) -> None:
        sql = "SELECT grp, first, members FROM members WHERE number = ?"
        for grp, first, stored in self._rows(sql, row):
            members = members_in(self._keyring.open("members", row, stored))
            gone = {first + n for n, each in enumerate(members) if each and each[0] == room}
            left = [None if first + n in gone else each for n, each in enumerate(members)]
            sealed = self._keyring.seal("members", row, encode(left))
            self._db.execute("UPDATE members SET members = ? WHERE number = ?", (sealed, row))
            found = self._turns_of(grp)
            if found is None or found.cancelled:
                continue
            self._count({(grp, Disposition.CANCELLED): found.erase(gone)})

    def close(self, wall: float) -> None:
        """Write the changed groups, and end those whose last member has ended."""
        for found in self._turns.values():
            self._db.execute(
                """UPDATE groups SET next = ?, taken = ?, returned = ?, erased = ?, cancelled = ?
                WHERE seq = ?""",
                found.row(),
            )
        touched = list(self.touched)
        self.forget()
        for seq in touched:
            self._see_end(seq, wall)

    def forget(self) -> None:
        """Forget what the transaction changed, since it is over."""
        self._turns.clear()
        self.touched.clear()

    def _see_end(self, seq: int, wall: float) -> None:
        sql = """SELECT cancelled AND taken = 0 FROM groups
            WHERE seq = ?1 AND stored AND ended_at IS NULL
            AND size = (SELECT coalesce(sum(count), 0) FROM counts WHERE grp = ?1)
            AND NOT EXISTS (SELECT 1 FROM turns
                WHERE grp = ?1 AND disposition IS NOT NULL AND number < 0)"""
        freed = self._db.execute(sql, (seq,)).get
        if freed is None:
            return
        self._db.execute("UPDATE groups SET ended_at = ? WHERE seq = ?", (wall, seq))
        self._db.execute("DELETE FROM members WHERE grp = ?", (seq,))
        self._contents.end([seq])
        key = "WHERE seq = ? AND operation = 'group'"
        if freed:
            self._db.execute(f"DELETE FROM keys {key}", (seq,))  # noqa: S608 - a constant
        else:
            self._db.execute(f"UPDATE keys SET ended_at = ? {key}", (wall, seq))  # noqa: S608 - a constant

    def _turns_of(self, seq: int) -> Turns | None:
        found = self._turns.get(seq)
        if found is None:
            sql = f"SELECT {_COLUMNS} FROM groups WHERE seq = ? AND stored"  # noqa: S608 - constants
            for row in self._rows(sql, seq):
                name, size, upcoming, taken, returned, erased, cancelled = row[1:]
                found = self._turns[seq] = Turns(
                    seq, name, size, upcoming, taken, json.loads(returned), json.loads(erased),
                    bool(cancelled),
                )  # fmt: skip
        if found is not None:
            self.touched.add(seq)
        return found

    def _members(self, seqs: Iterable[int]) -> list[Row]:
        """Those of the entries that are unfinished members, each with its group and number."""
        sql = f"""SELECT seq, grp, number FROM turns
            WHERE disposition IS NULL AND seq IN {_SOME}"""  # noqa: S608 - constants
        return self._rows(sql, json.dumps(list(seqs)))

    def _rows(self, sql: str, *bound: Any) -> list[Row]:
        return self._db.execute(sql, bound).fetchall()

    def _count(self, counts: Mapping[tuple[int, str], int]) -> None:
        sql = """INSERT INTO counts (grp, disposition, count) VALUES (?, ?, ?)
            ON CONFLICT DO UPDATE SET count = count + excluded.count"""
        rows: Collection[Row] = [(grp, str(how), n) for (grp, how), n in counts.items() if n]
        self._db.executemany(sql, rows)
        self.touched.update(row[0] for row in rows)


def forget(connection: apsw.Connection, before: float, most: int) -> int:
    """Forget at most `most` groups that ended before that POSIX time; returns how many."""
    sql = "SELECT seq FROM groups WHERE ended_at < ? ORDER BY ended_at LIMIT ?"
    seqs = [seq for (seq,) in connection.execute(sql, (before, most))]
    for table, column in (("counts", "grp"), ("turns", "grp"), ("groups", "seq")):
        some = f"DELETE FROM {table} WHERE {column} IN {_SOME}"  # noqa: S608 - constants
        connection.execute(some, (json.dumps(seqs),))
    return len(seqs)
