"""What follows from a verdict: the decision table, row by row."""

from random import Random

import pytest

from gateway_core import Disposition, ErrorClass, Reason, RetrySettings, Scope, Verdict
from gateway_core.deliveries.retries import (
    LONGEST_WAIT,
    MOST_PATIENCE,
    MOST_TRANSFORMS,
    Decision,
    decide,
)
from gateway_core.deliveries.steps import Step

RETRYABLE, REJECTED = ErrorClass.RETRYABLE, ErrorClass.NON_RETRYABLE


def verdict(error_class=RETRYABLE, reason=Reason.PLATFORM_ERROR, **fields):
    return Verdict(error_class=error_class, reason=reason, **fields)


def decided(said, *, attempts=1, refusals=0, maybe_sent=0, transforms=0, left=3600.0, **given):
    """The decision about a step of so many tries, an hour before its deadline."""
    step = Step("send", 0)
    step.refusals = refusals
    step.attempts, step.maybe_sent, step.transforms = attempts, maybe_sent, transforms
    given.setdefault("settings", RetrySettings())
    given.setdefault("repeat_safe", False)
    given.setdefault("give_up_unknown", False)
    return decide(said, step, left=left, rng=Random("jitter"), **given)


def ended(disposition, wait=0.0):
    return Decision("end", wait, disposition)


def jitter(ceiling):
    return Random("jitter").random() * ceiling


# -- what ends at once, whatever the counts


@pytest.mark.parametrize(
    ("said", "decision"),
    [
        (verdict(ErrorClass.DONE, Reason.NOT_MODIFIED), Decision("acknowledged")),
        (verdict(REJECTED, Reason.FORBIDDEN), ended(Disposition.REJECTED)),
        (verdict(REJECTED, Reason.ROOM_GONE, scope=Scope.ROOM), ended(Disposition.REJECTED)),
        (verdict(REJECTED, Reason.HOOK_CONTRACT), ended(Disposition.CRASHED)),
        (verdict(ErrorClass.FATAL, Reason.UNAUTHORIZED), ended(Disposition.FATAL)),
        (
            verdict(ErrorClass.FATAL, Reason.UNAUTHORIZED, scope=Scope.ROOM),
            ended(Disposition.FATAL),
        ),
        (
            verdict(ErrorClass.FATAL, Reason.UNAUTHORIZED, scope=Scope.INSTANCE),
            Decision("suspend"),
        ),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("dispatched", ["no", "unknown"])
def test_a_class_decides_whether_or_not_it_was_dispatched(said, decision, dispatched):
    said = Verdict(
        error_class=said.error_class, reason=said.reason, scope=said.scope, dispatched=dispatched
    )
    assert decision == decided(said, attempts=99, left=0.0)


# -- tried again


def test_a_retryable_failure_is_tried_again_after_a_jittered_backoff():
    """After three tries: between 0 and 0.5 * 2 * 2 = 2 seconds."""
    assert Decision("retry", jitter(2.0)) == decided(verdict(), attempts=3)


def test_retry_after_wins_over_the_backoff():
    assert Decision("retry", 30.0) == decided(verdict(retry_after=30.0))
    assert Decision("retry", 0.0) == decided(verdict(retry_after=0.0), attempts=5)


@pytest.mark.parametrize("nonsense", [-1.0, float("-inf"), float("nan")])
def test_a_retry_after_that_is_no_time_leaves_the_backoff(nonsense):
    assert Decision("retry", jitter(0.5)) == decided(verdict(retry_after=nonsense))


@pytest.mark.parametrize("endless", [1e9, float("inf")])
def test_a_retry_after_is_a_day_at_the_most(endless):
    decision = decided(verdict(retry_after=endless), left=2 * LONGEST_WAIT)
    assert Decision("retry", 86_400.0) == decision


def test_the_last_try_ends_it_exhausted():
    settings = RetrySettings(attempts=3)
    assert "retry" == decided(verdict(), attempts=2, settings=settings).kind
    assert ended(Disposition.EXHAUSTED) == decided(verdict(), attempts=3, settings=settings)


def test_a_wait_up_to_the_deadline_is_waited():
    assert Decision("retry", 10.0) == decided(verdict(retry_after=10.0), left=10.0)


def test_a_wait_beyond_the_deadline_ends_it_at_once_and_says_how_long_it_was():
    decision = decided(verdict(retry_after=10.0), left=9.9)
    assert ended(Disposition.EXPIRED, wait=10.0) == decision


# -- rate limits


def test_a_rate_limit_closes_and_spends_no_try():
    limited = verdict(reason=Reason.RATE_LIMITED, retry_after=7.0)
    assert Decision("closed", 7.0) == decided(limited, attempts=99)


def test_a_rate_limit_without_a_time_waits_by_the_backoff():
    limited = verdict(reason=Reason.RATE_LIMITED)
    assert Decision("closed", jitter(0.5)) == decided(limited, attempts=0)
    assert Decision("closed", jitter(2.0)) == decided(limited, attempts=0, refusals=3)


@pytest.mark.parametrize(
    ("refusals", "patience"), [(1, 0.0), (2, jitter(0.5)), (4, jitter(2.0)), (9, MOST_PATIENCE)]
)
def test_who_is_refused_again_and_again_does_not_rely_on_retry_after(refusals, patience):
    """What the verdict names is closed as long as it says; the lane itself stays away longer."""
    limited = verdict(reason=Reason.RATE_LIMITED, retry_after=0.0)
    assert Decision("closed", 0.0, patience=patience) == decided(limited, refusals=refusals)


def test_a_rate_limit_beyond_the_deadline_ends_it():
    limited = verdict(reason=Reason.RATE_LIMITED, retry_after=60.0)
    assert ended(Disposition.EXPIRED, wait=60.0) == decided(limited, left=59.0)


def test_a_rate_limit_that_may_have_been_dispatched_is_an_unknown_outcome():
    limited = verdict(reason=Reason.RATE_LIMITED, retry_after=7.0, dispatched="unknown")
    assert Decision("recover", 7.0) == decided(limited)


# -- unknown outcomes


UNKNOWN = verdict(reason=Reason.OUTCOME_UNKNOWN, dispatched="unknown")


def test_what_is_safe_to_repeat_is_simply_tried_again():
    assert Decision("retry", jitter(0.5)) == decided(UNKNOWN, repeat_safe=True, maybe_sent=9)


def test_an_unknown_outcome_waits_for_the_instance_and_the_quarantine():
    """The backoff of the first try is at most half a second, the quarantine two."""
    assert Decision("recover", 2.0) == decided(UNKNOWN, maybe_sent=1)


def test_a_backoff_longer_than_the_quarantine_is_waited():
    settings = RetrySettings(quarantine=0.0)
    decision = decided(UNKNOWN, attempts=3, maybe_sent=1, settings=settings)
    assert Decision("recover", jitter(2.0)) == decision


def test_who_gives_up_the_unknown_gets_no_second_try():
    assert Decision("unknown", 2.0) == decided(UNKNOWN, maybe_sent=1, give_up_unknown=True)


def test_giving_up_the_unknown_leaves_what_is_safe_to_repeat():
    assert "retry" == decided(UNKNOWN, repeat_safe=True, give_up_unknown=True).kind


def test_no_more_copies_than_allowed_may_have_arrived():
    assert Decision("recover", 2.0) == decided(UNKNOWN, attempts=2, maybe_sent=1)
    assert Decision("unknown", 2.0) == decided(UNKNOWN, attempts=2, maybe_sent=2)


def test_unknown_after_the_last_try_stays_unknown():
    settings = RetrySettings(attempts=2, max_ambiguous=2)
    decision = decided(UNKNOWN, attempts=2, maybe_sent=1, settings=settings)
    assert Decision("unknown", 2.0) == decision


def test_unknown_with_no_time_left_for_another_try_stays_unknown():
    assert Decision("recover", 2.0) == decided(UNKNOWN, maybe_sent=1, left=2.0)
    assert Decision("unknown", 2.0) == decided(UNKNOWN, maybe_sent=1, left=1.9)


@pytest.mark.parametrize("repeat_safe", [True, False])
def test_an_unknown_outcome_that_is_not_to_be_repeated_stays_unknown(repeat_safe):
    """The platform took it, and has not shown it: it may still come."""
    taken = verdict(REJECTED, Reason.OUTCOME_UNKNOWN, dispatched="unknown", files_refused=True)
    assert Decision("unknown", 2.0) == decided(taken, repeat_safe=repeat_safe)
    assert "without_files" == decided(taken, text_alone=True).kind
    certain = verdict(REJECTED, Reason.OUTCOME_UNKNOWN)
    assert Disposition.REJECTED is decided(certain).disposition


# -- changes


@pytest.mark.parametrize("change", ["stricter", "plain", "without_reply"])
@pytest.mark.parametrize("error_class", [RETRYABLE, REJECTED])
def test_a_transform_is_made_before_the_part_is_tried_again(error_class, change):
    said = verdict(error_class, Reason.BAD_REQUEST, transform=change)
    assert Decision("transform") == decided(said)


def test_transforms_are_bounded():
    said = verdict(REJECTED, Reason.TOO_LONG, transform="stricter")
    assert Decision("transform") == decided(said, transforms=MOST_TRANSFORMS - 1)
    assert ended(Disposition.REJECTED) == decided(said, transforms=MOST_TRANSFORMS)


def test_a_moved_room_is_tried_at_its_new_address():
    said = verdict(reason=Reason.ROOM_MOVED, moved_to="-100")
    assert Decision("moved") == decided(said, attempts=99)


def test_a_room_that_moves_on_and_on_is_given_up():
    said = verdict(reason=Reason.ROOM_MOVED, moved_to="-100")
    assert ended(Disposition.REJECTED) == decided(said, transforms=MOST_TRANSFORMS)


def test_a_room_that_moved_nobody_says_where_is_refused():
    assert ended(Disposition.REJECTED) == decided(verdict(reason=Reason.ROOM_MOVED))


# -- the settings


def test_the_backoff_is_the_settings_own():
    settings = RetrySettings(base=10.0, cap=15.0)
    assert Decision("retry", jitter(15.0)) == decided(verdict(), attempts=2, settings=settings)


def test_a_failure_before_the_first_counted_try_waits_like_the_first():
    assert Decision("retry", jitter(0.5)) == decided(verdict(), attempts=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("attempts", 0), ("base", 0), ("cap", 0), ("max_ambiguous", 0), ("quarantine", -1)],
)
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        RetrySettings(**{field: value})


def test_every_wait_may_be_shorter_than_a_second():
    assert 0.25 == RetrySettings(base=0.01, cap=0.25).backoff.ceiling(20)


def test_the_second_failure_of_an_outage_waits_until_it_works():
    """One alone may be nothing: it is tried again after its backoff."""
    step, does = Step("send", 0), []
    for failure in range(2):
        step.spend()
        step.meet_outage(failure, -1)
        decision = decide(
            verdict(dispatched="no"),
            step,
            left=3600.0,
            rng=Random("jitter"),
            settings=RetrySettings(),
            repeat_safe=True,
            give_up_unknown=False,
            outage=True,
        )
        does.append(decision.kind)
    assert ["retry", "recover"] == does


@pytest.mark.parametrize("quarantine", [0.0, 2.0])
def test_no_attempt_follows_at_the_deadline_itself(quarantine):
    """Nothing else would end the envelope: its alarm rang during the attempt."""
    settings = RetrySettings(quarantine=quarantine)
    assert "unknown" == decided(UNKNOWN, maybe_sent=1, left=0.0, settings=settings).kind
    at_once = decided(verdict(retry_after=0.0), left=0.0, settings=settings)
    assert Disposition.EXPIRED is at_once.disposition
