"""Stores bytes, counts their uses, and deletes unused ones, on the connection that writes.

A use is a row, committed with the entry or group that needs the bytes. A pin is in memory: it keeps
bytes for a caller that has stored them and has not used them yet.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

import apsw

from gateway_contrib.sqlite.beside.byte_files import SEALING, Folder, NewBytes
from gateway_contrib.sqlite.failing import logged
from gateway_contrib.sqlite.schema import number
from gateway_core.outboxes import OUTBOX_FAILED, OutboxError

_SOME = "(SELECT value FROM json_each(?))"


class Contents:
    """The stored bytes of the file.

    any        whether there may be a use; most files have none, and save the queries then
    unchecked  digests of bytes that a former run stored and that may be damaged unnoticed: they are
               not sealed, and this run has not read them
    """

    def __init__(self, connection: apsw.Connection, folder: Folder) -> None:
        self._db = connection
        self._folder = folder
        self._pins: Counter[str] = Counter()
        self._taken: list[str] = []
        self._gone: set[str] = set()
        self.unchecked: set[str] = set()
        self.any = bool(number(connection, "SELECT EXISTS (SELECT 1 FROM uses)"))

    def tidy(self) -> None:
        """Remove bytes that a former run left without a use, and files that nobody knows."""
        sql = "DELETE FROM bytes WHERE digest NOT IN (SELECT digest FROM uses)"
        self._db.execute(sql)
        sql = "SELECT digest FROM bytes WHERE content IS NULL"
        self._folder.tidy(lambda: {digest for (digest,) in self._db.execute(sql)})
        plain = self._db.execute("SELECT digest FROM bytes WHERE key = ''")
        self.unchecked = {digest for (digest,) in plain}

    # -- storing bytes

    def pin_if_there(self, digest: str) -> bool:
        """Keep the bytes for one more use if they are there; returns whether they are.

        Bytes of another size than theirs are not there from now on. Their uses stay.
        """
        there = self._there(digest)
        if there and not self._is_whole(digest):
            self.drop(digest)
            there = False
        if there:
            self._pins[digest] += 1
        return there

    def drop(self, digest: str) -> None:
        """The bytes are damaged, so they are not there from now on. Their uses stay."""
        self._db.execute("DELETE FROM bytes WHERE digest = ?", (digest,))

    def add(self, new: NewBytes) -> None:
        """Store new bytes and keep them for one use, unless they were stored meanwhile."""
        if self.pin_if_there(new.digest):
            return
        sql = "INSERT INTO bytes (digest, size, key, content) VALUES (?, ?, ?, ?)"
        try:
            new.settle()
            self._db.execute(sql, (new.digest, new.size, new.key, new.content))
        except BaseException:
            self._folder.remove(new.digest)
            raise
        self._pins[new.digest] += 1

    def unpin(self, digest: str) -> None:
        """End a pin, since its use will not come."""
        if self._pins[digest]:
            self._pins[digest] -= 1
            self._forget(digest)

    def _there(self, digest: str) -> bool:
        return self._db.execute("SELECT 1 FROM bytes WHERE digest = ?", (digest,)).get is not None

    def _is_whole(self, digest: str) -> bool:
        sql = "SELECT size, key, length(content) FROM bytes WHERE digest = ?"
        size, key, length = next(self._db.execute(sql, (digest,)))
        if length is None:
            return self._folder.is_whole(digest, size)
        return bool(length == size + (SEALING if key else 0))

    # -- within a transaction; `committed` or `rolled_back` ends it

    def lacking(self, files: Iterable[str]) -> OutboxError | None:
        """The error that one of them is not there; None: all are there."""
        for digest in files:
            if not self._there(digest):
                return OutboxError(f"the bytes {digest} are not there")
        return None

    def use(self, seq: int, files: Iterable[str]) -> None:
        """Note that the entry or the group uses them; this takes a pin of each."""
        for digest in set(files):
            self.any = True
            self._db.execute(
                "INSERT OR IGNORE INTO uses (seq, digest) VALUES (?, ?)", (seq, digest)
            )
            if self._pins[digest]:
                self._pins[digest] -= 1
                self._taken.append(digest)

    def unused(self, files: Iterable[str]) -> None:
        """End a pin of each, since nobody waits any more for the entry that was to use them."""
        self.any = True
        for digest in set(files):
            if self._pins[digest]:
                self._pins[digest] -= 1
                self._taken.append(digest)
                self._forget(digest)

    def end(self, seqs: Sequence[int]) -> None:
        """End all uses of these entries or groups, and delete bytes that nobody else uses."""
        if not self.any:
            return
        some = (json.dumps(seqs),)
        sql = f"SELECT DISTINCT digest FROM uses WHERE seq IN {_SOME}"  # noqa: S608 - constants
        digests = [digest for (digest,) in self._db.execute(sql, some)]
        self._db.execute(f"DELETE FROM uses WHERE seq IN {_SOME}", some)  # noqa: S608 - constants
        for digest in digests:
            self._forget(digest)

    def _forget(self, digest: str) -> None:
        if self._pins[digest]:
            return
        sql = """DELETE FROM bytes WHERE digest = ?1
            AND NOT EXISTS (SELECT 1 FROM uses WHERE digest = ?1) RETURNING content IS NULL"""
        if self._db.execute(sql, (digest,)).get:
            self._gone.add(digest)

    def committed(self) -> None:
        """The transaction is committed: delete the files of deleted bytes."""
        self._taken.clear()
        gone, self._gone = self._gone, set()
        for digest in gone:
            with logged(OUTBOX_FAILED):
                if not self._there(digest):
                    self._folder.remove(digest)

    def rolled_back(self) -> None:
        """The transaction was rolled back: undo its changes of pins."""
        self._pins.update(self._taken)
        self._taken.clear()
        self._gone.clear()
