"""Defines what the planner answers if no operation follows: an end or a wait. Sans-I/O."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from gateway_core.contract.envelopes import Disposition, Edit, Mode, Part, Send
from gateway_core.contract.errors import HookContractError
from gateway_core.contract.validators import words_of
from gateway_core.contract.verdicts import Dispatched, ErrorClass, Reason, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.growing.growth import Grown


class Ending(NamedTuple):
    """How a delivery ends, before anybody learns of it."""

    disposition: Disposition
    verdict: Verdict | None = None


class Aside(NamedTuple):
    """The delivery waits outside its lane until `before` has ended: both concern one message."""

    before: Delivery


class Later(NamedTuple):
    """The delivery of a stream waits outside its lane until `at`, or until it has grown much.

    wakes  it goes on earlier, as soon as it grows at all
    """

    at: int
    wakes: bool = False


class LongText(NamedTuple):
    """The text is planned first, in a worker thread; meanwhile the delivery holds its lane.

    mode   how its parts are planned
    grown  of a stream: the state that is planned; None: it is no stream
    """

    envelope: Send | Edit
    mode: Mode
    grown: Grown | None = None


MadeParts: TypeAlias = tuple[Part, ...] | HookContractError
"""Parts, or the error of the hook that should have made them."""


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
    """The ending of an envelope that the channel cannot apply to the message as it turned out."""
    verdict = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.UNSUPPORTED, raw=why)
    return Ending(Disposition.REJECTED, verdict)


def given_up(delivery: Delivery, because: str = "") -> Ending:
    """The ending of a delivery given up: `unknown` if it may have arrived, else `cancelled`.

    because  why an attempt that is under way is cut off: "the gateway closed"
    """
    step = delivery.step
    under_way = step is not None and step.started
    if step is not None and step.kind != "draft" and (under_way or step.doubtful):
        if under_way:  # whoever tries again makes a copy of it
            begun = getattr(delivery.lane, "begun", 0)
            safe = getattr(delivery.envelope, "repeat_safe", False)
            step.doubt(begun, 0, begun, harmless=safe)
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
    """The ending of a delivery whose deadline passed.

    cause  what it waited for, as its account knows; empty: the delivery's own cause counts
    """
    words = f"its deadline passed while it waited ({cause or delivery.cause})"
    return Ending(Disposition.EXPIRED, delivery.verdict or _verdict(Reason.EXPIRED, words))


def broken_by(error: HookContractError) -> Ending:
    """The ending of an envelope on which a sync hook failed; it names plugin and hook."""
    return Ending(Disposition.CRASHED, _verdict(Reason.HOOK_CONTRACT, str(error)))


def crashed_by(delivery: Delivery, error: Exception) -> Ending:
    """The ending of a delivery that broke its worker once too often."""
    step = delivery.step
    doubtful = step is not None and step.doubtful
    words = words_of(error)
    verdict = _verdict(Reason.CRASHED, words, "unknown" if doubtful else "no")
    return Ending(Disposition.CRASHED, verdict)


def _verdict(reason: Reason, words: str, dispatched: Dispatched = "no") -> Verdict:
    return Verdict(
        error_class=ErrorClass.NON_RETRYABLE, reason=reason, dispatched=dispatched, raw=words
    )
