"""What a durable outbox is told of a step, in the times of the wall clock."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway_core.clock import SECOND
from gateway_core.deliveries.steps import Step
from gateway_core.outboxes import StepRecord
from gateway_core.outboxes.journal import Journal

DELIVERY = SimpleNamespace(id="envelope", envelope=SimpleNamespace(instance_id="bot"))
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


class Shared(Told):
    """One that several processes share."""

    owns = True

    def tenure(self):
        raise NotImplementedError

    def covers(self, _):
        return self.owns


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def journal(told):
    """At a hundred seconds of the run, a thousand of the wall clock."""
    return journal_of(told)


def journal_of(outbox):
    clock = SimpleNamespace(now=lambda: NOW, wall=lambda: WALL)
    return Journal(outbox, clock, None, 60.0)


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


async def test_in_a_shared_outbox_an_attempt_has_a_time_until_which_it_may_arrive():
    shared = Shared()
    await journal_of(shared).starting(DELIVERY, Step("send", 0), NOW)
    assert [WALL + 60.0] == [record.not_before for record in shared.records]


async def test_what_is_cut_off_in_order_has_no_such_time_and_what_has_ended_is_not_told_again():
    shared, over = Shared(), SimpleNamespace(id="over", envelope=DELIVERY.envelope)
    journal = journal_of(shared)
    await journal.starting(DELIVERY, Step("send", 0), NOW)
    await journal.starting(over, Step("send", 0), NOW)
    journal.ended(over, Step("send", 0))
    shared.records.clear()
    journal.cut_off()
    assert [StepRecord(serial=0, number=1, started=True, first_at=WALL)] == shared.records
    journal.cut_off()
    assert 1 == len(shared.records)


async def test_of_an_account_that_may_be_another_s_nothing_is_told():
    shared = Shared()
    journal = journal_of(shared)
    await journal.starting(DELIVERY, Step("send", 0), NOW)
    shared.owns = False
    shared.records.clear()
    journal.cut_off()
    assert [] == shared.records
