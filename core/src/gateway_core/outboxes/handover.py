"""The interface by which a process that delivers nothing reaches the owner of a shared outbox.

The process hands over envelopes, asks questions, and learns what became of them. An outbox that can
do this offers it by a method `handover` without arguments. How an account goes to another process:
`outboxes.spreading`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

import attrs

from gateway_core.contract.envelopes import Envelope, Priority, Receipt
from gateway_core.outboxes.records import Endings, Suspension, What

OF_SUSPENSION = '{"do": "suspension"'
"""The start of a question that suspends or resumes an account; these are answered in order."""


def suspension_question(instance_id: str, suspension: Suspension | None) -> str:
    """The question to the account's owner: to suspend the account; None: to resume it."""
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
    """Hands over to the outbox's owner, now or later. The gateway enters and leaves it.

    waiting   returns the ids that a caller waits for; set by the gateway, and called while none of
              them can change
    heard     called on trio's thread with news about these ids; set by the gateway. An extra call
              does no harm
    keys_for  seconds for which keys of ended envelopes are remembered; set by the gateway
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

        The envelope's `ttl` counts from then on. Raises `OutboxError` and `Invalid`; then the
        envelope is not and will not be stored. If the call is cancelled, nothing will be sent.
        """
        ...

    def expect(self) -> None:
        """A caller also waits for an envelope that this process accepted itself."""

    def leave(self, handed_id: str) -> None:
        """Withdraw an envelope that no caller waits for any more, unless it has started.

        The envelope stays if a caller elsewhere waits for it. Never waits: this is done later, and
        repeated until it succeeds.
        """

    async def cancel(self, envelope_id: str) -> bool:
        """End the envelope `cancelled` if it has not started; returns whether that succeeded.

        At once if no owner has taken the envelope; otherwise this waits for the owner's answer.
        Raises `OutboxError`.
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

    async def unfinished(self) -> Mapping[Priority, int]:
        """How many unfinished envelopes the owners count, by class; some seconds old.

        What no owner has taken yet is not counted. Raises `OutboxError`.
        """
        ...

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """Endings, as `Outbox.endings` says."""
        ...
