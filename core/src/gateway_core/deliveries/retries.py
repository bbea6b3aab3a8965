"""Decides what follows from a verdict: try again, change something, give up. Sans-I/O."""

from __future__ import annotations

from random import Random
from typing import Literal

import attrs

from gateway_core.backoff import Backoff
from gateway_core.contract.envelopes import Disposition
from gateway_core.contract.problems import CheckedSettings
from gateway_core.contract.validators import (
    all_of,
    at_least,
    at_most,
    is_whole,
    number,
    whole,
)
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict
from gateway_core.deliveries.steps import Step

MOST_TRANSFORMS = 3
LONGEST_WAIT = 86_400.0
FRUITLESS = 2
MOST_PATIENCE = 10.0
"""After `FRUITLESS` refusals in a row the lane waits for a backoff, if that is longer than the
platform's retry-after; this is the longest such backoff, in seconds."""


COPIES = 2
"""The default of `max_ambiguous`, if at least as many `attempts` are allowed."""


def _copies(attempts: object) -> int:
    return attempts if is_whole(attempts) and 0 < attempts < COPIES else COPIES


@attrs.frozen(kw_only=True)
class RetrySettings(CheckedSettings):
    """How often and how long a step is tried.

    attempts       most attempts at a step, not counting those refused by a rate limit
    base, cap      seconds: exponential backoff with full jitter between them
    max_ambiguous  most attempts at one part whose outcome is unknown; if repeating is not safe, it
                   ends after them, even if `attempts` are left
    quarantine     seconds after an unknown outcome before anything follows in that lane
    arrival        seconds after its begin within which an attempt may arrive though its process was
                   killed; in a shared outbox, the next owner sends nothing else in the room before
    """

    attempts: int = attrs.field(default=6, validator=whole(least=1))
    base: float = attrs.field(default=0.5, validator=number(above=0))
    cap: float = attrs.field(default=60.0, validator=all_of(number(above=0), at_least("base")))
    max_ambiguous: int = attrs.field(
        default=attrs.Factory(lambda self: _copies(self.attempts), takes_self=True),
        validator=all_of(whole(least=1), at_most("attempts")),
    )
    quarantine: float = attrs.field(default=2.0, validator=number(least=0))
    arrival: float = attrs.field(default=90.0, validator=number(least=0, most=3600.0))

    @property
    def backoff(self) -> Backoff:
        """The wait between attempts."""
        return Backoff(base=self.base, cap=self.cap)


Kind = Literal[
    "acknowledged",  # it is there after all
    "retry",         # the same again, `wait` seconds from now
    "closed",        # the limit of the verdict's scope is closed; the attempt does not count
    "recover",       # the same again once the instance works, not before `wait`; see `patience`
    "transform",     # plan the part anew
    "without_files", # the files are refused for good: the text goes alone
    "moved",         # the room has a new address: the same again there
    "suspend",       # the instance is out of order: the envelope waits for it
    "unknown",       # the outcome stays unknown, with no retry: the next part follows
    "end",           # the envelope ends with `disposition`
]  # fmt: skip


@attrs.frozen
class Decision:
    """What to do next about a step.

    wait      seconds; for `closed`: how long the limit that the verdict names is closed
    patience  seconds that the lane itself waits, if its step is refused again and again; for
              `recover`: after which the step is tried even if nothing has worked meanwhile
    """

    kind: Kind
    wait: float = 0.0
    disposition: Disposition | None = None
    patience: float = 0.0


def decide(  # noqa: PLR0911 - a decision table, one return a row
    verdict: Verdict,
    step: Step,
    *,
    settings: RetrySettings,
    repeat_safe: bool,
    outage: bool = False,
    give_up_unknown: bool,
    text_alone: bool = False,
    left: float,
    rng: Random,
) -> Decision:
    """What follows from `verdict`, `left` seconds before the deadline; `step` has counted it.

    outage      the instance is out of order, and a repeat does no harm
    text_alone  if the step's files are refused, its text is sent without them
    """
    if text_alone and _refuses_files(verdict):
        return Decision("without_files")
    match verdict.error_class:
        case ErrorClass.DONE:
            return Decision("acknowledged")
        case ErrorClass.NON_RETRYABLE if verdict.transform is None:
            return _refused(verdict, settings)
        case ErrorClass.FATAL:
            suspends = verdict.scope is Scope.INSTANCE
            return Decision("suspend") if suspends else _end(Disposition.FATAL)
    if verdict.transform is not None or verdict.reason is Reason.ROOM_MOVED:
        return _change(verdict, step)
    wait = _wait(verdict, step, settings, rng)
    if verdict.reason is Reason.RATE_LIMITED and verdict.dispatched == "no":
        patience = _patience(verdict, step, settings, rng)
        return _unless_late(Decision("closed", wait, patience=patience), left)
    if verdict.dispatched == "unknown" and not repeat_safe:
        return _ambiguous(step, settings, wait, give_up=give_up_unknown, left=left)
    if outage and step.outages > 1:  # one failure alone may be nothing
        told = min(verdict.retry_after or 0.0, wait)
        return _unless_late(_recover(step, settings, told, wait, rng), left)
    if step.attempts >= settings.attempts:
        return _end(Disposition.EXHAUSTED)
    return _unless_late(Decision("retry", wait), left)


def _refused(verdict: Verdict, settings: RetrySettings) -> Decision:
    """Another attempt would not help, or would make a copy of what may have arrived."""
    if verdict.reason is Reason.OUTCOME_UNKNOWN and verdict.dispatched == "unknown":
        return Decision("unknown", settings.quarantine)
    broken = verdict.reason is Reason.HOOK_CONTRACT
    return _end(Disposition.CRASHED if broken else Disposition.REJECTED)


def _refuses_files(verdict: Verdict) -> bool:
    """Whether no further attempt with the files succeeds, and one without them may."""
    if not verdict.files_refused or verdict.transform is not None:
        return False
    fatal = verdict.error_class is ErrorClass.FATAL and verdict.scope is not Scope.INSTANCE
    return fatal or verdict.error_class is ErrorClass.NON_RETRYABLE


def _change(verdict: Verdict, step: Step) -> Decision:
    lost = verdict.transform is None and verdict.moved_to is None
    if lost or step.transforms >= MOST_TRANSFORMS:
        return _end(Disposition.REJECTED)
    return Decision("moved" if verdict.transform is None else "transform")


def _recover(
    step: Step, settings: RetrySettings, told: float, wait: float, rng: Random
) -> Decision:
    """Once the instance works; if it works for all but this step, the step is tried more seldom."""
    if step.alone:
        told = max(told, settings.backoff.delay(step.alone, rng=rng))
    return Decision("recover", told, patience=max(told, wait))


def _ambiguous(
    step: Step, settings: RetrySettings, wait: float, *, give_up: bool, left: float
) -> Decision:
    """The part may have arrived: repeat it only up to `max_ambiguous`, once the instance works."""
    copies, wait = step.maybe_sent, max(wait, settings.quarantine)
    spent = copies >= settings.max_ambiguous or step.attempts >= settings.attempts
    if give_up or spent or _is_late(wait, left):
        return Decision("unknown", settings.quarantine)
    return Decision("recover", wait)


def _wait(verdict: Verdict, step: Step, settings: RetrySettings, rng: Random) -> float:
    """The platform's retry-after if there is one, else a jittered backoff."""
    if verdict.retry_after is not None and verdict.retry_after >= 0:
        return min(verdict.retry_after, LONGEST_WAIT)
    return settings.backoff.delay(max(1, step.attempts, step.refusals, step.outages), rng=rng)


def _patience(verdict: Verdict, step: Step, settings: RetrySettings, rng: Random) -> float:
    """How long the lane waits if retry-after has not helped: its step was refused repeatedly."""
    if verdict.retry_after is None or step.refusals < FRUITLESS:
        return 0.0
    return min(MOST_PATIENCE, settings.backoff.delay(step.refusals - 1, rng=rng))


def _unless_late(decision: Decision, left: float) -> Decision:
    """A wait beyond the deadline ends the envelope at once, and so does a deadline of now."""
    late = _is_late(decision.wait, left)
    return Decision("end", decision.wait, Disposition.EXPIRED) if late else decision


def _is_late(wait: float, left: float) -> bool:
    return wait > left or left <= 0


def _end(disposition: Disposition) -> Decision:
    return Decision("end", disposition=disposition)
