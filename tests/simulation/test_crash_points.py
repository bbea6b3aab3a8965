"""Kills one small world at its awaits: here at some of them, in `bench.simulate` at all."""

from __future__ import annotations

from random import Random

import pytest
from amounts import amount
from simulated.scenario import ALL_TOLD, count_points, killed_at

KILLS = amount("kills at an await")
PAIRS = amount("pairs of kills")


@pytest.fixture(scope="module")
def points():
    """The number of awaits in the first life."""
    return count_points()


def test_there_are_many_awaits(points):
    assert points > 200


def test_killed_at_an_await_nothing_is_lost_doubled_or_out_of_order(points):
    for point in range(1, points, points // KILLS):
        outcome = killed_at(point)
        assert outcome.kills == 1
        # an edit whose caller heard nothing is handed over again, and may supersede the first one
        assert {"delivered"} == set(outcome.ended) - {"unknown", "superseded"}
        assert any(ALL_TOLD in line for line in outcome.trace)


def test_killed_twice(points):
    """The second life is killed as well: while it opens, while it goes on, or later."""
    rng = Random("pairs")
    for _ in range(PAIRS):
        outcome = killed_at(rng.randrange(points), rng.randrange(points // 2))
        assert outcome.kills == 2
        assert any(ALL_TOLD in line for line in outcome.trace)
