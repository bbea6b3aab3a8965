"""What the planner may answer beside an operation: that it is over, or has to wait. Sans-I/O."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from gateway_core.contract.envelopes import Disposition
from gateway_core.contract.errors import HookContractError
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.deliveries.delivery import Delivery


class Ending(NamedTuple):
    """How a delivery ends, before anybody is told."""

    disposition: Disposition
    verdict: Verdict | None = None


class Aside(NamedTuple):
    """It waits outside its lane until `before` has ended: both concern one message."""

    before: Delivery


Planned: TypeAlias = str | Ending | Aside
"""The operation of the next step, or why there is none."""

CANCELLED = Ending(Disposition.CANCELLED)
SUPERSEDED = Ending(Disposition.SUPERSEDED)
SHED = Ending(Disposition.SHED)


def expired(delivery: Delivery) -> Ending:
    """Its deadline passed."""
    verdict = delivery.verdict or Verdict(
        error_class=ErrorClass.NON_RETRYABLE,
        reason=Reason.EXPIRED,
        raw=f"its deadline passed while it waited ({delivery.waits.cause})",
    )
    return Ending(Disposition.EXPIRED, verdict)


def broken_by(error: HookContractError) -> Ending:
    """A sync hook failed on this envelope: it ends, naming plugin and hook."""
    verdict = Verdict(
        error_class=ErrorClass.NON_RETRYABLE, reason=Reason.HOOK_CONTRACT, raw=str(error)
    )
    return Ending(Disposition.CRASHED, verdict)


def crashed_by(delivery: Delivery, error: Exception) -> Ending:
    """It broke its worker once too often."""
    step = delivery.step
    doubtful = step is not None and step.doubtful
    verdict = Verdict(
        error_class=ErrorClass.NON_RETRYABLE,
        reason=Reason.CRASHED,
        dispatched="unknown" if doubtful else "no",
        raw=f"{type(error).__name__}: {error}",
    )
    return Ending(Disposition.CRASHED, verdict)
