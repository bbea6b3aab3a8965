"""How long to wait before the next attempt."""

from random import Random

import pytest

from gateway_core.backoff import Backoff


def test_the_ceiling_doubles_up_to_the_cap():
    backoff = Backoff(base=0.5, cap=3.0)
    assert [0.5, 1.0, 2.0, 3.0, 3.0] == [backoff.ceiling(n) for n in (1, 2, 3, 4, 5)]


def test_the_ceiling_of_the_thousandth_try_is_still_the_cap():
    assert 60.0 == Backoff(base=0.5, cap=60.0).ceiling(1000)


def test_the_wait_is_drawn_evenly_from_zero_to_the_ceiling():
    """Full jitter: the given generator's share of the ceiling, drawn once a wait."""
    backoff = Backoff(base=1.0, cap=100.0)
    assert Random("jitter").random() * 4.0 == backoff.delay(3, rng=Random("jitter"))


def test_the_waits_fill_the_whole_range():
    rng = Random("range")
    waits = [Backoff(base=8.0, cap=60.0).delay(1, rng=rng) for _ in range(1000)]
    assert 0.0 <= min(waits) < 0.1
    assert 7.9 < max(waits) < 8.0
    assert 4.0 == pytest.approx(sum(waits) / 1000, abs=0.3)


def test_the_same_generator_gives_the_same_waits():
    first, second = Random("seed"), Random("seed")
    backoff = Backoff(base=0.5, cap=60.0)
    assert [backoff.delay(n, rng=first) for n in range(1, 9)] == [
        backoff.delay(n, rng=second) for n in range(1, 9)
    ]


@pytest.mark.parametrize("field", ["base", "cap"])
def test_a_wait_is_more_than_nothing(field):
    with pytest.raises(ValueError, match=field):
        Backoff(**{"base": 0.5, "cap": 60.0, field: 0})
