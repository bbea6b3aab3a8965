"""Copies the files of stored bytes into a backup, as they are at one moment of the database."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import apsw

from gateway_contrib.sqlite.beside.byte_files import synced
from gateway_core.outboxes import OutboxError

_MOMENTS = 100
"""How often copying begins anew if files are deleted while they are copied."""
_LARGE = "SELECT digest FROM bytes WHERE content IS NULL"


def copy_files(source: apsw.Connection, folder: Path, to: Path) -> int:
    """Copy the files that the database has at one moment; returns how many bytes they have.

    From then on, `source` reads the database as of that moment. If a file is deleted meanwhile,
    since nobody needs it any more, a later moment is taken. Files never change, except for how they
    are sealed.

    Raises `OSError`, and `OutboxError` if a file is missing.
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
    """Copy the files that are not copied yet; returns those that are not there."""
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
    """Delete copies made for an earlier moment; returns how many bytes there are."""
    if not to.exists():
        return 0
    names = set(wanted)
    for copy in list(to.iterdir()):
        if copy.name not in names:
            copy.unlink()
    synced(to)
    synced(to.parent)
    return sum(copy.stat().st_size for copy in to.iterdir())
