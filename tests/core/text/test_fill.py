"""The furthest place whose cost is within the limit, and how often is asked for it."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.text.fill import furthest

steps = st.lists(st.sampled_from([0, 1, 1, 1, 2, 7, 90]), min_size=1, max_size=400)


def asked(costs: list[int], limit: int, guess: int) -> tuple[int, int]:
    """The place, and the number of questions."""
    places: list[int] = []

    def cost(place: int) -> int:
        places.append(place)
        return costs[place]

    found = furthest(cost, limit, 0, len(costs) - 1, guess)
    return found, len(places)


@given(steps, st.integers(0, 3_000), st.integers(1, 500))
def test_it_is_what_a_search_finds(sizes, limit, guess):
    costs = [0, *accumulate(sizes)]
    expected = max(place for place, cost in enumerate(costs) if cost <= limit)
    assert expected == asked(costs, limit, guess)[0]


@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ([1] * 100_000, 3),
        ([2] * 100_000, 4),
        ([1, 2] * 50_000, 6),
        ([1] * 3_000 + [1_000] * 90_000, 27),
        ([0] * 50_000 + [5_000] * 50_000, 40),
    ],
)
def test_even_costs_are_asked_for_a_few_times_and_leaps_not_much_oftener(sizes, most):
    """A search by halves alone would ask 12 times for 4,000 places, and 17 for 100,000."""
    costs = [0, *accumulate(sizes)]
    found, questions = asked(costs, 4_000, 4_000)
    assert costs[found] <= 4_000 < costs[found + 1]
    assert questions <= most
