"""What the planner may answer beside an operation: that it is over, or has to wait. Sans-I/O."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from gateway_core.contract.envelopes import Disposition, Edit, Mode, Part, Send
from gateway_core.contract.errors import HookContractError
from gateway_core.contract.verdicts import Dispatched, ErrorClass, Reason, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.growing.growth import Grown


class Ending(NamedTuple):
    """How a delivery ends, before anybody learns of it."""

    disposition: Disposition
    verdict: Verdict | None = None


class Aside(NamedTuple):
    """It waits outside its lane until `before` has ended: both concern one message."""

    before: Delivery


class Later(NamedTuple):
    """It waits outside its lane until `at`, or until it grows much: it is a stream's.

    wakes  it goes on before that as soon as it grows at all
    """

    at: int
    wakes: bool = False


class LongText(NamedTuple):
    """Its text is planned first, beside the event loop: it holds its lane meanwhile.

    mode   how its parts are planned
    grown  of a stream, the state that is planned; None: it is none
    """

    envelope: Send | Edit
    mode: Mode
    grown: Grown | None = None


MadeParts: TypeAlias = tuple[Part, ...] | HookContractError
"""Parts, or the error of the hook that was to make them."""


class MadePlan(NamedTuple):
    """The plan of a delivery's long text."""

    delivery: Delivery
    text: LongText
    plan: MadeParts

    @property
    def parts(self) -> tuple[Part, ...]:
        """The plan. Raises `HookContractError`."""
        if isinstance(self.plan, HookContractError):
            raise self.plan
        return self.plan


Planned: TypeAlias = str | Ending | Aside | Later | LongText
"""The operation of the next step, or why there is none."""

CANCELLED = Ending(Disposition.CANCELLED)
SUPERSEDED = Ending(Disposition.SUPERSEDED)
SHED = Ending(Disposition.SHED)


def unsupported(why: str) -> Ending:
    """The channel cannot do it to the message as that turned out to be."""
    verdict = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.UNSUPPORTED, raw=why)
    return Ending(Disposition.REJECTED, verdict)


def given_up(delivery: Delivery, because: str = "") -> Ending:
    """Nobody goes on with it: `unknown` if it may have arrived, else `cancelled`.

    because  what cuts off an attempt that is under way: "the gateway closed"
    """
    step = delivery.step
    under_way = step is not None and step.started
    if step is not None and step.kind != "draft" and (under_way or step.doubtful):
        step.end("unknown")
    if delivery.disposition() is not Disposition.UNKNOWN:
        return CANCELLED
    if not under_way or not because:
        return Ending(Disposition.UNKNOWN)  # its last verdict has the reason
    verdict = Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.OUTCOME_UNKNOWN,
        dispatched="unknown",
        raw=f"{because} while the attempt was under way",
    )
    return Ending(Disposition.UNKNOWN, verdict)


def expired(delivery: Delivery, cause: str = "") -> Ending:
    """Its deadline passed.

    cause  what it waited for in the end, where that is more than it knows of: the trouble that its
           account has, before anything of its own
    """
    words = f"its deadline passed while it waited ({cause or delivery.cause})"
    return Ending(Disposition.EXPIRED, delivery.verdict or _verdict(Reason.EXPIRED, words))


def broken_by(error: HookContractError) -> Ending:
    """A sync hook failed on this envelope: it ends, naming plugin and hook."""
    return Ending(Disposition.CRASHED, _verdict(Reason.HOOK_CONTRACT, str(error)))


def crashed_by(delivery: Delivery, error: Exception) -> Ending:
    """It broke its worker once too often."""
    step = delivery.step
    doubtful = step is not None and step.doubtful
    words = f"{type(error).__name__}: {error}"
    verdict = _verdict(Reason.CRASHED, words, "unknown" if doubtful else "no")
    return Ending(Disposition.CRASHED, verdict)


def _verdict(reason: Reason, words: str, dispatched: Dispatched = "no") -> Verdict:
    return Verdict(
        error_class=ErrorClass.NON_RETRYABLE, reason=reason, dispatched=dispatched, raw=words
    )
