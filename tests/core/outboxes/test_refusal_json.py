"""What one process raised another one raises, from its JSON."""

import json

import pytest

from gateway_core import (
    ConfigError,
    DeadlinePassed,
    GatewayClosed,
    GroupTooLong,
    HookContractError,
    IdempotencyConflict,
    InstanceSuspended,
    Invalid,
    OutboxError,
    Overloaded,
    Problem,
    Refused,
    UnknownInstance,
)
from gateway_core.outboxes.refusals import refusal_json, refusal_of

TOO_LONG = {
    "instance_id": "bot", "members": 2, "attempts": 2, "bucket": "b", "rate": 0.5, "seconds": 4.0,
    "ttl": 1.0,
}  # fmt: skip
OVERLOADED = {
    "bound_of": "room r", "pressure": "high", "depth": 3, "bound": 3, "retry_in": 1.5,
}  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [
        Invalid([Problem("text", "is empty"), Problem("", 'of "all"')]),
        UnknownInstance([Problem("instance_id", "is not there")]),
        ConfigError([Problem("instances.bot", "is wrong")]),
        IdempotencyConflict(key="k", envelope_id="0" * 30),
        InstanceSuspended(instance_id="bot", why="its token"),
        DeadlinePassed(bound_of="the outbox", waited=2.0),
        GroupTooLong(**TOO_LONG),
        Overloaded(**OVERLOADED),
        HookContractError(hook="chunk", plugin="fake", text="gave no parts"),
        OutboxError("cannot write"),
        GatewayClosed("it has closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_again(error):
    again = refusal_of(refusal_json(error))
    assert (type(error), str(error), vars(error)) == (type(again), str(again), vars(again))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps({"kind": "OfALaterRelease", "text": "no"}), "no"),
        (json.dumps({"kind": "Invalid", "text": "no"}), "no"),
        ("nothing that is JSON", "nothing that is JSON"),
    ],
)
def test_what_this_release_does_not_know_is_a_refusal_all_the_same(text, words):
    again = refusal_of(text)
    assert (Refused, words) == (type(again), str(again))
