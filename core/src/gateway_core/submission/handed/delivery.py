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
"""What it waits for: for an owner to take it, or for its turn there."""
FORGOTTEN = "its ending is not remembered any more (`history_for`)"


class HandedDelivery(Delivery):
    """Stands for what another process delivers; it ends as that process says.

    id         of the envelope: that of another one once its owner has said that this one joins it
    handed_id  by which it was handed over
    refused    why it was not accepted; None: it was, or nobody has said yet
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
        """What stands for one that was accepted here, and whose account has another owner now."""
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
        """It is."""
        return True

    @property
    def why_no_receipt(self) -> GatewayError:
        """Why it was not accepted; else the gateway closed here, and the outbox has it."""
        return super().why_no_receipt if self.refused is None else self.refused

    def hear(self, news: News) -> bool:
        """What became of it; whether that is all that there will be."""
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
        """Its owner has begun to send it."""
        self.started = True

    def _refuse(self, error: GatewayError) -> None:
        """There will be no receipt."""
        self.refused, self.stored = error, True


def receipt_of(news: News) -> Receipt | None:
    """How it ended, as every process is told it; None: it has not, or nobody knows any more."""
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
