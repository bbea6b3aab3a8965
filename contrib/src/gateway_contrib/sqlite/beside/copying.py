"""Copies the files of stored bytes into a backup, as they belong to one moment of the database."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import apsw

from gateway_contrib.sqlite.beside.byte_files import synced
from gateway_core.outboxes import OutboxError

_MOMENTS = 100
"""How often it begins anew where files go away as they are copied."""
_LARGE = "SELECT digest FROM bytes WHERE content IS NULL"


def copy_files(source: apsw.Connection, folder: Path, to: Path) -> int:
    """Copy what the database has at a moment, at which `source` reads from then on; its bytes.

    Who needs the bytes no more deletes them meanwhile: then it is another moment. None of them is
    ever changed, but for how it is sealed.

    Raises `OSError`, and `OutboxError` where a file is missing.
    """
    lacking: set[str] = set()
    for _ in range(_MOMENTS):
        source.execute("BEGIN")
        wanted = {str(digest) for (digest,) in source.execute(_LARGE)}
        lacking = _lacking(folder, to, wanted)
        if not lacking:
            return _tidied(to, wanted)
        source.execute("ROLLBACK")
    raise OutboxError(f"the bytes {min(lacking)} are not in {folder}: the outbox is damaged")


def _lacking(folder: Path, to: Path, wanted: Iterable[str]) -> set[str]:
    """Copy those that are not copied yet; those that are not there."""
    lacking = set()
    for digest in sorted(wanted):
        copy = to / digest
        if copy.exists():
            continue
        to.mkdir(mode=0o700, exist_ok=True)
        try:
            shutil.copyfile(folder / digest, copy)
        except FileNotFoundError:
            copy.unlink(missing_ok=True)
            lacking.add(digest)
            continue
        copy.chmod(0o600)
        synced(copy)
    return lacking


def _tidied(to: Path, wanted: Iterable[str]) -> int:
    """Without what was copied for another moment; how many bytes there are."""
    if not to.exists():
        return 0
    names = set(wanted)
    for copy in list(to.iterdir()):
        if copy.name not in names:
            copy.unlink()
    synced(to)
    synced(to.parent)
    return sum(copy.stat().st_size for copy in to.iterdir())
