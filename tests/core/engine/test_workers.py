"""Which attempts have taken too long: those, at their time, and nothing set for each of them."""

from __future__ import annotations

import math
from random import Random
from typing import cast

from gateway_core.clock import NEVER, SECOND
from gateway_core.engine.running_attempt import RunningAttempt
from gateway_core.engine.workers import ROUNDING, Worker, WorkQueue

A_TRY = cast("RunningAttempt", "a try")


def work_queue(seconds: float = 10.0) -> tuple[WorkQueue, list[int]]:
    """A work queue, and when its alarm was set each time that it was."""
    alarms: list[int] = []
    return WorkQueue(seconds, alarms.append, lambda: None), alarms


def broken_off(*workers: Worker) -> list[bool]:
    return [worker.broken_off for worker in workers]


def test_only_the_first_attempt_sets_the_alarm():
    hands, alarms = work_queue()
    one, other = hands.join(), hands.join()
    for second in range(9):
        hands.begins(one, A_TRY, second * SECOND)
        one.ends()
        hands.begins(other, A_TRY, second * SECOND + 1)
    assert ([10 * SECOND], 10 * SECOND, 2) == (alarms, hands.look_at, len(hands))


def test_what_has_ended_is_not_broken_off_and_the_alarm_goes_on_to_who_is_at_work():
    hands, alarms = work_queue()
    ended, newer, idle = hands.join(), hands.join(), hands.join()
    hands.begins(ended, A_TRY, 0)
    hands.begins(newer, A_TRY, 3 * SECOND)
    ended.ends()
    hands.look(10 * SECOND)
    assert [False, False, False] == broken_off(ended, newer, idle)
    assert 13 * SECOND == hands.look_at
    hands.look(13 * SECOND)
    assert [False, True, False] == broken_off(ended, newer, idle)
    assert (NEVER, [10 * SECOND]) == (hands.look_at, alarms)
    hands.begins(ended, A_TRY, 20 * SECOND)
    assert [10 * SECOND, 30 * SECOND] == alarms


def test_nothing_is_broken_off_before_its_time_or_twice():
    hands, _ = work_queue()
    worker = hands.join()
    hands.begins(worker, A_TRY, 0)
    hands.look(10 * SECOND - ROUNDING - 1)
    assert [False] == broken_off(worker)
    hands.look(10 * SECOND - ROUNDING)  # a clock that has run for years may be late by as much
    assert [True] == broken_off(worker)
    assert NEVER == worker.due == hands.look_at


def test_a_disbanded_queue_rings_for_nobody():
    hands, _ = work_queue()
    worker = hands.join()
    hands.begins(worker, A_TRY, 0)
    hands.disband()
    hands.look(20 * SECOND)
    assert (NEVER, 0, [False]) == (hands.look_at, len(hands), broken_off(worker))


def test_attempts_may_take_for_ever():
    for seconds in (math.inf, 1e300):
        hands, alarms = work_queue(seconds)
        hands.begins(hands.join(), A_TRY, 0)
        assert all(SECOND * 1_000_000_000 <= at < NEVER for at in alarms)


def test_as_a_deadline_of_each_attempt_would():
    """Random beginnings and ends: broken off is whoever is at work at its own deadline."""
    for seed in range(50):
        random = Random(seed)
        hands, alarms = work_queue(5.0)
        workers = [hands.join() for _ in range(6)]
        due: dict[Worker, int] = {}
        for now in range(0, 60 * SECOND, SECOND // 4):
            expected = {worker for worker, at in due.items() if at <= now}
            if alarms and hands.look_at <= now:
                hands.look(now)
            assert expected == {worker for worker in due if worker.broken_off}
            for worker in expected:
                del due[worker]
                workers[workers.index(worker)] = hands.join()
            for worker in workers:
                if worker in due and random.random() < 0.1:
                    worker.ends()
                    del due[worker]
                elif worker not in due and random.random() < 0.2:
                    hands.begins(worker, A_TRY, now)
                    due[worker] = now + 5 * SECOND
