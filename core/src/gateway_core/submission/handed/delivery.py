"""An envelope that was handed over, as the process that waits for its end knows it. Sans-I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from gateway_core.contract.envelopes import Disposition, Envelope, Part, Receipt
from gateway_core.contract.errors import GatewayError, OutboxError
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.outboxes.handover import News
from gateway_core.outboxes.refusals import refusal_of

HANDED, TAKEN = "handed", "outbox"
"""What the envelope waits for: for an owner to take it, or for its turn at the owner."""
FORGOTTEN = "its ending is not remembered any more (`history_for`)"


class HandedDelivery(Delivery):
    """Stands for an envelope that another process delivers; it ends as that process says.

    id         the envelope's id; if the owner says that it joined another envelope, that one's id
    handed_id  the id by which it was handed over
    refused    why it was not accepted; None: it was accepted, or the owner has not answered yet
    was_here   this process had accepted it itself, as the owner of its account
    """

    __slots__ = ("handed_id", "refused", "was_here")

    def __init__(
        self, handed_id: str, envelope: Envelope, plan: Sequence[Part], **known: Any
    ) -> None:
        super().__init__(handed_id, envelope, plan, **known)
        self.handed_id = handed_id
        self.refused: GatewayError | None = None
        self.was_here = False

    @classmethod
    def following(cls, delivery: Delivery) -> HandedDelivery:
        """The successor of a delivery that was accepted here; its account has another owner now."""
        following = cls(
            delivery.id,
            delivery.envelope,
            delivery.plan,
            accepted_at=delivery.accepted_at,
            deadline=delivery.deadline,
            due=delivery.due,
            scope=delivery.scope,
            priority=delivery.priority,
            sequence=delivery.given_sequence,
            growth=delivery.growth,
            member=delivery.member,
        )
        following.was_here = True
        following.started, following.called = delivery.started, delivery.called
        following.joined = delivery.holders
        return following

    @property
    def is_elsewhere(self) -> bool:
        """Whether another process delivers the envelope: always."""
        return True

    @property
    def why_no_receipt(self) -> GatewayError:
        """Why the envelope was not accepted; if it was, that the outbox stores it for its owner."""
        return super().why_no_receipt if self.refused is None else self.refused

    def hear(self, news: News) -> bool:
        """Take in news about the envelope; whether the news is final."""
        if news.envelope_id is not None:
            self.id = news.envelope_id
        receipt = receipt_of(news)
        if receipt is not None and news.refused is None:
            self.replay(receipt)
        elif news.refused is not None:
            self._refuse(refusal_of(news.refused))
        elif news.answered_at is not None and not news.stored:
            self._refuse(OutboxError(f"envelope {self.id}: {FORGOTTEN}"))
        else:
            self.wait_for(TAKEN if news.answered_at is not None else HANDED, 0)
            return False
        self.notify()
        return True

    def has_started(self) -> None:
        """Note that the owner has begun to send the envelope."""
        self.started = True

    def _refuse(self, error: GatewayError) -> None:
        """Note an error in place of a receipt."""
        self.refused, self.stored = error, True


def receipt_of(news: News) -> Receipt | None:
    """The receipt, the same in every process; None: unfinished, or nobody knows any more."""
    if news.receipt is not None:
        return attrs.evolve(news.receipt, replayed=True) if news.replayed else news.receipt
    if news.cancelled:
        return _receipt(news, Disposition.CANCELLED, None)
    if news.refused is not None:
        verdict = Verdict(
            error_class=ErrorClass.NON_RETRYABLE,
            reason=Reason.BAD_REQUEST,
            dispatched="no",
            raw=str(refusal_of(news.refused)),
        )
        return _receipt(news, Disposition.REJECTED, verdict)
    return None


def _receipt(news: News, disposition: Disposition, verdict: Verdict | None) -> Receipt:
    return Receipt(
        envelope_id=news.id,
        instance_id=news.instance_id,
        external_room_id=news.room,
        disposition=disposition,
        verdict=verdict,
        accepted_at=news.handed_at,
        ended_at=news.answered_at or news.handed_at,
    )
