"""Whether a failed attempt says that its instance is out of order, so that it spends none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway_core import ErrorClass, Reason, Scope, Verdict
from gateway_core.deliveries.steps import Step
from gateway_core.engine.consequences import _is_out_of_order


@pytest.mark.parametrize(
    ("reason", "is_open", "down_at", "worked_at", "out_of_order"),
    [
        (Reason.UNREACHABLE, False, None, 0, True),  # nothing of the step was seen over there
        (Reason.PLATFORM_ERROR, True, None, 0, True),  # its circuit is open
        (Reason.PLATFORM_ERROR, False, None, 0, False),  # one failure alone may be the step's
        (Reason.PLATFORM_ERROR, False, 5, 3, True),  # again, and nothing has worked since
        (Reason.PLATFORM_ERROR, False, 5, 5, True),
        (Reason.PLATFORM_ERROR, False, 5, 6, False),  # others work: it is the step's
    ],
)
def test_of_an_outage_nothing_is_the_steps(reason, is_open, down_at, worked_at, out_of_order):
    health = SimpleNamespace(open=is_open, worked_at=worked_at, refuted=False)
    step = Step("send", 0)
    if down_at is not None:
        step.meet_outage(down_at, worked_at)
    verdict = Verdict(error_class=ErrorClass.RETRYABLE, reason=reason, scope=Scope.INSTANCE)
    assert out_of_order == _is_out_of_order(step, verdict, health)


@pytest.mark.parametrize(
    ("reason", "out_of_order"), [(Reason.UNREACHABLE, True), (Reason.PLATFORM_ERROR, False)]
)
def test_what_fails_while_probes_succeed_may_be_the_steps(reason, out_of_order):
    """Else a message that alone is refused would hold its room up until its time is over."""
    step, health = Step("send", 0), SimpleNamespace(open=True, worked_at=3, refuted=True)
    step.meet_outage(5, 3)
    verdict = Verdict(error_class=ErrorClass.RETRYABLE, reason=reason, scope=Scope.INSTANCE)
    assert out_of_order == _is_out_of_order(step, verdict, health)
