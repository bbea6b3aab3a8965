"""Carries out operators' requests that concern groups and bytes as well. Blocks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import apsw
import attrs

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.sqlite.beside.contents import Contents
from gateway_contrib.sqlite.beside.groups import Groups
from gateway_contrib.sqlite.operators.requests import Desk
from gateway_core.outboxes import Request, StoredEntry


class BesideDesk(Desk):
    """A desk that counts retried members, and ends uses of discarded and erased envelopes."""

    def __init__(
        self,
        connection: apsw.Connection,
        keyring: Keyring,
        groups: Groups,
        contents: Contents,
    ) -> None:
        super().__init__(connection, keyring)
        self._groups = groups
        self._contents = contents

    def serve(self, wall: float) -> list[Request]:
        """As a desk does; then delete files that nobody needs any more."""
        try:
            return super().serve(wall)
        finally:
            self._groups.forget()
            self._contents.committed()

    def reopen(
        self, grp: int, after: int, limit: int, wall: float
    ) -> tuple[int, list[StoredEntry]]:
        """Make the group's next members that are to be tried again unfinished, if possible.

        Returns the last one's number, 0: there are no more; and the entries. Within a transaction.
        """
        try:
            seqs = self._groups.next_retried(grp, after, limit)
            todo = [request for seq in seqs for request in self._retry(seq, wall)[1]]
            self._groups.close(wall)  # one that could not be reopened may have been the last
        finally:
            self._groups.forget()
        found = [request.stored for request in todo if request.stored is not None]
        return seqs[-1] if seqs else 0, found

    def _retry(self, seq: int, wall: float) -> tuple[str, list[Request]]:
        answer = super()._retry(seq, wall)
        self._groups.retried(seq)
        return answer

    def _discard(self, seq: int) -> tuple[str, list[Request]]:
        answer = super()._discard(seq)
        self._contents.end([seq])
        self._db.execute("DELETE FROM grown WHERE seq = ?", (seq,))
        return answer

    def _stored(self, seq: int) -> StoredEntry | None:
        """The stored entry, with the text that a stream had when it failed."""
        stored = super()._stored(seq)
        sql = "SELECT number, CAST(text AS BLOB) FROM grown WHERE seq = ?"
        grown = self._db.execute(sql, (seq,)).get if stored is not None else None
        if stored is None or grown is None:
            return stored
        number, text = grown
        opened = self._keyring.open("text", seq, text)
        text = opened if isinstance(opened, str) else opened.decode("utf-8", "replace")
        return attrs.evolve(stored, grown=(number, text))

    def forget(self, room: str, seqs: Sequence[int], rows: Iterable[int], wall: float) -> None:
        """Remove a room from groups, and its envelopes' bytes and texts. Called before `erase`.

        seqs  the room's envelopes, ended or not
        rows  the rows of `members` that have the room
        """
        try:
            with self._db:
                self._groups.erased(room, seqs, rows)
                self._contents.end(seqs)
                sql = "DELETE FROM grown WHERE seq IN (SELECT value FROM json_each(?))"
                self._db.execute(sql, (json.dumps(seqs),))
                self._groups.close(wall)
        except BaseException:
            self._groups.forget()
            self._contents.rolled_back()
            raise
        self._contents.committed()
