"""Where accepted envelopes are kept until they end: the interface, and the outbox in memory."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import attrs

from gateway_core.envelopes import Envelope, Part, Receipt


@attrs.frozen(kw_only=True)
class Entry:
    """What an outbox keeps of an accepted envelope.

    plan         its parts, so that a later life cuts nowhere else
    accepted_at  POSIX time; deadline likewise
    """

    id: str
    envelope: Envelope
    plan: tuple[Part, ...]
    accepted_at: float
    deadline: float


class Outbox(Protocol):
    """Keeps accepted envelopes. Entered by the gateway before anything else, left last.

    durable  whether what it keeps survives the process; where it does not, the gateway skips
             `attempt_started`, whose only use is the next life
    """

    durable: bool

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def append(self, entry: Entry) -> None:
        """Keep the entry. The caller hears "accepted" after this returns.

        Raises `OutboxError`: the entry is not kept and the envelope is refused.
        """

    def withdraw(self, envelope_id: str) -> None:
        """The caller was cancelled during its append: forget the entry. Never waits."""

    async def attempt_started(self, envelope_id: str, serial: int, number: int) -> None:
        """Record that try `number` of step `serial` begins; its outcome may become unknown."""

    def attempt_voided(self, envelope_id: str, serial: int, number: int) -> None:
        """The try that was recorded did not begin after all."""

    def acknowledged(self, envelope_id: str, serial: int, message_id: str | None) -> None:
        """The step is done; may be written later."""

    def finished(self, receipt: Receipt) -> None:
        """The envelope ended; may be written later."""


class MemoryOutbox:
    """Keeps entries while the process lives, and not a moment longer."""

    durable = False

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    async def append(self, entry: Entry) -> None:
        """Keep the entry. Does not wait."""
        self._entries[entry.id] = entry

    def withdraw(self, envelope_id: str) -> None:
        """Forget the entry."""
        self._entries.pop(envelope_id, None)

    async def attempt_started(self, envelope_id: str, serial: int, number: int) -> None:
        """Nothing: there is no next life."""

    def attempt_voided(self, envelope_id: str, serial: int, number: int) -> None:
        """Nothing: there is no next life."""

    def acknowledged(self, envelope_id: str, serial: int, message_id: str | None) -> None:
        """Nothing: there is no next life."""

    def finished(self, receipt: Receipt) -> None:
        """Forget the entry."""
        self._entries.pop(receipt.envelope_id, None)
