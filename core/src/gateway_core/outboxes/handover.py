"""How a process that delivers nothing itself reaches the owner of a shared outbox: the interface.

It hands over envelopes and asks questions, and hears what became of them. An outbox that can do
that offers it by a method `handover`, which takes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

import attrs

from gateway_core.contract.envelopes import Envelope, Receipt
from gateway_core.outboxes.records import Endings, Suspension, What

OF_SUSPENSION = '{"do": "suspension"'
"""How a question begins that suspends or resumes an account: these are answered in their order."""


def suspension_question(instance_id: str, suspension: Suspension | None) -> str:
    """What is asked of whoever owns the account: to suspend it; None: to resume it."""
    told = None if suspension is None else attrs.asdict(suspension)
    return json.dumps({"do": "suspension", "instance": instance_id, "suspension": told})


@attrs.frozen(kw_only=True)
class News:
    """The state of an envelope or a question that was handed over, as far as the outbox knows.

    id            the id under which it was handed over
    handed_at     POSIX time of handing over; for an envelope that an owner accepted itself, of its
                  acceptance
    answered_at   POSIX time at which it was accepted, refused, cancelled or answered; None: no
                  owner has taken it yet
    envelope_id   the envelope that it became, or the one with its key; None: there is none
    replayed      that envelope had ended before
    cancelled     it was cancelled before an owner took it
    refused       why it was refused, as JSON (`refusal_of`); None: it was not
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

    waiting   returns the ids that somebody waits for; set by the gateway, and called while none of
              them can change
    heard     called on trio's thread with news about those; likewise. An extra call does no harm
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
        """Store the envelope for the owner; returns its id.

        awaited  its caller waits for the end; if the caller gives up, `leave` withdraws it
        files    the digests of the bytes that it needs; they are stored together with it

        Its `ttl` counts from then on. Raises `OutboxError` and `Invalid`; then it is not and will
        not be stored. If the call is cancelled, nothing will be sent.
        """
        ...

    def expect(self) -> None:
        """Somebody waits for more than was handed over: for what this process accepted itself."""

    def leave(self, handed_id: str) -> None:
        """Its caller no longer waits, so withdraw it if it has not started and nobody else waits.

        Never waits. It is done later, and repeated until it succeeds.
        """

    async def cancel(self, envelope_id: str) -> bool:
        """End it `cancelled` if it has not started; returns whether it did. Raises `OutboxError`.

        At once if no owner has taken it; otherwise this waits for the owner's answer.
        """
        ...

    async def ask(self, instance_id: str, question: str, *, files: Mapping[str, bytes]) -> str:
        """The owner's answer, as JSON; this waits until there is one.

        instance_id  the instance that the question is about; empty: all
        files        the bytes that it needs, as in `hand_over`

        Raises `OutboxError`.
        """
        ...

    async def tell(self, instance_id: str, question: str) -> None:
        """Store a question for the owner, now or later; nobody waits for the answer.

        Raises `OutboxError`; then it is not and will not be stored. If the call is cancelled,
        nothing is stored.
        """
        ...

    async def find(self, what: What) -> News | None:
        """What is known about an id or a key; None: nothing (any more). Raises `OutboxError`."""
        ...

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """As an `Outbox` says."""
        ...
