"""What a refusal comes to: whether anything that the attempt draws on is closed by it."""

from __future__ import annotations

import pytest

from gateway_core import ErrorClass, Limit, Reason, Scope, Verdict
from gateway_core.authors import BucketReport
from gateway_core.clock import SECOND
from gateway_core.ratelimits.instance_limits import InstanceLimits, RoomGates
from gateway_core.ratelimits.refusals import RefusedAttempt, refuse

EXHAUSTED = BucketReport(bucket="window", limit=5, remaining=0, reset_after=3.0)
SOME_LEFT = BucketReport(bucket="window", limit=5, remaining=2, reset_after=3.0)


@pytest.mark.parametrize(
    ("scope", "report", "closed"),
    [
        (Scope.MESSAGE, EXHAUSTED, True),
        (Scope.MESSAGE, SOME_LEFT, False),
        (Scope.MESSAGE, None, False),
        (Scope.ROOM, None, True),
        (Scope.INSTANCE, None, True),
    ],
)
def test_what_the_verdict_names_or_its_report_exhausts_is_closed(scope, report, closed):
    limits = InstanceLimits("bot", 10)
    drawn = limits.registry.buckets([Limit("window", 5, 10.0, "window")], 0)
    refused = RefusedAttempt(
        operation="send",
        room_id="r",
        thread=None,
        gates=RoomGates(),
        begun=0,
        drawn=drawn,
        names_limits=True,
    )
    verdict = Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.RATE_LIMITED,
        scope=scope,
        buckets=() if report is None else (report,),
    )
    refusal = refuse(limits, refused, verdict, 3.0, SECOND)
    assert (closed, False) == (refusal.closed, refusal.foreseen)
