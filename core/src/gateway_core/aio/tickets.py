"""The handle of an accepted envelope, for asyncio."""

from __future__ import annotations

from typing import Any

from gateway_core.aio.handles import Handle
from gateway_core.contract.envelopes import MessageRef, Receipt
from gateway_core.submission import tickets


class Ticket(Handle[tickets.Ticket]):
    """An accepted envelope: its id, its ref (an edit's target at once), and its receipt.

    Any number of tasks may wait for the receipt, and giving up the wait has no effect.
    """

    def __repr__(self) -> str:
        return repr(self._inner)

    @property
    def id(self) -> str:
        """The envelope's id."""
        return self._inner.id

    @property
    def ended(self) -> bool:
        """Whether the receipt is there."""
        return self._inner.ended

    @property
    def ref(self) -> MessageRef:
        """The message that a `Send` will make; for an edit, the message that it changes.

        Of a `Call` that of the platform's answer: where there is none, a change of it ends
        `rejected`. Raises `TypeError` for an edit by key, and for a call without a room or about a
        message, which name none yet.
        """
        return self._inner.ref

    async def receipt(self) -> Receipt:
        """Wait for the end. Never raises because of how the envelope ended.

        Raises `GatewayClosed` (`kept=True`) if an outbox stores it for the next start, or for
        another process, which owns its account now.
        """
        return await self._home.call_after_end(self._inner.receipt)

    @property
    def inner(self) -> tickets.Ticket:
        """The ticket of the gateway's thread, as the gateway takes it."""
        return self._inner


def inner_of(what: Any) -> Any:
    """A ticket as the gateway knows it; anything else as it is, for the gateway to judge."""
    return what.inner if isinstance(what, Ticket) else what
