"""Bugs put into the recovery from outages, refusals and lies: the simulation must notice each.

Like `test_seeded_bugs.py`, but only in worlds in which something happens to a platform for a while.
"""

# ruff: noqa: ARG005 - the bugs have the signatures of what they replace

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from amounts import one_of_three
from simulated.bugs import Bugs
from simulated.drawing import draw

from gateway_core.accounts.health import Health
from gateway_core.backoff import Backoff
from gateway_core.engine import consequences
from gateway_core.http import foreign
from gateway_core.ratelimits import instance_limits, trial

MOST_WORLDS = 250

bug = BUGS = Bugs()


@bug("exhausted after", seen=26)
def an_outage_spends_tries(patch):
    patch.setattr(consequences, "_is_out_of_order", lambda step, verdict, health: False)


@bug("did not end|not served|stays suspended|ends expired|closed whole|sends of", seen=131)
def a_closure_is_believed_for_as_long_as_it_says(patch):
    patch.setattr(instance_limits, "LONGEST_BELIEVED", 10**18)
    patch.setattr(trial, "LONGEST_BELIEVED", 10**18)
    patch.setattr(consequences, "LONGEST_BELIEVED", 10**18)


@bug("did not end|not served|ends expired|never done|sends of", seen=732)
def what_is_doubted_is_never_asked(patch):
    whole = trial.Trial.guess

    def guess(self: Any, until: int, now: int) -> None:
        whole(self, until, now)
        self.gate.closed_until = 10**18

    patch.setattr(trial.Trial, "guess", guess)


@bug("as somebody else said")
def a_page_of_somebody_else_ends_messages(patch):
    patch.setattr(foreign, "_TOO_LARGE", (403, 413, 414))


@bug("did not end|not served|stays suspended|ends expired|never done|sends of", seen=33)
def probes_come_once_an_hour(patch):
    patch.setattr(Health, "backoff", property(lambda self: Backoff(base=3600.0, cap=3600.0)))


@bug("whatever a probe says", seen=2)
def a_probe_is_believed_although_all_attempts_fail(patch):
    """A platform that answers who it is, and takes no message, costs each message its attempts."""
    whole = Health.failed

    def failed(self: Any, verdict: Any, now: int) -> bool:
        opened = whole(self, verdict, now)
        self.refuted = False
        return opened

    patch.setattr(Health, "failed", failed)


@bug("did not end|not served|ends expired|never done|nobody uses|sends of", seen=35)
def nobody_is_told_that_it_works_again(patch):
    patch.setattr(Health, "_let_go", lambda self, now, most=None: None)


def stormy() -> Iterator[int]:
    """The seeds of worlds in which something happens to a platform for a while."""
    return (seed for seed in count() if draw(seed).trouble.weather)


@pytest.mark.parametrize("name", one_of_three(BUGS))
def test_the_simulation_finds_it(name, monkeypatch):
    BUGS[name].expect_found(monkeypatch, stormy(), MOST_WORLDS)
