"""Decides whether the file takes more entries: not if it is damaged, or if a part of it is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from gateway_contrib.sqlite.failing import DAMAGE, typed
from gateway_core.outboxes import OUTBOX_FAILED, OutboxError, log_event

PARTS = ("", "-wal", "-shm")
"""Endings of the names of the files in which SQLite keeps an open database."""

THE_OUTBOX = "the outbox"
"""Its name among the accounts that do not work."""


class Presence:
    """Watches the files of the database while it is open.

    log_gone  whether the log was taken away; until it is emptied, only the log has new changes
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, tuple[int, int] | None] = {}
        self._why = ""
        self.log_gone = False

    def check(self) -> None:
        """Raises `OutboxError` if the file takes no more entries."""
        if self._why:
            raise OutboxError(f"the outbox takes no more: {self._why}")

    def said_in(self, answer: str) -> str:
        """The answer about accounts that do not work, also about a file that takes no more."""
        if not self._why:
            return answer
        told = json.loads(answer)
        told["accounts"][THE_OUTBOX] = f"takes no more: {self._why}"
        return json.dumps(told)

    def opened(self) -> None:
        """Note that the files that are there now are the ones in use."""
        self._files = {part: identity(self._beside(part)) for part in PARTS}

    def look(self) -> None:
        """Check that these files are still there."""
        if self._why:
            return
        for part, before in self._files.items():
            now = identity(self._beside(part))
            if before is None:
                self._files[part] = now
            elif now != before:
                self._miss(part)
                return

    def _beside(self, part: str) -> Path:
        return self._path.with_name(self._path.name + part)

    def _miss(self, part: str) -> None:
        self.log_gone = bool(part)
        todo = (
            f"restart the gateway: as it stops, it writes all that it has into {self._path}"
            if part
            else "stop the gateway, put the file back with its -wal, and start it again"
        )
        self._why = f"{self._beside(part)} was taken away while it was in use; {todo}"
        log_event(OUTBOX_FAILED, error=self._why)

    @contextmanager
    def typed(self, what: str, connection: apsw.Connection | None = None) -> Iterator[None]:
        """As the function `typed`, for this path; damage is remembered."""
        try:
            with typed(what, self._path, connection):
                yield
        except OutboxError as error:
            if isinstance(error.__cause__, DAMAGE):
                self._why = str(error)
            raise


def identity(path: Path) -> tuple[int, int] | None:
    """The identity of the file at the path; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
