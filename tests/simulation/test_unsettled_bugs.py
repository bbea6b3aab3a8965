"""Bugs put into idle connections that die, messages that collapse, and the pace after trouble.

The simulation must notice each. Like `test_seeded_bugs.py`, but only in worlds with one of these.
"""

# ruff: noqa: ARG005 - the bugs have the signatures of what they replace

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from itertools import count
from typing import Any

import pytest
from amounts import one_of_three
from simulated.bugs import Bugs
from simulated.drawing import draw

from gateway_core.engine import enqueue
from gateway_core.http import reuse, sockets
from gateway_core.ratelimits import bucket, limit_kinds
from gateway_core.scheduling import scheduler

MOST_WORLDS = 250

connections = CONNECTIONS = Bugs()
bug = BUGS = Bugs()


# -- connections


@connections("was used before")
def what_is_repeated_takes_an_old_connection(patch):
    patch.setattr(sockets, "repeated", ContextVar("never", default=False))


@connections("may be as dead", seen=20114)
def one_dead_connection_is_asked_after_another(patch):
    """The failure of one connection changes nothing for the others."""
    patch.setattr(reuse.Reuse, "ended", lambda self, usage, now, **told: self.unused(usage))


# -- messages that collapse


@bug("had begun|during its call|ended twice|after a call", seen=53)
def what_has_begun_is_superseded(patch):
    whole = enqueue.Enqueuer._collapse

    def collapse(self: Any, delivery: Any, lane: Any, now: int) -> bool:
        for other in (lane.room.collapsing or {}).values():
            other.started = False
        return whole(self, delivery, lane, now)

    patch.setattr(enqueue.Enqueuer, "_collapse", collapse)


@bug("overtakes|out of order", seen=2039)
def the_newer_one_goes_to_the_end(patch):
    """The newer message does not take the place of the older one."""

    def replace(self: Any, old: Any, new: Any, lane: Any, now: int) -> None:
        old.stand_in(None)
        new.stand_in(lane)
        lane.queue.remove(old)
        lane.queue.append(new)
        self._look_again(lane, now)

    patch.setattr(scheduler.Scheduler, "replace", replace)


@bug("replaces it")
def the_older_one_goes_out_as_well(patch):
    patch.setattr(enqueue.Enqueuer, "_collapse", lambda self, *given: False)


# -- the pace


@bug("sends of", seen=457)
def a_pace_comes_back_slowly(patch):
    """After a flood of refusals, an account stays slow for minutes."""
    slow = lambda count, per: per / (count * 100.0)  # noqa: E731 - as short as what it replaces
    patch.setattr(bucket, "growth_of", slow)
    patch.setattr(limit_kinds, "growth_of", slow)


@bug("sends of", seen=608)
def a_strict_room_stays_slow(patch):
    """Answers do not make the gateway forget the room's learned limit."""
    patch.setattr(limit_kinds, "EAGER", 0.0)


# -- each of them is found


def connected() -> Iterator[int]:
    """The seeds of worlds in which connections die."""
    for seed in count():
        setup = draw(seed)
        if setup.wires and any(what in ("cut", "resets") for _, what, *_ in setup.trouble.weather):
            yield seed


def unsettled() -> Iterator[int]:
    """The seeds of worlds in which messages collapse, or rooms always have waiting messages."""
    for seed in count():
        setup = draw(seed)
        if setup.load.collapsed or setup.crowd is not None:
            yield seed


@pytest.mark.parametrize("name", CONNECTIONS)
def test_the_simulation_finds_what_becomes_of_connections(name, monkeypatch):
    CONNECTIONS[name].expect_found(monkeypatch, connected(), MOST_WORLDS)


@pytest.mark.parametrize("name", one_of_three(BUGS))
def test_the_simulation_finds_it(name, monkeypatch):
    BUGS[name].expect_found(monkeypatch, unsettled(), MOST_WORLDS)
