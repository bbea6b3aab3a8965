"""Provides the handle of an accepted envelope, for callers that block."""

from __future__ import annotations

from typing import Any

from gateway_core.blocking.handles import Handle
from gateway_core.contract.envelopes import MessageRef, Receipt
from gateway_core.submission import tickets


class Ticket(Handle[tickets.Ticket]):
    """An accepted envelope: its id, its ref (an edit's target at once), and its receipt.

    Any number of threads may wait for the receipt; waiting and giving up changes nothing.
    """

    def __repr__(self) -> str:
        return repr(self._inner)

    @property
    def id(self) -> str:
        """The envelope's id."""
        return self._inner.id

    @property
    def ended(self) -> bool:
        """Whether the envelope has ended and the receipt is there."""
        return self._inner.ended

    @property
    def ref(self) -> MessageRef:
        """The message that a `Send` will make; for an edit, the message that it changes.

        For a `Call`, the message in the platform's answer; if there is none, a change to it ends
        `rejected`. Raises `TypeError` for an edit by key, and for a call without a room or about a
        message, which name no message yet.
        """
        return self._inner.ref

    def receipt(self, *, timeout: float | None = None) -> Receipt:
        """Wait for the end. Never raises because of how the envelope ended.

        Raises `TimeoutError` after `timeout` seconds, which changes nothing. Raises `GatewayClosed`
        (`kept=True`) if an outbox stores the envelope for the next start, or for another process
        that owns its account now.
        """
        return self._home.call_after_end(timeout, self._inner.receipt)

    @property
    def inner(self) -> tickets.Ticket:
        """The ticket on the gateway's thread, for the gateway's methods."""
        return self._inner


def inner_of(what: Any) -> Any:
    """The gateway's own ticket for a ticket; any other value as it is, for the gateway to check."""
    return what.inner if isinstance(what, Ticket) else what
