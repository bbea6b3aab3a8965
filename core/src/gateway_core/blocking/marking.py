"""Puts marks on messages and takes them off, for code that blocks: reactions and pins."""

from __future__ import annotations

from typing import TypeAlias, Unpack

from gateway_core.answering.marking import MarkFields
from gateway_core.blocking.home import Home
from gateway_core.blocking.tickets import Ticket, inner_of
from gateway_core.contract.envelopes import Receipt, Target

Editable: TypeAlias = Target | Ticket


class Marks:
    """The methods of a `Gateway` that put marks on messages."""

    _home: Home

    def react(
        self,
        target: Editable,
        emoji: str,
        *,
        timeout: float | None = None,
        **fields: Unpack[MarkFields],
    ) -> Receipt:
        """Put the account's reaction on a message, as `gateway_core.Gateway.react` does."""
        return self._home.call(timeout, self._home.core.react, inner_of(target), emoji, **fields)

    def unreact(
        self,
        target: Editable,
        emoji: str,
        *,
        timeout: float | None = None,
        **fields: Unpack[MarkFields],
    ) -> Receipt:
        """Remove the account's reaction; succeeds if there is none. Otherwise like `react`."""
        return self._home.call(timeout, self._home.core.unreact, inner_of(target), emoji, **fields)

    def pin(
        self,
        target: Editable,
        *,
        silent: bool = False,
        timeout: float | None = None,
        **fields: Unpack[MarkFields],
    ) -> Receipt:
        """Pin a message in its room, as `gateway_core.Gateway.pin` does.

        silent  notify nobody, if the platform can
        """
        pin = self._home.core.pin
        return self._home.call(timeout, pin, inner_of(target), silent=silent, **fields)

    def unpin(
        self, target: Editable, *, timeout: float | None = None, **fields: Unpack[MarkFields]
    ) -> Receipt:
        """Unpin a message; succeeds if it is not pinned. Otherwise like `pin`."""
        return self._home.call(timeout, self._home.core.unpin, inner_of(target), **fields)
