"""The steps of an envelope: one operation on one platform message each. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from gateway_core.contract.envelopes import Json, Mode, Part, PartReceipt, PartRef, Send, digest_of
from gateway_core.contract.fast_init import fast_init
from gateway_core.contract.verdicts import Verdict

Outcome = Literal["delivered", "deleted", "unchanged", "failed", "unknown", "not_sent"]
ARRIVED = ("delivered", "deleted", "unchanged")

_part_ref = fast_init(PartRef)
_part_receipt = fast_init(PartReceipt)


class Step:
    """One operation on one platform message, and what is known of it.

    refusals    how many of its last tries, one after the other, met a limit
    maybe_sent  how many of its tries may have been accepted without our knowing
    doubtful    a try may have been accepted, and none was acknowledged since
    started     an attempt is in flight, or was when its worker died
    """

    __slots__ = (
        "attempts", "doubtful", "extra", "first_at", "kind", "maybe_sent", "message_id", "mode",
        "number", "outcome", "part", "refusals", "reply", "serial", "started", "transforms",
        "verdict",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        serial: int,
        *,
        part: Part | None = None,
        message_id: str | None = None,
        reply: str | None = None,
        extra: Any = None,
    ) -> None:
        self.kind = kind
        self.serial = serial
        self.part = part
        self.message_id = message_id
        self.reply = reply
        self.extra = extra
        self.mode: Mode = "as_asked"
        self.attempts = 0
        self.refusals = 0
        self.number = 0
        self.maybe_sent = 0
        self.doubtful = False
        self.transforms = 0
        self.started = False
        self.first_at = 0
        self.outcome: Outcome | None = None
        self.verdict: Verdict | None = None

    @property
    def digest(self) -> str:
        """Of what is sent: the part's, with the platform's own fields where there are some."""
        if self.part is None:
            return ""
        return sent_digest(self.part, self.extra)

    def receipt(self, index: int) -> PartReceipt:
        """What the caller is told of it."""
        part = self.part
        return _part_receipt(
            index=index,
            outcome=self.outcome or ("unknown" if self.doubtful else "not_sent"),
            message_id=self.message_id,
            attempts=self.number,
            span=part.span if part is not None else (0, 0),
            degraded=part.degraded if part is not None else (),
            verdict=self.verdict,
        )


def sent_digest(part: Part, extra: Any) -> str:
    """The digest of a part together with the platform's own fields on it."""
    return digest_of([part.digest, extra]) if extra else part.digest


def carried(steps: Sequence[Step]) -> Mapping[str, Json] | None:
    """The platform's own fields that the last part has, or shall have."""
    for step in reversed(steps):
        if step.kind != "delete":
            return step.extra or None
    return None


def standing(steps: Sequence[Step]) -> tuple[PartRef, ...]:
    """The platform messages that stand after these steps; a digest only where it is certain."""
    parts, spare = [], []
    for step in steps:
        if step.message_id is None:
            continue
        if step.kind != "delete":
            digest = step.digest if step.outcome in ARRIVED else ""
            parts.append(_part_ref(message_id=step.message_id, digest=digest))
        elif step.outcome != "deleted":
            spare.append(_part_ref(message_id=step.message_id))
    return (*parts, *reversed(spare))


def send_steps(envelope: Send, plan: Sequence[Part]) -> list[Step]:
    """One step a part: the reply on the first, the platform's own fields on the last."""
    last = len(plan) - 1
    return [
        Step(
            "send",
            index,
            part=part,
            reply=envelope.reply_to if index == 0 else None,
            extra=(envelope.extra or None) if index == last else None,
        )
        for index, part in enumerate(plan)
    ]
