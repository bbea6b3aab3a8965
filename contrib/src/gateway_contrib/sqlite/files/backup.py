"""Copies an outbox into a file of its own, beside a running gateway or without one."""

from __future__ import annotations

import os
from pathlib import Path
from shutil import rmtree

import apsw
import attrs

from gateway_contrib.sqlite.beside.byte_files import folder_of, synced
from gateway_contrib.sqlite.beside.copying import copy_files
from gateway_contrib.sqlite.failing import typed
from gateway_contrib.sqlite.files.log import log_of, seal_anew
from gateway_contrib.sqlite.files.opening import connect_beside
from gateway_contrib.sqlite.schema import number
from gateway_core.outboxes import OutboxError

PAGES = 1_000
"""Pages that are copied at once: 4 MB."""


@attrs.frozen
class Backup:
    """A copy: how many envelopes in it are unfinished, and its size in bytes."""

    unfinished: int
    size: int


def back_up(path: Path, to: Path) -> Backup:
    """Copy the outbox at `path`, as it is at this moment, into the new file `to`.

    The copy is complete and intact. It needs no other file but the folder beside it, which has
    large stored bytes, if there are any. Raises `OutboxError` if the copy cannot be made; nothing
    is left of it then.
    """
    folder = folder_of(to)
    for there in (to, log_of(to), folder):
        if there.exists():
            raise OutboxError(
                f"{there} exists already, and a backup overwrites nothing: name another file"
            )
    source = connect_beside(path)
    new = to.with_name(f"{to.name}.new")
    try:
        with typed("cannot be written as a backup", to):
            new.unlink(missing_ok=True)
            os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            try:
                size = copy_files(source, folder_of(path.resolve()), folder)
                unfinished = _copied(source, new)
                synced(new)
                new.rename(to)
                synced(to.parent)
            except BaseException:
                new.unlink(missing_ok=True)
                rmtree(folder, ignore_errors=True)
                raise
    finally:
        source.close()
    return Backup(unfinished=unfinished, size=to.stat().st_size + size)


def _copied(source: apsw.Connection, new: Path) -> int:
    """Copy the snapshot that `source` reads; this blocks no connection, and waits for none."""
    target = apsw.Connection(str(new))
    try:
        with typed("cannot be written as a backup", new, target):
            with target.backup("main", source, "main") as copying:
                while not copying.done:
                    copying.step(PAGES)
            source.execute("ROLLBACK")
            target.execute("PRAGMA journal_mode = DELETE").fetchall()
            seal_anew(target)
            found = target.execute("PRAGMA quick_check(1)").get
            if found != "ok":
                raise OutboxError(f"the outbox is damaged, so no backup was made: {found}")
            return number(target, "SELECT count(*) FROM envelopes")
    finally:
        target.close()
