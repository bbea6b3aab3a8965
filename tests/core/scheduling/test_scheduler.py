"""A lane that met an error of ours is tried again in a moment, and not in the same one."""

from __future__ import annotations

from types import SimpleNamespace

from gateway_core.clock import SECOND
from gateway_core.scheduling.rooms import Lane
from gateway_core.scheduling.scheduler import PAUSE, Scheduler


def test_a_lane_whose_planning_failed_is_planned_again_after_a_pause():
    planned, alarms = [], []

    def plan(delivery, lane, now):
        planned.append(now)
        raise RuntimeError("a mistake of ours")

    scheduler = Scheduler(slots=4, rearm=alarms.append)
    scheduler.serve(plan=plan, start=None, end=None, step_aside=None, crashed=lambda *_: None)
    lane = Lane("lane", None, scheduler, None)
    lane.queue.append(SimpleNamespace(receipt=None))
    now = 7 * SECOND
    scheduler.offer(lane, now)
    assert ([now], [now + PAUSE]) == (planned, alarms)
    assert scheduler.ring(now + PAUSE - 1) is None
    assert [now] == planned
    assert scheduler.ring(now + PAUSE) is None
    assert [now, now + PAUSE] == planned
    assert now + 2 * PAUSE == scheduler.next_alarm()


def test_a_lane_takes_no_more_memory_than_its_fields():
    """There may be as many as rooms: no dictionary, no place for weak references."""
    assert not {"__dict__", "__weakref__"} & set(dir(Lane))
