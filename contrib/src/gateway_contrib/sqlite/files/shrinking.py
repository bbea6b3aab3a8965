"""Keeps the file small: forgets old or too many rows, and returns free pages to the disk.

It does so in small steps, between which batches are written, so a caller never waits for more than
one step.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import apsw
import attrs

from gateway_contrib.durable.rows import Row
from gateway_contrib.sqlite.beside.contents import Contents
from gateway_contrib.sqlite.beside.groups import forget as forget_groups
from gateway_contrib.sqlite.schema import number

EVERY = 60.0
"""Seconds between two rounds."""
BREATH = 0.05
"""Seconds between two steps of a round."""
FORGET = 500
"""Rows of each table, at most, that a step forgets."""
PAGES = 128
"""Pages, at most, that a step returns to the disk: 0.5 MB."""
SPARE = 1_024
"""Free pages that stay for the next envelopes, 4 MB; an eighth of the file if that is more."""

MOST_MOVED = 10_000
"""Moved rooms, at most, that are remembered: those that moved last."""
LONGEST_WINDOW = 86_400.0
"""Seconds after which it no longer matters what an account had spent."""
_OLD_MOVES = """DELETE FROM moves WHERE (instance, room) IN
    (SELECT instance, room FROM moves ORDER BY moved_at DESC LIMIT -1 OFFSET ?)"""


@attrs.frozen
class Bounds:
    """How long and how much is remembered.

    history, keys, refs  POSIX times; rows that ended before them are forgotten
    size                 bytes of the file beyond which the history is forgotten earlier
    """

    history: float
    keys: float
    refs: float
    size: int


class Shrinker:
    """Forgets rows and returns pages, on the owner's connection. Blocks, in the worker thread."""

    def __init__(self, connection: apsw.Connection, contents: Contents) -> None:
        self._db = connection
        self._contents = contents
        self._rested_at = -1e18
        self._after: tuple[float, int] = (-1e18, -1)
        self._given_back = False

    def step(self, wall: float, bounds: Bounds) -> bool:
        """Do one step; returns whether there is more to do at once. Raises `apsw.Error`."""
        if 0 <= wall - self._rested_at < EVERY:
            return False
        if self._forget(wall, bounds) or self._give_back():
            return True
        if self._given_back:  # the file gets shorter only once the whole log is written into it
            pages, written = self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._given_back = pages != written  # somebody reads: the next round tries again
        self._rested_at, self._after = wall, (-1e18, -1)
        return False

    def _forget(self, wall: float, bounds: Bounds) -> bool:
        """Forget the next rows; returns whether there may be more."""
        with self._db:
            counts = [
                self._changed("keys", "seq", "ended_at < ?", bounds.keys),
                self._changed("revisions", "id", "ended_at < ?", bounds.refs),
                self._changed("requests", "number", "done_at < ?", bounds.history),
                self._of_history(bounds),
                forget_groups(self._db, bounds.history, FORGET),
            ]
            self._db.execute("DELETE FROM closures WHERE until < ?", (wall,))
            self._db.execute("DELETE FROM spent WHERE at < ?", (wall - LONGEST_WINDOW,))
            self._db.execute(_OLD_MOVES, (MOST_MOVED,))
        self._contents.committed()
        return max(counts) >= FORGET

    def _changed(self, table: str, key: str, test: str, bound: float) -> int:
        sql = f"""DELETE FROM {table} WHERE {key} IN
            (SELECT {key} FROM {table} WHERE {test} LIMIT {FORGET})"""  # noqa: S608 - constants
        self._db.execute(sql, (bound,))
        return self._db.changes()

    def _of_history(self, bounds: Bounds) -> int:
        """Forget ended envelopes, but not those with remembered keys; returns how many it read."""
        before = bounds.history if self._used() <= bounds.size else 1e18
        sql = """SELECT ended_at, seq, EXISTS
            (SELECT 1 FROM keys WHERE keys.seq = history.seq AND keys.ended_at >= ?)
            FROM history WHERE (ended_at, seq) > (?, ?) AND ended_at < ?
            ORDER BY ended_at, seq LIMIT ?"""
        bound = (bounds.keys, *self._after, before, FORGET)
        rows: list[Row] = self._db.execute(sql, bound).fetchall()
        if rows:
            self._after = rows[-1][0], rows[-1][1]
        self._drop([seq for _, seq, kept in rows if not kept])
        return len(rows)

    def _drop(self, seqs: Sequence[int]) -> None:
        self._db.execute(
            """UPDATE source SET forgotten = max(forgotten, coalesce((SELECT max(number)
                FROM history WHERE seq IN (SELECT value FROM json_each(?))), 0))""",
            (json.dumps(seqs),),
        )
        self._contents.end(seqs)
        for table in ("steps", "history", "turns", "grown"):
            sql = f"DELETE FROM {table} WHERE seq IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants
            self._db.execute(sql, (json.dumps(seqs),))

    def _used(self) -> int:
        pages = number(self._db, "PRAGMA page_count") - number(self._db, "PRAGMA freelist_count")
        return pages * number(self._db, "PRAGMA page_size")

    def _give_back(self) -> bool:
        """Return some of the spare free pages to the disk; returns whether there were any."""
        pages = number(self._db, "PRAGMA page_count")
        free = number(self._db, "PRAGMA freelist_count")
        too_many = free - max(SPARE, (pages - free) // 8)
        if too_many <= 0:
            return False
        self._db.execute(f"PRAGMA incremental_vacuum({min(PAGES, too_many)})").fetchall()
        self._given_back = True
        return True
