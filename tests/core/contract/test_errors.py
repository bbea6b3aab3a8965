"""The exceptions: what applications do with them beside catching them."""

import copy
import pickle
import traceback

import attrs
import pytest

import gateway_core
from gateway_core import (
    AmbiguousEvent,
    ConfigError,
    DeadlinePassed,
    DeliveryError,
    Disposition,
    EndingsForgotten,
    ErrorClass,
    FormatVersionError,
    GatewayClosed,
    GatewayError,
    GroupTooLong,
    HookContractError,
    IdempotencyConflict,
    InstanceSourceError,
    InstanceSuspended,
    Invalid,
    NotServing,
    OutboxError,
    Overloaded,
    PartitionFailed,
    PluginError,
    ProbeFailed,
    Problem,
    Reason,
    Receipt,
    Refused,
    UnknownEvent,
    UnknownInstance,
    Verdict,
    authors,
    outboxes,
)
from gateway_core.authors import AttemptTimeout, TransportError, UnreadableSource
from gateway_core.http import UnreadableBody
from gateway_core.outboxes import BytesLost, OutboxForbidden, RequestWithdrawn

PROBLEMS = [Problem("text", "is empty"), Problem("ttl", "must be a number")]
VERDICT = Verdict(error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, raw="no")
RECEIPT = Receipt(
    envelope_id="01",
    instance_id="bot",
    external_room_id="room",
    disposition=Disposition.EXPIRED,
    accepted_at=1.0,
    ended_at=2.0,
)
EVERY = [
    AmbiguousEvent(instances=("bot", "other")),
    AttemptTimeout(3.0),
    BytesLost("x"),
    ConfigError(PROBLEMS),
    DeadlinePassed(bound_of="room", waited=60.0),
    DeliveryError(RECEIPT),
    EndingsForgotten("outbox.7", "the history does not reach back that far"),
    FormatVersionError("99"),
    GatewayClosed(kept=True),
    GatewayError("x"),
    GroupTooLong(
        instance_id="bot",
        members=9,
        attempts=9,
        bucket="bot",
        rate=1.0,
        seconds=9.0,
        ttl=5.0,
    ),
    HookContractError(hook="send", plugin="post", text="x"),
    IdempotencyConflict(key="k", envelope_id="01"),
    InstanceSourceError(instance_id="bot", why="it raised KeyError"),
    InstanceSuspended(instance_id="bot", why="no"),
    Invalid(PROBLEMS),
    NotServing(what="suspend"),
    OutboxError("x"),
    OutboxForbidden("x"),
    Overloaded(bound_of="room", pressure="high", depth=9, bound=10, retry_in=1.5),
    PartitionFailed("x"),
    PluginError(PROBLEMS),
    ProbeFailed(instance_id="bot", verdict=VERDICT),
    RequestWithdrawn("x"),
    Refused("x"),
    TransportError("x", dispatched="no"),
    UnknownEvent(instances=("bot",)),
    UnknownInstance(PROBLEMS),
    UnreadableBody("x", status=200),
    UnreadableSource("x", dispatched="no"),
]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_an_exception_is_pickled_and_copied_with_all_that_it_says(error):
    """Workers of other processes hand them on, and so do libraries that keep a failure."""
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - its own
        assert type(error) is type(other)
        assert (str(error), error.args, vars(error)) == (str(other), other.args, vars(other))


def test_every_public_exception_is_among_them():
    doors = (gateway_core, authors, outboxes)
    public = [getattr(door, name) for door in doors for name in door.__all__]
    raised = {t for t in public if isinstance(t, type) and issubclass(t, GatewayError)}
    assert raised | {UnreadableBody} == {type(error) for error in EVERY}


def test_a_delivery_error_has_the_reason_of_its_verdict():
    """An envelope that was cancelled or expired may have ended without an error."""
    assert "unauthorized" == DeliveryError(attrs.evolve(RECEIPT, verdict=VERDICT)).reason
    assert DeliveryError(RECEIPT).reason is None


MEAN = "\x1b[31m\x9b31m\u202e\ud800\x00 no\n2026-11-28 [error] gateway.token is\r"
SAID = Verdict(error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, raw=MEAN)
OF_OTHERS = [
    ConfigError([Problem(MEAN, MEAN)]),
    DeliveryError(attrs.evolve(RECEIPT, verdict=SAID)),
    FormatVersionError(MEAN),
    HookContractError(hook="send", plugin=MEAN, text=MEAN),
    InstanceSuspended(instance_id="bot", why=MEAN),
    Invalid([Problem("text", MEAN)]),
    OutboxError(MEAN),
    ProbeFailed(instance_id="bot", verdict=SAID),
    TransportError(MEAN, dispatched="no"),
    UnreadableBody(MEAN, status=200),
]


@pytest.mark.parametrize("error", OF_OTHERS, ids=lambda error: type(error).__name__)
def test_a_terminal_that_shows_an_exception_obeys_nobody(error):
    """Python prints what nobody catches as it is: the words may be a platform's."""
    assert str(error).isprintable()
    assert r"\x1b[31m\x9b31m\u202e" in str(error)
    assert " no 2026-11-28 [error] gateway.token is" in str(error)
    shown = "".join(traceback.format_exception(error))
    assert shown.replace("\n", "").isprintable()
    assert 1 == shown.count("\n")


def test_a_verdict_shows_on_one_line_and_keeps_what_was_said():
    assert str(SAID).isprintable()
    assert SAID.raw.startswith("\x1b[31m")
