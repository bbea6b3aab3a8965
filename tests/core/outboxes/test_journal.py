"""What a durable outbox is told of a step, in the times of the wall clock."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway_core.clock import SECOND
from gateway_core.deliveries.steps import Step
from gateway_core.outboxes import StepRecord
from gateway_core.outboxes.journal import Journal

DELIVERY = SimpleNamespace(id="envelope")
WALL = 1_000.0
NOW = 100 * SECOND


class Told:
    """An outbox that notes the records."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []

    async def attempt_started(self, _, record):
        self.records.append(record)

    def attempt_ended(self, _, record):
        self.records.append(record)


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def journal(told):
    """At a hundred seconds of the run, a thousand of the wall clock."""
    clock = SimpleNamespace(now=lambda: NOW, wall=lambda: WALL)
    return Journal(told, clock, None)


async def test_the_first_attempt_is_the_first_at_which_the_platform_may_have_it(journal, told):
    await journal.starting(DELIVERY, Step("send", 0), NOW)
    assert [StepRecord(serial=0, number=1, started=True, first_at=WALL)] == told.records


async def test_a_later_attempt_leaves_when_the_platform_may_first_have_had_it(journal, told):
    """What it knows it by it forgets a while after the first, not after the last."""
    step = Step("send", 0)
    step.number, step.first_at = 2, 70 * SECOND
    await journal.starting(DELIVERY, step, NOW)
    assert [StepRecord(serial=0, number=3, started=True, first_at=WALL - 30.0)] == told.records


@pytest.mark.parametrize(("wait", "not_before"), [({}, 0.0), ({"wait": 5.0}, WALL + 5.0)])
def test_after_an_attempt_that_did_not_begin_nothing_waits_unless_told(
    journal, told, wait, not_before
):
    journal.ended(DELIVERY, Step("send", 0), **wait)
    assert [StepRecord(serial=0, not_before=not_before)] == told.records
