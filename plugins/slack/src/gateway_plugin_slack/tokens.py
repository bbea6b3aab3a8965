"""Holds the tokens that an instance uses now, and stores them in a file for later process runs.

Slack's rotating tokens expire after 12 hours, and a refresh token works once
(docs.slack.dev, token rotation): after an exchange, the configured tokens are useless.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import attrs
import structlog

from gateway_core.authors import Secret

_log = structlog.get_logger("gateway_plugin_slack")
_OWNER_ONLY = 0o600


MOST = 16
"""Most accounts whose tokens a file holds. Of tokens configured earlier, the newest stay."""


def _all_in(file: Path) -> Mapping[str, Mapping[str, str]]:
    """The file's tokens, by digest of the configured one. Raises ValueError if it is damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {
            begun: {name: str(stored[name]) for name in ("access", "refresh")}
            for begun, stored in found["tokens"].items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        # The text of the error would quote the file, and with it the tokens.
        raise ValueError(f"{file}: no file of Slack tokens") from None


def _digest(tokens: Tokens) -> str:
    configured = (tokens.refresh or tokens.access).reveal()
    return hashlib.sha256(configured.encode()).hexdigest()


@attrs.define(eq=False)
class Tokens:
    """The settings' tokens, until Slack has given newer ones; `generation` counts the exchanges.

    wanted  an exchange has begun and Slack has not answered it yet, or the answer got lost

    If there is a `file`, each exchange is written to it. Other processes continue with the tokens
    in the file, as long as the same refresh token is configured for them. Instances may share the
    file: it holds each instance's tokens under a digest of the configured token.
    """

    access: Secret
    refresh: Secret | None = None
    file: Path | None = None
    generation: int = 0
    wanted: bool = False
    _begun_from: str = attrs.field(
        init=False, repr=False, default=attrs.Factory(_digest, takes_self=True)
    )

    def load(self) -> None:
        """Start to use the file's tokens, once. Raises ValueError if the file is damaged."""
        if not self.generation:
            self.reread()

    def reread(self) -> bool:
        """Use the tokens that another process got by an exchange; returns whether they are new.

        Raises ValueError if the file is damaged.
        """
        stored = self._stored()
        if stored is None or stored[0] == self.access:
            return False
        self.access, self.refresh = stored
        self.generation += 1
        return True

    def _stored(self) -> tuple[Secret, Secret] | None:
        """The file's tokens that exchanges made of the configured ones; None: it has none."""
        if self.file is None:
            return None
        mine = _all_in(self.file).get(self._begun_from)
        return None if mine is None else (Secret(mine["access"]), Secret(mine["refresh"]))

    def exchanged(self, access: str, refresh: str | None) -> None:
        """Use the tokens that Slack gave, and store them. If the file cannot be written, log it."""
        self.access = Secret(access)
        self.refresh = Secret(refresh) if refresh else self.refresh
        self.generation += 1
        if self.file is None or self.refresh is None:
            return
        try:
            self._store(self.file, self.refresh)
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else str(error)
            _log.error("slack.tokens_not_kept", file=str(self.file), error=words)

    def _store(self, file: Path, refresh: Secret) -> None:
        """Write the file as a whole or not at all: a new file replaces the old one."""
        others = {
            begun: stored for begun, stored in _all_in(file).items() if begun != self._begun_from
        }
        mine = {"access": self.access.reveal(), "refresh": refresh.reveal()}
        newest = [*others.items(), (self._begun_from, mine)][-MOST:]
        text = json.dumps({"tokens": dict(newest)})
        beside = file.with_name(f"{file.name}.new")
        opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
        with os.fdopen(opened, "w", encoding="utf-8") as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        beside.replace(file)
