"""Opens the outbox that a command is about, whichever engine stores it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import trio

from gateway_contrib.cli.ending import Ended
from gateway_contrib.outboxes import path_of
from gateway_core import ConfigError, OutboxError, OutboxSettings

_DATABASES = ("postgresql", "postgres")


@attrs.frozen
class Stored:
    """A durable outbox. Its engine belongs to an extra, and is imported only when it is needed.

    path  the outbox's file; None: it is in a database
    """

    settings: OutboxSettings
    path: Path | None

    def __str__(self) -> str:
        return str(self.path) if self.path is not None else self._database().place.text

    @property
    def is_there(self) -> bool:
        """Whether a gateway has made the outbox. Raises `OutboxError` if that is not known."""
        if self.path is not None:
            return self.path.exists()
        from gateway_contrib.postgres.connections.migrations import (  # noqa: PLC0415 - an extra
            NoOutboxError,
        )

        try:
            self.operator().__exit__()
        except NoOutboxError:
            return False
        return True

    @property
    def misplaced(self) -> str:
        """Why no outbox can be opened at the path, on this machine; empty: it can.

        The outbox's keys are not tried.
        """
        if self.path is None:
            return ""
        from gateway_contrib.sqlite.failing import typed  # noqa: PLC0415 - an extra
        from gateway_contrib.sqlite.files.opening import (  # noqa: PLC0415 - an extra
            check_file,
            check_place,
        )

        try:
            with typed("cannot be opened", self.path):
                check_place(self.path)
                check_file(self.path)
        except OutboxError as error:
            return str(error)
        return ""

    @property
    def is_owned(self) -> bool:
        """Whether a gateway has the outbox open."""
        if self.path is not None:
            from gateway_contrib.sqlite.files.ownership import Ownership  # noqa: PLC0415 - an extra

            return Ownership(self.path).present() is not None
        with self.operator() as operator:
            return operator.owner is not None

    def operator(self) -> Any:
        """An operator of the outbox. Raises `Ended`, or `OutboxError` if there is no outbox."""
        try:
            return self._operator()
        except ModuleNotFoundError as error:
            extra = "sealed" if error.name == "cryptography" else self._extra
            text = f"{error.name} is missing: install 'gateway-contrib[{extra}]'"
            raise Ended(text) from None
        except ValueError as error:  # a key is wrong; the text begins with its place
            raise Ended(f"outbox.{error}") from None

    @property
    def _extra(self) -> str:
        return "sqlite" if self.path is not None else "postgres"

    def _operator(self) -> Any:
        if self.path is not None:
            from gateway_contrib.sqlite.operators.operating import (  # noqa: PLC0415 - an extra
                Operator,
            )

            return Operator(self.path, self.settings.keys)
        from gateway_contrib.postgres.spreading.operating import Sharing  # noqa: PLC0415 - an extra

        outbox = self._database()
        return Sharing(outbox.url, outbox.settings, self.settings.keys)

    def _database(self) -> Any:
        """The outbox in the database, not opened: only its place and its options."""
        from gateway_contrib.postgres.opening import outbox_at  # noqa: PLC0415 - an extra

        try:
            return outbox_at(self.settings.url, self.settings.keys)
        except ConfigError as error:
            raise Ended("; ".join(map(str, error.problems))) from None

    async def reseal(self) -> str:
        """Seal everything anew, and own the outbox meanwhile. Raises `OutboxError`."""
        if self.path is not None:
            from gateway_contrib.sqlite.sealing.alone import (  # noqa: PLC0415 - an extra
                reseal_alone,
            )

            return await trio.to_thread.run_sync(reseal_alone, self.path, self.settings.keys)
        outbox = self._database()
        async with outbox:
            done: str = await outbox.reseal()
        return done


def is_in_database(url: str) -> bool:
    """Whether the URL names a schema in PostgreSQL."""
    return urlsplit(url).scheme in _DATABASES


def stored(settings: OutboxSettings | None) -> Stored | None:
    """The outbox of a configuration; None: it has none, or one of another project's engine."""
    if settings is None:
        return None
    if is_in_database(settings.url):
        return Stored(settings, None)
    path = path_of(settings.url)
    return Stored(settings, path) if path is not None else None
