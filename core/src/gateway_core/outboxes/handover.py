"""How a process that delivers nothing itself reaches the owner of a shared outbox: the interface.

It hands over envelopes and asks questions, and hears what became of them. An outbox that can do
that offers it by a method `handover`, which takes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

import attrs

from gateway_core.contract.envelopes import Envelope, Receipt
from gateway_core.outboxes.records import Endings, What


@attrs.frozen(kw_only=True)
class News:
    """What became of an envelope or of a question, as far as the outbox knows.

    id            by which it was handed over
    handed_at     POSIX time; of an envelope that an owner accepted by itself, of its acceptance
    answered_at   POSIX time at which it was accepted, refused, cancelled or answered; None: nobody
                  has taken it yet
    envelope_id   the envelope that it became, or the one that has its key; None: it is none
    replayed      that one had ended before
    cancelled     nobody had taken it, and nobody will
    refused       why it became none, as JSON (`refusal_of`); None: it was not refused
    receipt       how it ended; None: it has not
    stored        it is unfinished, and the outbox has it
    answer        to a question; None: it has none yet
    """

    id: str
    instance_id: str
    room: str
    handed_at: float
    answered_at: float | None = None
    envelope_id: str | None = None
    replayed: bool = False
    cancelled: bool = False
    refused: str | None = None
    receipt: Receipt | None = None
    stored: bool = False
    answer: str | None = None


class Handover(Protocol):
    """Hands over to whoever owns the outbox, now or later. Entered and left by the gateway.

    waiting   the ids of which somebody waits to hear; set by the gateway, and called in a moment
              in which nothing of them changes
    heard     called on trio's thread with news of those; likewise. One too often does no harm
    keys_for  seconds for which keys of ended envelopes are remembered; likewise
    """

    waiting: Callable[[], Sequence[str]]
    heard: Callable[[News], None]
    keys_for: float

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def hand_over(
        self, envelope: Envelope, *, awaited: bool, files: Mapping[str, bytes]
    ) -> str:
        """Store the envelope for the owner; the id that it has from now on.

        awaited  its caller waits for the end, and it is withdrawn by `leave` if that gives up
        files    the bytes that it needs, by their digests: they are there once it is

        Its `ttl` counts from then on. Raises `OutboxError` and `Invalid`: it is not stored, and
        will not be. A caller who is cancelled leaves nothing that will be sent.
        """
        ...

    def expect(self) -> None:
        """Somebody waits for more than was handed over: for what this process accepted itself."""

    def leave(self, handed_id: str) -> None:
        """Its caller waits no more: it is withdrawn if it has not started and nobody else waits.

        Never waits. That is done later, and again where it could not be done.
        """

    async def cancel(self, envelope_id: str) -> bool:
        """End it `cancelled` if it has not started; whether that was so. Raises `OutboxError`.

        At once where nobody has taken it; else the owner says so, for whom this waits.
        """
        ...

    async def ask(self, instance_id: str, question: str, *, files: Mapping[str, bytes]) -> str:
        """What the owner answers, as JSON; this waits for it, however long there is none.

        instance_id  whom the question is about; empty: all
        files        the bytes that it needs, as of `hand_over`

        Raises `OutboxError`.
        """
        ...

    async def tell(self, instance_id: str, question: str) -> None:
        """Store what the owner is asked, now or later; nobody waits for its answer.

        Raises `OutboxError`: it is not stored, and will not be. A caller who is cancelled leaves
        nothing.
        """
        ...

    async def find(self, what: What) -> News | None:
        """What is known of an id, or of a key; None: nothing (any more). Raises `OutboxError`."""
        ...

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """As an `Outbox` says."""
        ...
