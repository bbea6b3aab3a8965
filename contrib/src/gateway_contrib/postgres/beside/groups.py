"""Writes turns, counts and ends of groups, on the connection that writes. Blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import psycopg

from gateway_contrib.durable.damage import check_counts, intact, unreadable
from gateway_contrib.durable.group_rows import (
    GROUP_COLUMNS,
    Claim,
    group_row,
    member_texts,
    members_in,
    turns_in,
)
from gateway_contrib.durable.group_rows import seq_of as seq_of_group
from gateway_contrib.durable.rows import SETTLED, Row, encode
from gateway_contrib.durable.seals import Seals
from gateway_contrib.durable.turns import Turns
from gateway_contrib.postgres.beside.contents import Contents
from gateway_contrib.postgres.beside.keeping import Keeping
from gateway_contrib.postgres.names import members_place, name_of, text_in
from gateway_core import Disposition, Invalid
from gateway_core.outboxes import Group, Member, OutboxError

Connection: TypeAlias = psycopg.Connection[Any]

_SOME = "ANY (%b::bigint[])"
_COLUMNS = "seq, id, size, next, taken, returned, erased, cancelled"


class Groups:
    """The groups of the outbox.

    touched  the groups that the current transaction changes
    """

    def __init__(self, contents: Contents, seals: Seals, keeping: Keeping) -> None:
        self._contents = contents
        self._keeping = keeping
        self.seals = seals
        self._turns: dict[int, Turns] = {}
        self.touched: set[int] = set()

    def tidy(self, connection: Connection) -> None:
        """Remove incomplete groups, which a killed run may have left."""
        sql = f"SELECT seq FROM groups g WHERE NOT stored AND {self._keeping.of_nobody('g.seq')}"  # noqa: S608 - constants
        for (seq,) in connection.execute(sql.encode()).fetchall():
            self.drop(connection, seq)

    # -- storing a group, chunk by chunk, and then as a whole

    def begin(self, connection: Connection, group: Group) -> None:
        """Store the group's own row, which nobody sees yet."""
        columns = ", ".join(name if name != "instance" else "account" for name in GROUP_COLUMNS)
        seq, name, instance, *rest = group_row(self.seals, group)
        marks = ", ".join(["%s"] * len(GROUP_COLUMNS))
        sql = f"INSERT INTO groups ({columns}) VALUES ({marks})"  # noqa: S608 - constants
        texts = [text_in(value) if isinstance(value, str) else value for value in rest]
        connection.execute(sql.encode(), (seq, name, name_of(instance), *texts))
        self._keeping.begins(connection, seq)

    def add(
        self, connection: Connection, instance: str, seq: int, first: int, members: Sequence[Member]
    ) -> None:
        """Store the group's next members, starting with the number `first`."""
        for before, text in member_texts(members):
            at = first + before
            sealed = self.seals.seal("members", members_place(seq, at), text)
            sql = "INSERT INTO group_members VALUES (%s, %s, %s, %s)"
            connection.execute(sql, (name_of(instance), seq, at, sealed))

    def store(self, connection: Connection, claim: Claim) -> OutboxError | None:
        """Make the whole group visible; returns why it cannot be, if so."""
        lacking = self._contents.lacking(connection, claim.files)
        if lacking is None:
            sql = "UPDATE groups SET stored = true WHERE seq = %s"
            if not connection.execute(sql, (claim.seq,)).rowcount:
                return OutboxError("another process removed the unfinished group: submit it again")
            self._keeping.ends(connection, claim.seq)
            self._contents.use(connection, claim.seq, claim.files)
            self.touched.add(claim.seq)
        return lacking

    def drop(self, connection: Connection, seq: int) -> None:
        """Delete the group, as if it had never been there."""
        self._keeping.ends(connection, seq)
        self._contents.end(connection, [seq])
        connection.execute("DELETE FROM keys WHERE seq = %s", (seq,))
        connection.execute("DELETE FROM groups WHERE seq = %s", (seq,))
        for table in ("group_members", "turns", "counts"):
            sql = f"DELETE FROM {table} WHERE grp = %s"  # noqa: S608 - constants
            connection.execute(sql.encode(), (seq,))

    # -- within a transaction; `close` ends it

    def take(self, connection: Connection, claim: Claim) -> OutboxError | None:
        """Give the entry the turn that it claims, and use its bytes; returns why not, if so."""
        lacking = self._contents.lacking(connection, claim.files)
        if lacking is not None:
            return lacking
        if claim.member is not None:
            name, turn = claim.member
            found = self._turns_of(connection, seq_of_group(name))
            if found is None or found.id != name:
                return OutboxError(f"there is no group {name}")
            refused = found.refusal(turn)
            if refused is not None:
                return refused
            found.take()
            sql = "INSERT INTO turns (seq, grp, number) VALUES (%s, %s, %s)"
            connection.execute(sql, (claim.seq, found.seq, turn))
        self._contents.use(connection, claim.seq, claim.files)
        return None

    def cancel(self, connection: Connection, seq: int) -> None:
        """Count members without an entry as cancelled; no failed member is to be tried again."""
        sql = "UPDATE turns SET number = -1 - number WHERE grp = %s AND number < 0"
        connection.execute(sql, (seq,))
        self.touched.add(seq)
        found = self._turns_of(connection, seq)
        if found is None or found.cancelled:
            return
        self._count(connection, {(seq, Disposition.CANCELLED): found.left()})
        found.cancelled = True

    def pause(self, connection: Connection, seq: int, *, paused: bool) -> None:
        """Store whether the group is paused."""
        connection.execute("UPDATE groups SET paused = %s WHERE seq = %s", (paused, seq))

    def withdrawn(self, connection: Connection, seqs: Iterable[int]) -> None:
        """Give these entries' members their turn again, unless their groups were cancelled."""
        for seq, grp, turn in self._members(connection, seqs):
            connection.execute("DELETE FROM turns WHERE seq = %s", (seq,))
            found = self._turns_of(connection, grp)
            if found is None:
                continue
            found.taken -= 1
            if found.cancelled:
                self._count(connection, {(grp, Disposition.CANCELLED): 1})
            else:
                found.returned.append(turn)

    def ended(self, connection: Connection, how: Mapping[int, str]) -> None:
        """Count how these entries ended."""
        found = self._members(connection, how)
        if not found:
            return
        self._count(connection, Counter((grp, how[seq]) for seq, grp, _ in found))
        settled = [seq for seq, *_ in found if how[seq] in SETTLED]
        connection.execute(f"DELETE FROM turns WHERE seq = {_SOME}".encode(), (settled,))  # noqa: S608 - constants
        failed = [seq for seq, *_ in found if how[seq] not in SETTLED]
        connection.execute(
            """UPDATE turns t SET disposition = v.how
            FROM unnest(%b::bigint[], %b::text[]) v(seq, how) WHERE t.seq = v.seq""",
            (failed, [how[seq] for seq in failed]),
        )

    def reopened(self, connection: Connection, seqs: Sequence[int]) -> None:
        """Take back the counts of these entries, which are unfinished again."""
        sql = f"""SELECT seq, grp, disposition FROM turns
            WHERE seq = {_SOME} AND disposition IS NOT NULL"""  # noqa: S608 - constants
        rows = connection.execute(sql.encode(), (list(seqs),)).fetchall()
        self._count(
            connection, {place: -n for place, n in Counter(row[1:] for row in rows).items()}
        )
        sql = f"""UPDATE turns SET disposition = NULL, number = greatest(number, -1 - number)
            WHERE seq = {_SOME}"""  # noqa: S608 - constants
        connection.execute(sql.encode(), (list(seqs),))
        for grp in {row[1] for row in rows}:
            self._goes_on(connection, grp)

    def _goes_on(self, connection: Connection, grp: int) -> None:
        """Note that the group has not ended, or no longer."""
        connection.execute("UPDATE groups SET ended_at = NULL WHERE seq = %s", (grp,))
        connection.execute("UPDATE keys SET ended_at = NULL WHERE seq = %s", (grp,))

    def retry(self, connection: Connection, grp: int) -> int:
        """Mark the group's failed members to be tried again; returns how many they are."""
        sql = """UPDATE turns SET number = -1 - number
            WHERE grp = %s AND disposition IS NOT NULL AND number >= 0"""
        connection.execute(sql, (grp,))
        sql = "SELECT count(*) FROM turns WHERE grp = %s AND disposition IS NOT NULL"
        found = connection.execute(sql, (grp,)).fetchone()
        number = int(found[0]) if found is not None else 0
        if number:
            self._goes_on(connection, grp)
        return number

    def next_retried(self, connection: Connection, grp: int, after: int, limit: int) -> list[int]:
        """The next entries that are marked to be tried again; removes the marks."""
        sql = """SELECT seq FROM turns WHERE grp = %s AND disposition IS NOT NULL AND number < 0
            AND seq > %s ORDER BY seq LIMIT %s"""
        seqs = [seq for (seq,) in connection.execute(sql, (grp, after, limit)).fetchall()]
        sql = f"UPDATE turns SET number = -1 - number WHERE seq = {_SOME}"  # noqa: S608 - constants
        connection.execute(sql.encode(), (seqs,))
        self.touched.add(grp)
        return seqs

    def erased(self, connection: Connection, instance: str, room: str, seqs: list[int]) -> None:
        """Forget these entries, and the room's members in the account's groups."""
        unfinished = self._members(connection, seqs)
        counts = Counter((grp, str(Disposition.CANCELLED)) for _, grp, _ in unfinished)
        self._count(connection, counts)
        connection.execute(f"DELETE FROM turns WHERE seq = {_SOME}".encode(), (seqs,))  # noqa: S608 - constants
        sql = "SELECT grp, first, members FROM group_members WHERE account = %s"
        for grp, first, stored in connection.execute(sql, (name_of(instance),)).fetchall():
            place = members_place(grp, first)
            try:
                members = members_in(self.seals.open("members", place, stored))
            except Invalid as error:  # nobody knows whether the room is among them
                unreadable(f"members {place} of a group", error)
                continue
            self._erase(connection, room, grp, first, members)

    def _erase(
        self, connection: Connection, room: str, grp: int, first: int, members: list[Any]
    ) -> None:
        gone = {first + n for n, each in enumerate(members) if each and each[0] == room}
        if not gone:
            return
        left = [None if first + n in gone else each for n, each in enumerate(members)]
        sql = "UPDATE group_members SET members = %s WHERE grp = %s AND first = %s"
        sealed = self.seals.seal("members", members_place(grp, first), encode(left))
        connection.execute(sql, (sealed, grp, first))
        found = self._turns_of(connection, grp)
        if found is not None and not found.cancelled:
            count = found.erase(gone)
            self._count(connection, {(grp, Disposition.CANCELLED): count})

    def close(self, connection: Connection, wall: float) -> None:
        """Write the changed groups, and end those whose last member has ended."""
        for found in self._turns.values():
            upcoming, taken, returned, erased, cancelled, seq = found.row()
            connection.execute(
                """UPDATE groups SET next = %s, taken = %s, returned = %s, erased = %s,
                cancelled = %s WHERE seq = %s""",
                (upcoming, taken, returned, erased, bool(cancelled), seq),
            )
        touched = list(self.touched)
        self.forget()
        for seq in touched:
            self._see_end(connection, seq, wall)

    def forget(self) -> None:
        """Forget what the transaction changed, since it is over."""
        self._turns.clear()
        self.touched.clear()

    def _see_end(self, connection: Connection, seq: int, wall: float) -> None:
        sql = """SELECT cancelled AND taken = 0 FROM groups
            WHERE seq = %(seq)s AND stored AND ended_at IS NULL
            AND size = (SELECT coalesce(sum(count), 0) FROM counts WHERE grp = %(seq)s)
            AND NOT EXISTS (SELECT 1 FROM turns
                WHERE grp = %(seq)s AND disposition IS NOT NULL AND number < 0)"""
        found = connection.execute(sql, {"seq": seq}).fetchone()
        if found is None:
            return
        connection.execute("UPDATE groups SET ended_at = %s WHERE seq = %s", (wall, seq))
        connection.execute("DELETE FROM group_members WHERE grp = %s", (seq,))
        self._contents.end(connection, [seq])
        if found[0]:
            connection.execute("DELETE FROM keys WHERE seq = %s", (seq,))
        else:
            connection.execute("UPDATE keys SET ended_at = %s WHERE seq = %s", (wall, seq))

    def _turns_of(self, connection: Connection, seq: int) -> Turns | None:
        found = self._turns.get(seq)
        if found is None:
            sql = f"SELECT {_COLUMNS} FROM groups WHERE seq = %s AND stored"  # noqa: S608 - constants
            row = connection.execute(sql.encode(), (seq,)).fetchone()
            if row is None:
                return None
            _, name, size, upcoming, taken, returned, erased, cancelled = row
            try:
                lists = turns_in(returned), turns_in(erased)
                with intact():
                    check_counts(size, upcoming, taken)
            except Invalid as error:
                unreadable(name, error)
                return None
            found = self._turns[seq] = Turns(seq, name, size, upcoming, taken, *lists, cancelled)
        self.touched.add(seq)
        return found

    def _members(self, connection: Connection, seqs: Iterable[int]) -> list[Row]:
        """Those of the entries that are unfinished members, each with its group and number."""
        sql = f"SELECT seq, grp, number FROM turns WHERE disposition IS NULL AND seq = {_SOME}"  # noqa: S608 - constants
        return connection.execute(sql.encode(), (list(seqs),)).fetchall()

    def _count(self, connection: Connection, counts: Mapping[tuple[int, str], int]) -> None:
        rows = [(grp, str(how), n) for (grp, how), n in counts.items() if n]
        if rows:
            connection.execute(
                """INSERT INTO counts SELECT * FROM unnest(%b::bigint[], %b::text[], %b::bigint[])
                ON CONFLICT (grp, disposition)
                DO UPDATE SET count = counts.count + excluded.count""",
                [list(column) for column in zip(*rows, strict=True)],
            )
        self.touched.update(row[0] for row in rows)
