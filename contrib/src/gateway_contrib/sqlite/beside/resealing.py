"""Seals stored bytes with the first key, a few at a time. Blocks, as all resealing does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import apsw

from gateway_contrib.durable.damage import unreadable
from gateway_contrib.durable.rows import Row
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.sqlite.beside.byte_files import (
    Folder,
    header,
    key_in,
    place_of,
    segment_at,
    segments_of,
    write_all,
)
from gateway_core import Invalid
from gateway_core.outboxes import OutboxError

_AT_ONCE = 16
"""Segments of a file that are sealed between two batches: 1 MB."""
_NEXT = "SELECT digest, size, key, content FROM bytes WHERE digest > ? ORDER BY digest LIMIT 1"


class BytesAnew:
    """One pass through all stored bytes.

    sealed, unopened  how many were sealed anew, and how many cannot be opened and stay
    """

    def __init__(self, connection: apsw.Connection, keyring: Keyring) -> None:
        self._db = connection
        self._keyring = keyring
        self._folder = Folder(Path(connection.filename))
        self.sealed = self.unopened = 0

    def steps(self) -> Iterator[bool]:
        """All steps; yields after each of them."""
        digest = ""
        while rows := self._rows(digest):
            digest, size, key, content = rows[0]
            try:
                if content is None:
                    yield from self._file(digest, size)
                elif key != self._keyring.first:
                    self._row(digest, key, content)
            except (Invalid, OutboxError, FileNotFoundError) as error:
                self.unopened += 1
                unreadable(f"bytes {digest}", error)
            yield True

    def _rows(self, after: str) -> list[Row]:
        return self._db.execute(_NEXT, (after,)).fetchall()

    def _row(self, digest: str, key: str, content: bytes) -> None:
        place = place_of(digest, 0, last=True)
        plain = self._keyring.open_bytes(key, place, content)
        sql = "UPDATE bytes SET key = ?, content = ? WHERE digest = ?"
        sealed = self._keyring.seal_bytes(place, plain)
        self._db.execute(sql, (self._keyring.first, sealed, digest))
        self.sealed += 1

    def _file(self, digest: str, size: int) -> Iterator[bool]:
        old = self._folder.open(digest)
        try:
            key = key_in(old)
            if key == self._keyring.first:
                return
            new, path = self._folder.new(digest)
            try:
                write_all(new, header(self._keyring.first))
                for segment in range(segments_of(size)):
                    self._segment(old, new, key, digest, size, segment)
                    if segment % _AT_ONCE == _AT_ONCE - 1:
                        yield True
                os.fsync(new)
                self._replace(path, digest)
            finally:
                os.close(new)
                path.unlink(missing_ok=True)
        finally:
            os.close(old)

    def _segment(self, old: int, new: int, key: str, digest: str, size: int, which: int) -> None:
        plain = segment_at(old, self._keyring, key, digest, size, which)
        last = which == segments_of(size) - 1
        write_all(new, self._keyring.seal_bytes(place_of(digest, which, last=last), plain))

    def _replace(self, path: Path, digest: str) -> None:
        """Replace the bytes' file with the new one, unless the bytes were deleted meanwhile."""
        sql = "UPDATE bytes SET key = ? WHERE digest = ?"
        self._db.execute(sql, (self._keyring.first, digest))
        if self._db.changes():
            self._folder.name(path, digest)
            self.sealed += 1
