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
    rest = dict.fromkeys(("start", "end", "step_aside", "plan_long"))
    scheduler.serve(plan=plan, **rest, crashed=lambda *_: None)
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


def test_after_a_death_only_lanes_whose_alarm_may_have_rung_are_planned_again():
    """One in its pause, one in doubt and one whose attempt was under way wait as they did."""
    planned = []

    def plan(delivery, lane, now):
        planned.append(lane.key)
        raise RuntimeError("a mistake of ours")

    scheduler = Scheduler(slots=4, rearm=lambda _: None)
    rest = dict.fromkeys(("start", "end", "step_aside", "plan_long"))
    scheduler.serve(plan=plan, **rest, crashed=lambda *_: None)
    account = SimpleNamespace(instance=SimpleNamespace(id="bot"), addresses={})
    room = scheduler.room(account, "r")
    for key in ("lost", "paused", "in doubt", "running"):
        lane = room.lanes[key] = Lane(key, None, room, scheduler)
        lane.queue.append(SimpleNamespace(receipt=None))
    scheduler.pause(room.lanes["paused"], 9 * SECOND)
    room.lanes["in doubt"].doubt = room.lanes["running"].running = True
    assert [room.lanes["running"]] == scheduler.revive(7 * SECOND)
    assert ["lost"] == planned
